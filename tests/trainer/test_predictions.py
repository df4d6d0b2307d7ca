"""What is measured of predictions and output weights for the policies that ask."""

from typing import Any

import pytest
import torch
from torch import nn

from rheostat.spec.models import Spec
from rheostat.steering.policies import AttachedPolicy
from rheostat.trainer.building import build
from rheostat.trainer.gradients import GradientWatch
from rheostat.trainer.loop import Loop
from rheostat.trainer.peers import Nobody
from rheostat.trainer.predictions import OBSERVABLE_AT_VALIDATION, PredictionWatch
from rheostat.trainer.ranks import Alone
from rheostat_policies import KEEP, Action, Observation, RunInfo
from rheostat_policies.api import OBSERVABLE

MEASURED = (*OBSERVABLE_AT_VALIDATION, "group_gradient_norm")


class Witness:
    """A policy that remembers what it has seen."""

    observes = MEASURED

    def __init__(self) -> None:
        self.seen: list[Observation] = []

    def initial_state(self, run: RunInfo) -> Any:
        return None

    def decide(self, state: Any, observation: Observation) -> tuple[Action, Any]:
        self.seen.append(observation)
        return KEEP, state


def a_model() -> nn.Linear:
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    return model


def test_what_can_be_observed_is_a_field_of_the_observation() -> None:
    assert set(OBSERVABLE) < set(Observation._fields)
    assert set(MEASURED) < set(OBSERVABLE)


def test_the_variance_is_that_of_a_batch_and_the_mean_over_batches() -> None:
    watch = PredictionWatch(a_model())
    watch.observe({"prediction_variance"})

    watch.see(torch.tensor([[0.0, 2.0]]))
    watch.see(torch.tensor([[1.0, 7.0]]))
    watch.finish()

    assert watch.measured == (pytest.approx((2.0 + 18.0) / 2), None, None, None, None)


def test_a_change_is_measured_sample_by_sample_from_the_second_validation_on() -> None:
    watch = PredictionWatch(a_model())
    watch.observe({"prediction_change_variance"})

    watch.see(torch.tensor([[0.0, 1.0]]))
    watch.finish()
    first = watch.measured[1]
    watch.see(torch.tensor([[4.0, 1.0]]))
    watch.finish()

    assert first is None
    assert watch.measured[1] == pytest.approx(8.0)


def test_the_divergence_of_predictions_is_that_of_their_classes() -> None:
    watch = PredictionWatch(a_model())
    watch.observe({"prediction_kl"})
    before, now = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[1.0, 1.0], [2.0, 0.0]])

    watch.see(before)
    watch.finish()
    watch.see(now)
    watch.finish()

    p, q = before.double().softmax(1), now.double().softmax(1)
    expected = float((p * (p / q).log()).sum(dim=1).mean())
    assert watch.measured[4] == pytest.approx(expected)


@pytest.mark.parametrize("outputs", [torch.zeros(3, 1), torch.zeros(3), torch.zeros(3, 2, 2)])
def test_outputs_that_are_no_logits_of_classes_have_no_divergence(outputs: torch.Tensor) -> None:
    watch = PredictionWatch(a_model())
    watch.observe({"prediction_kl"})

    for _ in range(2):
        watch.see(outputs)
        watch.finish()

    assert watch.measured[4] is None


def test_output_weights_are_those_of_the_last_matrix() -> None:
    watch = PredictionWatch(nn.Sequential(nn.Linear(7, 2), a_model()))
    watch.observe({"output_weight_mean", "output_weight_variance"})

    watch.finish()

    assert watch.measured[2:] == (pytest.approx(3.0), pytest.approx(14 / 3), None)


def test_what_nobody_observes_any_more_is_forgotten() -> None:
    watch = PredictionWatch(a_model())
    watch.observe(OBSERVABLE_AT_VALIDATION)
    watch.see(torch.tensor([[0.0, 1.0]]))
    watch.finish()

    watch.observe({"output_weight_mean"})

    assert watch.measured == (None, None, pytest.approx(3.0), None, None)
    assert not watch.is_idle


def test_a_gradient_norm_is_measured_for_each_group() -> None:
    body, head = (nn.Parameter(torch.zeros(2)) for _ in range(2))
    body.grad, head.grad = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0])
    groups = {"body": [body], "head": [head]}
    watch = GradientWatch([body, head], {"group_gradient_norm"}, groups)

    watch.begin()
    watch.finish()

    assert watch.group_norms == {"body": 5.0, "head": 2.0}


def test_a_policy_sees_at_each_step_what_it_observes() -> None:
    witness = Witness()
    document = {
        "data": {"name": "digits"},
        "groups": [{"name": "head", "match": r"head\..*"}],
        "train": {"steps": 8},
        "evaluate": {"every": 3},
    }
    parts = build(
        Spec.model_validate(document),
        "watched",
        join=lambda run: AttachedPolicy("witness", witness, run),
    )

    Loop(parts, Nobody(), Alone()).run()

    by_step = {one.step: one for one in witness.seen}
    assert by_step[1].prediction_variance is None, "no validation yet"
    assert by_step[2].prediction_variance == by_step[3].prediction_variance
    assert by_step[2].prediction_change_variance is None, "nothing to compare with yet"
    assert by_step[5].prediction_change_variance is not None
    assert by_step[5].output_weight_variance != by_step[2].output_weight_variance
    assert all(one.group_gradient_norm.keys() == one.base.keys() for one in witness.seen)
    whole = sum(norm**2 for norm in by_step[0].group_gradient_norm.values()) ** 0.5
    assert by_step[0].gradient_norm == pytest.approx(whole), "step 0 measures the total too"
