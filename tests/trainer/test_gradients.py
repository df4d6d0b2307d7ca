"""What is measured of gradients for the policies that ask."""

import pytest
import torch
from torch import nn

from rheostat.trainer.gradients import GradientWatch


def a_parameter(*values: float) -> nn.Parameter:
    parameter = nn.Parameter(torch.zeros(len(values)))
    parameter.grad = torch.tensor(values)
    return parameter


def test_alignment_is_the_cosine_between_two_steps() -> None:
    parameter = a_parameter(1.0, 0.0)
    watch = GradientWatch([parameter], {"gradient_alignment"})

    seen = []
    for gradient in ([1.0, 0.0], [1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]):
        watch.begin()
        parameter.grad = torch.tensor(gradient)
        watch.finish()
        seen.append(watch.measured[0])

    assert seen[0] is None, "the first step has nothing before it"
    assert seen[1:] == pytest.approx([0.5**0.5, -1.0, 0.0], abs=1e-6)


def test_signal_and_noise_are_unbiased_over_many_batches() -> None:
    torch.manual_seed(0)
    truth, deviation, part, parts = torch.tensor([3.0, -4.0]), 2.0, 8, 4
    parameter = a_parameter(0.0, 0.0)
    watch = GradientWatch([parameter], {"gradient_signal", "gradient_noise"})
    signals, noises = [], []
    for _ in range(3000):
        watch.begin()
        parameter.grad = torch.zeros(2)
        for _ in range(parts):
            mean = (truth + deviation * torch.randn(part, 2)).mean(dim=0)
            parameter.grad = parameter.grad + mean / parts
            watch.note_part(part, part * parts)
        watch.finish()
        _, signal, noise = watch.measured
        assert signal is not None
        assert noise is not None
        signals.append(signal)
        noises.append(noise)

    trace, total = 2 * deviation**2, part * parts
    assert sum(signals) / len(signals) == pytest.approx(25.0, rel=0.03)
    assert sum(noises) / len(noises) == pytest.approx(trace / total, rel=0.05)


def test_without_micro_batches_there_is_nothing_to_compare() -> None:
    watch = GradientWatch([a_parameter(1.0)], {"gradient_signal", "gradient_noise"})

    watch.begin()
    watch.finish()

    assert watch.measured == (None, None, None)
