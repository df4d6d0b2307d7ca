"""timm's schedules equal timm's own after every update, noise and all."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rheostat_policies import SCHEDULES, ScheduleRun
from rheostat_policies.schedules.examples import EXAMPLE_RUN

timm = pytest.importorskip("timm.scheduler", reason="compares with timm, which is not installed")

LRS = st.floats(1e-6, 10)
COUNTS = st.integers(1, 60)
SHARES = st.floats(0.01, 1)
COMMON = {
    "warmup_t": st.integers(0, 20),
    "warmup_lr_init": st.floats(0, 1e-6),
    "warmup_prefix": st.booleans(),
    "noise_range_t": st.one_of(
        st.none(),
        st.integers(0, 50),
        st.tuples(st.integers(0, 50), st.integers(0, 50)).map(list),
    ),
    "noise_pct": st.floats(0.1, 1),
    "noise_std": st.floats(0, 2),
    "noise_seed": st.integers(0, 2**33),
}
CYCLES = {
    "t_initial": COUNTS,
    "lr_min": st.floats(0, 1e-6),
    "cycle_mul": st.one_of(st.just(1.0), st.sampled_from([2.0, 3.0, 0.5]), st.floats(1.1, 3)),
    "cycle_decay": SHARES,
    "cycle_limit": st.integers(0, 4),
}
K_DECAY = {"k_decay": st.floats(0.5, 3)}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "timm.cosine": ("CosineLRScheduler", COMMON | CYCLES | K_DECAY),
    "timm.tanh": (
        "TanhLRScheduler",
        COMMON | CYCLES | {"lb": st.floats(-9, -1), "ub": st.floats(0, 5)},
    ),
    "timm.poly": ("PolyLRScheduler", COMMON | CYCLES | K_DECAY | {"power": st.floats(0.3, 4)}),
    "timm.step": ("StepLRScheduler", COMMON | {"decay_t": COUNTS, "decay_rate": SHARES}),
    "timm.multistep": (
        "MultiStepLRScheduler",
        COMMON
        | {"decay_t": st.lists(COUNTS, min_size=1, max_size=4).map(sorted), "decay_rate": SHARES},
    ),
}


def timm_says(kind: str, optimizer: Any, steps: int, args: dict[str, Any]) -> list[float]:
    """LR that timm's optimizer has after so many updates, until timm itself fails."""
    seen: list[float] = []
    # A cycle_mul below 1 runs out of cycles, and rounding can take a root of less than 0.
    with suppress(ValueError, TypeError):
        scheduler = getattr(timm, kind)(optimizer, t_in_epochs=False, **args)
        for update in range(steps):
            scheduler.step_update(update)
            seen.append(optimizer.param_groups[0]["lr"])
    return seen


@pytest.mark.parametrize("name", CASES)
@given(data=st.data(), lr=LRS)
@settings(max_examples=150)
def test_the_lr_is_timms_after_every_update(
    torch_says: Any, assert_same_lr: Any, name: str, data: st.DataObject, lr: float
) -> None:
    kind, arguments = CASES[name]
    args = data.draw(st.fixed_dictionaries(arguments))
    expected: list[float] = []
    torch_says(lambda optimizer: expected.extend(timm_says(kind, optimizer, 120, args)), lr, 1)
    # timm takes a logarithm to find the cycle: rounded the wrong way, it counts from a step before
    # the cycle's start, whose power is no real number.
    assume(all(isinstance(one, float) for one in expected))

    curve = SCHEDULES[name](ScheduleRun(lr=lr, steps=120, steps_per_epoch=10), **args)

    assert_same_lr(curve, expected, lr)


@pytest.mark.parametrize("name", CASES)
def test_counting_in_epochs_moves_between_epochs_only(torch_says: Any, name: str) -> None:
    args = {
        "timm.step": {"decay_t": 2, "decay_rate": 0.5},
        "timm.multistep": {"decay_t": [3, 6], "decay_rate": 0.5},
    }.get(name, {"t_initial": 10}) | {"warmup_t": 2, "noise_range_t": 5}
    expected: list[float] = []

    def by_epochs(optimizer: Any) -> None:
        scheduler = getattr(timm, CASES[name][0])(optimizer, t_in_epochs=True, **args)
        for epoch in range(12):
            scheduler.step(epoch)
            expected.append(optimizer.param_groups[0]["lr"])

    torch_says(by_epochs, EXAMPLE_RUN.lr, 1)

    rate = SCHEDULES[name](EXAMPLE_RUN, t_in_epochs=True, **args).learning_rate

    steps = range(12 * EXAMPLE_RUN.steps_per_epoch)
    assert [rate(step) for step in steps] == pytest.approx(
        [expected[step // EXAMPLE_RUN.steps_per_epoch] for step in steps], rel=1e-12
    )


def test_cycles_that_shrink_end_at_the_floor_where_timm_fails() -> None:
    curve = SCHEDULES["timm.cosine"](
        EXAMPLE_RUN, t_initial=10, cycle_mul=0.5, cycle_limit=10**6, lr_min=0.01
    )

    assert curve.learning_rate(20) == curve.learning_rate(10**9) == 0.01
