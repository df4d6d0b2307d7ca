"""What a script's scheduler wants is the base, whichever scheduler it is and however it works."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler as torchs
from torch.optim.swa_utils import SWALR

STEPS = 40


def halves_at(step):
    return lambda epoch: 0.5 if epoch % step == 0 else 1.0


def by_hand(optimizer):
    """No scheduler at all: the script writes what it wants."""
    steps = iter(range(1, 10**6))

    def step():
        count = next(steps)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / count

    return step


def by_hand_from_what_stands_there(optimizer):
    def step():
        for group in optimizer.param_groups:
            group["lr"] *= 0.9

    return step


def on_plateau(optimizer):
    scheduler = torchs.ReduceLROnPlateau(optimizer, factor=0.3, patience=2, cooldown=1)
    losses = iter([1.0, 0.9] + [0.95] * 10**4)
    return lambda: scheduler.step(next(losses))


def stepping(make):
    return lambda optimizer: make(optimizer).step


SCHEDULERS = {
    "LambdaLR": stepping(lambda o: torchs.LambdaLR(o, lambda step: 1 / (1 + step))),
    "MultiplicativeLR": stepping(lambda o: torchs.MultiplicativeLR(o, lambda step: 0.95)),
    "StepLR": stepping(lambda o: torchs.StepLR(o, 7, gamma=0.3)),
    "MultiStepLR": stepping(lambda o: torchs.MultiStepLR(o, [3, 9, 10], gamma=0.3)),
    "ConstantLR": stepping(lambda o: torchs.ConstantLR(o, 0.25, total_iters=6)),
    "LinearLR": stepping(lambda o: torchs.LinearLR(o, 0.01, total_iters=13)),
    "ExponentialLR": stepping(lambda o: torchs.ExponentialLR(o, 0.93)),
    "PolynomialLR": stepping(lambda o: torchs.PolynomialLR(o, total_iters=21, power=1.7)),
    "CosineAnnealingLR": stepping(lambda o: torchs.CosineAnnealingLR(o, 11, eta_min=1e-3)),
    "CosineAnnealingWarmRestarts": stepping(
        lambda o: torchs.CosineAnnealingWarmRestarts(o, 5, T_mult=2)
    ),
    "CyclicLR": stepping(
        lambda o: torchs.CyclicLR(o, 0.01, 0.2, step_size_up=6, mode="triangular2")
    ),
    "OneCycleLR": stepping(lambda o: torchs.OneCycleLR(o, 0.3, total_steps=10**4 + 1)),
    "SequentialLR": stepping(
        lambda o: torchs.SequentialLR(
            o,
            [
                torchs.LinearLR(o, 0.1, total_iters=6),
                torchs.CosineAnnealingLR(o, 20),
                torchs.ExponentialLR(o, 0.9),
            ],
            milestones=[6, 20],
        )
    ),
    "ChainedScheduler": stepping(
        lambda o: torchs.ChainedScheduler(
            [torchs.ConstantLR(o, 0.1, total_iters=4), torchs.ExponentialLR(o, 0.95)]
        )
    ),
    "ReduceLROnPlateau": on_plateau,
    "SWALR": stepping(lambda o: SWALR(o, swa_lr=0.02, anneal_epochs=9)),
    "LRScheduler": by_hand,
    "a script's own multiplication": by_hand_from_what_stands_there,
}


def train(optimizer, step_scheduler, steps, run=None, ask=None):
    """Do what scripts do, and return the LRs that the optimizer stepped with."""
    for index in range(steps):
        if ask is not None:
            ask(index)
        optimizer.step()
        step_scheduler()
        if run is not None:
            run.step(0.5)
    return optimizer.used


@pytest.fixture(autouse=True)
def silence():
    """Torch warns of schedulers of schedulers, whatever they are used for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_no_scheduler_of_torch_is_left_out():
    assert set(torchs.__all__) - {"LRScheduler"} <= set(SCHEDULERS)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("is_tensor", [False, True], ids=["floats", "tensors"])
def test_half_of_any_scheduler_is_half_at_every_step(name, is_tensor, spy, attached):
    carrier = (lambda lr: torch.tensor(lr, dtype=torch.float64)) if is_tensor else float
    alone, steered = (spy(carrier(0.1), carrier(0.02), foreach=False) for _ in range(2))
    wanted = train(alone, SCHEDULERS[name](alone), STEPS)
    step_scheduler = SCHEDULERS[name](steered)
    script = attached(steered)
    script.link.ask("scale", 0.5)

    used = train(steered, step_scheduler, STEPS, script.run)

    assert used == [[0.5 * lr for lr in row] for row in wanted]
    assert steered.momenta == alone.momenta


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_made_after_the_attaching_is_read_like_one_made_before(name, spy, attached):
    alone, steered = spy(), spy()
    wanted = train(alone, SCHEDULERS[name](alone), STEPS)
    script = attached(steered)
    step_scheduler = SCHEDULERS[name](steered)
    script.link.ask("scale", 0.5)

    used = train(steered, step_scheduler, STEPS, script.run)

    assert used == [[0.5 * lr for lr in row] for row in wanted]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_what_nobody_steers_learns_the_same_to_the_last_bit(name, spy, attached):
    alone, steered = spy(0.1, 0.02), spy(0.1, 0.02)
    wanted = train(alone, SCHEDULERS[name](alone), STEPS)
    step_scheduler = SCHEDULERS[name](steered)
    run = attached(steered).run

    assert train(steered, step_scheduler, STEPS, run) == wanted
    run.close()

    assert [group["lr"] for group in steered.param_groups] == [
        group["lr"] for group in alone.param_groups
    ]
    for mine, its in zip(steered.param_groups, alone.param_groups, strict=True):
        assert torch.equal(mine["params"][0], its["params"][0])


factors = st.floats(1 / 64, 2.0)  # five times that is within the default upper bound
changes = st.lists(st.tuples(st.integers(0, STEPS - 1), factors), max_size=5)


@settings(max_examples=40)
@given(name=st.sampled_from(sorted(SCHEDULERS)), changes=changes)
def test_any_scales_at_any_steps_multiply_what_the_scheduler_wants(name, changes, make_pair):
    alone, steered, script = make_pair()
    wanted = train(alone, SCHEDULERS[name](alone), STEPS)

    def ask(step):
        for at, factor in changes:
            if at == step:
                script.link.ask("scale", factor)

    used = train(steered, SCHEDULERS[name](steered), STEPS, script.run, ask)

    for step, (row, base) in enumerate(zip(used, wanted, strict=True)):
        gain = math.prod(factor for at, factor in sorted(changes) if at <= step)
        assert row[0] == pytest.approx(base[0] * gain, rel=1e-12)
        [group] = script.steering.groups
        assert not group.touched


@pytest.fixture(scope="module")
def make_pair(spy, attached):
    def make():
        alone, steered = spy(), spy()
        return alone, steered, attached(steered)

    return make
