"""Schedules made of schedules: torch's two, and those that torch has not got."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from rheostat_policies import SCHEDULES, Curve, ScheduleRun

RUN = ScheduleRun(lr=0.5, steps=60, steps_per_epoch=10)
PARTS = st.sampled_from(
    [
        ("StepLR", {"step_size": 4, "gamma": 0.7}),
        ("MultiStepLR", {"milestones": [3, 9], "gamma": 0.5}),
        ("ExponentialLR", {"gamma": 0.95}),
        ("ConstantLR", {"factor": 0.3, "total_iters": 6}),
        ("LinearLR", {"start_factor": 0.2, "total_iters": 8}),
        ("PolynomialLR", {"total_iters": 40, "power": 2.0}),
        ("CosineAnnealingLR", {"T_max": 70}),
    ]
)


def as_parts(chosen: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [{"name": name, "args": args} for name, args in chosen]


def as_torchs(optimizer: Any, chosen: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    return [getattr(lr_scheduler, name)(optimizer, **args) for name, args in chosen]


@pytest.mark.parametrize("name", ["SequentialLR", "sequence"])
@given(chosen=st.lists(PARTS, min_size=1, max_size=4), lengths=st.lists(st.integers(1, 20)))
def test_a_sequence_is_torchs_sequential_lr(
    torch_says: Any,
    name: str,
    chosen: list[tuple[str, dict[str, Any]]],
    lengths: list[int],
) -> None:
    lengths = [*lengths, 5, 5, 5][: len(chosen) - 1]
    milestones = [sum(lengths[: index + 1]) for index in range(len(lengths))]
    expected = torch_says(
        lambda optimizer: lr_scheduler.SequentialLR(
            optimizer, as_torchs(optimizer, chosen), milestones
        ),
        RUN.lr,
        60,
    )

    key = "schedulers" if name == "SequentialLR" else "schedules"
    curve = SCHEDULES[name](RUN, **{key: as_parts(chosen)}, milestones=milestones)

    for step, (lr, _) in enumerate(expected):
        assert curve.learning_rate(step) == pytest.approx(lr, rel=1e-9, abs=1e-12), step


@pytest.mark.parametrize("name", ["ChainedScheduler", "chain"])
@given(chosen=st.lists(PARTS, min_size=1, max_size=4))
def test_a_chain_is_torchs_chained_scheduler(
    torch_says: Any, name: str, chosen: list[tuple[str, dict[str, Any]]]
) -> None:
    expected = torch_says(
        lambda optimizer: lr_scheduler.ChainedScheduler(as_torchs(optimizer, chosen)), RUN.lr, 39
    )

    key = "schedulers" if name == "ChainedScheduler" else "schedules"
    curve = SCHEDULES[name](RUN, **{key: as_parts(chosen)})

    for step, (lr, _) in enumerate(expected):
        assert curve.learning_rate(step) == pytest.approx(lr, rel=1e-9, abs=1e-12), step


@given(
    steps=st.integers(0, 30),
    start=st.floats(0, 1),
    shape=st.sampled_from(["linear", "cosine", "1-sqrt"]),
    chosen=PARTS,
)
def test_a_warmup_rises_to_where_the_schedule_begins_and_then_is_the_schedule(
    steps: int, start: float, shape: str, chosen: tuple[str, dict[str, Any]]
) -> None:
    name, args = chosen
    inner = SCHEDULES[name](RUN, **args).learning_rate

    [part] = as_parts([chosen])
    made = SCHEDULES["warmup"](RUN, steps=steps, schedule=part, start_factor=start, shape=shape)
    rate = made.learning_rate

    rise = [rate(step) for step in range(steps + 1)]
    assert rise == sorted(rise)
    assert rise[0] == pytest.approx(inner(0) * (start if steps else 1.0))
    assert [rate(step) for step in range(steps, 60)] == [inner(step) for step in range(60 - steps)]


def test_each_part_of_a_sequence_takes_its_own_length_for_the_run() -> None:
    curve = SCHEDULES["sequence"](
        RUN, schedules=[{"name": "rex"}, {"name": "linear"}], milestones=["2ep"]
    )

    assert curve.learning_rate(10) == pytest.approx(0.5 * 2 / 3)
    assert curve.learning_rate(20) == 0.5
    assert curve.learning_rate(40) == pytest.approx(0.25)
    assert curve.learning_rate(60) == 0.0


def test_momentum_waits_for_the_first_part_that_moves_it_and_stays_where_that_left_it() -> None:
    curve = SCHEDULES["sequence"](
        RUN,
        schedules=[{"name": "constant"}, {"name": "OneCycleLR"}, {"name": "constant"}],
        milestones=[10, 30],
    )
    cycle = SCHEDULES["OneCycleLR"](ScheduleRun(lr=0.5, steps=20, steps_per_epoch=10)).momentum

    assert curve.momentum is not None
    assert cycle is not None
    assert [curve.momentum(step) for step in (0, 9)] == [cycle(0), cycle(0)]
    assert [curve.momentum(step) for step in range(10, 30)] == [cycle(step) for step in range(20)]
    assert [curve.momentum(step) for step in (30, 10**6)] == [cycle(19), cycle(19)]


def test_a_chain_has_the_momentum_of_its_last_part_that_moves_it() -> None:
    parts = [{"name": "OneCycleLR"}, {"name": "constant"}]
    cycle = SCHEDULES["OneCycleLR"](RUN).momentum

    momentum = SCHEDULES["chain"](RUN, schedules=parts).momentum

    assert momentum is not None
    assert cycle is not None
    assert [momentum(step) for step in range(60)] == [cycle(step) for step in range(60)]


def test_composed_schedules_may_hold_composed_schedules() -> None:
    inner = {
        "name": "chain",
        "args": {"schedules": [{"name": "constant"}, {"name": "wsd", "args": {"decay": 10}}]},
    }

    curve = SCHEDULES["warmup"](RUN, steps=10, schedule=inner)

    assert curve.learning_rate(5) == 0.25
    assert curve.learning_rate(60) == 0.0


def linear_to_nowhere(run: ScheduleRun, *, slope: float = 1.0) -> Curve:
    return Curve(learning_rate=lambda step: run.lr / (1.0 + slope * step))


def test_a_part_may_come_from_elsewhere_by_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    import fractions

    monkeypatch.setattr(fractions, "slowing", linear_to_nowhere, raising=False)

    curve = SCHEDULES["chain"](RUN, schedules=[{"name": "fractions:slowing"}])

    assert curve.learning_rate(1) == 0.25


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"schedules": [], "milestones": []}, r"schedules=\[\] must have at least one part"),
        ({"schedules": [{"name": "rex"}], "milestones": [3]}, r"milestones=\[3\] must have 0"),
        (
            {"schedules": [{"name": "rex"}] * 3, "milestones": [9, 9]},
            r"milestones=\[9, 9\] must rise",
        ),
        ({"schedules": [{"name": "rx"}], "milestones": []}, r"schedules\[0\].name=rx must be a"),
        ({"schedules": [{"args": {}}], "milestones": []}, r"schedules\[0\]=.* must have a name"),
        (
            {"schedules": [{"name": "rex", "arg": {}}], "milestones": []},
            r"schedules\[0\]=.* nothing else",
        ),
        (
            {"schedules": [{"name": "rex", "args": {"min": 0}}], "milestones": []},
            r"schedules\[0\].args of rex: .*'min'",
        ),
        (
            {"schedules": [{"name": "StepLR", "args": {"step_size": 0}}], "milestones": []},
            r"schedules\[0\].args of StepLR: step_size=0 must",
        ),
        ({"schedules": [{"name": "math:tau"}], "milestones": []}, "must be a function"),
        ({"schedules": [{"name": "no.such:thing"}], "milestones": []}, "No module named"),
        (
            {"schedules": [{"name": "fractions:Fraction"}], "milestones": []},
            r"schedules\[0\].args of fractions:Fraction",
        ),
    ],
)
def test_a_part_that_is_wrong_is_named_with_its_place(args: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SCHEDULES["sequence"](RUN, **args)


def test_a_part_that_makes_no_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="must make a Curve, but made a str"):
        SCHEDULES["chain"](RUN, schedules=[{"name": "builtins:repr"}])
