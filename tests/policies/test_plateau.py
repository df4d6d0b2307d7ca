"""Plateau is torch's ReduceLROnPlateau."""

import json
import math
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau

from rheostat_policies import Action, GroupInfo, Observation, Plateau, RunInfo

LRS = {"body": 0.1, "head": 0.37}
RUN = RunInfo(
    name="a", steps=1000, groups=tuple(GroupInfo(name=name, parameters=10) for name in LRS)
)
VALUE = st.one_of(st.integers(-8, 8).map(lambda k: k / 4), st.floats(0.5, 1.5), st.just(math.nan))
# Few and near values that come again, so that there are ties and gains at the threshold, and
# droughts long enough for many cuts.
VALUES = st.lists(st.tuples(VALUE, st.integers(1, 12)), max_size=15).map(
    lambda runs: [value for value, length in runs for _ in range(length)]
)
ARGS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["min", "max"]),
        "factor": st.floats(0.05, 0.95),
        "patience": st.integers(0, 4),
        "threshold": st.sampled_from([0.0, 1e-4, 0.25, 0.9]),
        "threshold_mode": st.sampled_from(["rel", "abs"]),
        "cooldown": st.integers(0, 3),
        "eps": st.sampled_from([0.0, 1e-8, 1e-2]),
    }
)
FLOORS = st.sampled_from([0.0, 1e-3, 0.05, 0.2])


def observe(step: int, factor: dict[str, float], **measured: Any) -> Observation:
    return Observation(
        step=step, steps=1000, base=LRS, factor=factor, **{"train_loss": 1.0, **measured}
    )


def decided_lrs(
    policy: Plateau, values: list[float], *, resume_at: int | None = None
) -> list[list[float]]:
    """LRs after each value of the training loss, the state going through JSON at one of them."""
    state: Any = policy.initial_state(RUN)
    factor, lrs = dict.fromkeys(LRS, 1.0), []
    for step, value in enumerate(values):
        if step == resume_at:
            state = json.loads(json.dumps(state, allow_nan=False))
        action, state = policy.decide(state, observe(step, factor, train_loss=value))
        if isinstance(action.factor, dict):
            factor = {**factor, **action.factor}
        lrs.append([LRS[group] * factor[group] for group in LRS])
    return lrs


@given(
    args=ARGS,
    floors=st.tuples(FLOORS, FLOORS),
    values=VALUES,
    data=st.data(),
)
@settings(deadline=None, max_examples=300)
def test_it_gives_torchs_lr_after_every_value_and_resumes_exactly(
    args: dict[str, Any], floors: tuple[float, float], values: list[float], data: st.DataObject
) -> None:
    parameters = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in LRS.values()]
    optimizer = torch.optim.SGD(parameters)
    scheduler = ReduceLROnPlateau(optimizer, min_lr=list(floors), **args)
    policy = Plateau(metric="train_loss", min_lr=dict(zip(LRS, floors, strict=True)), **args)
    resume_at = data.draw(st.integers(0, len(values)))

    lrs = decided_lrs(policy, values, resume_at=resume_at)

    for value, ours in zip(values, lrs, strict=True):
        scheduler.step(value)
        assert ours == pytest.approx([group["lr"] for group in optimizer.param_groups], rel=1e-12)
    assert lrs == decided_lrs(policy, values)


def test_a_validation_metric_counts_once_per_evaluation() -> None:
    policy = Plateau(metric="validation_loss", patience=1, factor=0.5)
    state: Any = policy.initial_state(RUN)
    cut_at = []
    for step in range(40):
        evaluated = step // 10 * 10  # every 10 steps, always with the same loss
        seen = observe(
            step,
            dict.fromkeys(LRS, 1.0),
            validation_loss=2.0 if evaluated else None,
            validation_step=evaluated or None,
        )
        action, state = policy.decide(state, seen)
        if action.factor is not None:
            cut_at.append((step, action))

    ((step, action),) = cut_at
    assert step == 30, "the best at 10, bad at 20, bad again at 30"
    assert action == Action(
        factor={"body": 0.5, "head": 0.5},
        reason="validation_loss has not improved on 2 in 2 values: LR x 0.5",
    )


@pytest.mark.parametrize(
    ("metric", "improving"),
    [("train_loss", [3.0, 2.0, 1.0]), ("validation_accuracy", [0.1, 0.2, 0.3])],
)
def test_the_mode_is_what_is_better_for_the_metric(
    metric: Literal["train_loss", "validation_accuracy"], improving: list[float]
) -> None:
    policy = Plateau(metric=metric, patience=0)
    state: Any = policy.initial_state(RUN)

    for step, value in enumerate(improving):
        measured: dict[str, Any] = {metric: value, "validation_step": step}
        action, state = policy.decide(state, observe(step, dict.fromkeys(LRS, 1.0), **measured))

        assert action.factor is None


@given(bad=st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_value_that_is_not_finite_is_no_improvement(bad: float) -> None:
    policy = Plateau(metric="train_loss", patience=1, factor=0.5)

    lrs = decided_lrs(policy, [1.0, bad, bad])

    assert lrs[-1] == pytest.approx([0.05, 0.185])


@given(floor=st.floats(1e-6, 1e-1))
def test_a_group_at_its_floor_is_not_cut_again_by_a_rounding_error(floor: float) -> None:
    policy = Plateau(metric="train_loss", patience=0, min_lr=floor, eps=0.0)
    at_floor = {group: floor / lr for group, lr in LRS.items()}
    state: Any = policy.initial_state(RUN)

    for step in range(3):
        action, state = policy.decide(state, observe(step, at_floor))

        assert action.factor is None


def test_a_floor_for_a_group_that_is_not_there_is_refused_before_the_run() -> None:
    with pytest.raises(ValueError, match="must name groups of body, head"):
        Plateau(min_lr={"neck": 0.1}).initial_state(RUN)


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"metric": "loss"}, "metric=loss"),
        ({"mode": "least"}, "mode=least"),
        ({"factor": 1.0}, "factor=1.0"),
        ({"patience": -1}, "patience=-1"),
        ({"threshold": -0.1}, "threshold=-0.1"),
        ({"threshold": 1.0}, "threshold=1.0"),
        ({"threshold_mode": "relative"}, "threshold_mode=relative"),
        ({"cooldown": -1}, "cooldown=-1"),
        ({"min_lr": -0.1}, "min_lr=-0.1"),
        ({"min_lr": {"head": math.nan}}, "min_lr={'head': nan}"),
        ({"eps": -1e-8}, "eps=-1e-08"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(args: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Plateau(**args)
