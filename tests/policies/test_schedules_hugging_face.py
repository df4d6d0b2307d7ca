"""Hugging Face's schedules equal transformers' own, at every step of the run and past it."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rheostat_policies import SCHEDULES, ScheduleRun

transformers = pytest.importorskip(
    "transformers.optimization", reason="compares with transformers, which is not installed"
)

LRS = st.floats(1e-6, 1e3)
STEPS = st.integers(1, 120)
SHARES = st.floats(0, 1)
SHAPES = st.sampled_from(["linear", "cosine", "1-sqrt"])
FLOORS = st.one_of(
    st.fixed_dictionaries({"min_lr": st.floats(0, 1e-6)}),
    st.fixed_dictionaries({"min_lr_rate": SHARES}),
)
CASES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "linear": st.just({}),
    "cosine": st.fixed_dictionaries({"num_cycles": st.floats(0, 4)}),
    "cosine_with_restarts": st.fixed_dictionaries({"num_cycles": st.integers(1, 6)}),
    "polynomial": st.fixed_dictionaries({"lr_end": st.floats(0, 9e-7), "power": st.floats(0.1, 5)}),
    "constant_with_warmup": st.just({}),
    "inverse_sqrt": st.fixed_dictionaries({"timescale": st.none() | st.integers(1, 200)}),
    "cosine_with_min_lr": st.builds(
        lambda floor, cycles: floor | {"num_cycles": cycles}, FLOORS, st.floats(0, 4)
    ),
    "cosine_warmup_with_min_lr": st.builds(
        lambda floor, cycles, first: floor | {"num_cycles": cycles, "warmup_lr_rate": first},
        FLOORS,
        st.floats(0, 4),
        st.none() | SHARES,
    ),
    "warmup_stable_decay": st.fixed_dictionaries(
        {
            "warmup_type": SHAPES,
            "decay_type": SHAPES,
            "min_lr_ratio": SHARES,
            "num_cycles": st.floats(0, 4),
        }
    ),
}
WITHOUT_END = {"constant_with_warmup", "inverse_sqrt"}


@pytest.mark.parametrize("name", CASES)
@given(data=st.data(), lr=LRS, steps=STEPS, warmup=st.integers(0, 60))
def test_the_lr_is_that_of_get_scheduler(
    torch_says: Any,
    assert_same_lr: Any,
    name: str,
    data: st.DataObject,
    lr: float,
    steps: int,
    warmup: int,
) -> None:
    args = data.draw(CASES[name])
    if name == "warmup_stable_decay":
        decay = data.draw(st.integers(0, steps))
        warmup = min(warmup, steps - decay)
        args = args | {"num_decay_steps": decay}
    if name == "polynomial":
        assume(warmup != steps)  # where transformers divides by zero
    expected = torch_says(
        lambda optimizer: transformers.get_scheduler(
            name,
            optimizer,
            num_warmup_steps=warmup,
            num_training_steps=None if name in WITHOUT_END else steps,
            scheduler_specific_kwargs=args,
        ),
        lr,
        2 * steps,
    )

    run = ScheduleRun(lr=lr, steps=steps, steps_per_epoch=10)
    curve = SCHEDULES[name](run, num_warmup_steps=warmup, **args)

    assert_same_lr(curve, [each for each, _ in expected], lr)


@given(
    lr=LRS,
    parts=st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)),
    shape=SHAPES,
)
def test_wsd_may_say_how_long_it_stays(
    torch_says: Any, assert_same_lr: Any, lr: float, parts: tuple[int, int, int], shape: str
) -> None:
    args: dict[str, Any] = dict(
        zip(("num_warmup_steps", "num_stable_steps", "num_decay_steps"), parts, strict=True)
    )
    args["decay_type"] = shape
    expected = torch_says(
        lambda optimizer: transformers.get_wsd_schedule(optimizer, **args), lr, sum(parts) + 3
    )

    run = ScheduleRun(lr=lr, steps=7, steps_per_epoch=10)
    curve = SCHEDULES["warmup_stable_decay"](run, **args)

    assert_same_lr(curve, [each for each, _ in expected], lr)


@given(lr=LRS, steps=STEPS, shape=SHAPES, data=st.data())
def test_the_short_wsd_is_the_long_one(
    assert_same_lr: Any, lr: float, steps: int, shape: str, data: st.DataObject
) -> None:
    decay = data.draw(st.integers(0, steps))
    warmup = data.draw(st.integers(0, steps - decay))
    run = ScheduleRun(lr=lr, steps=steps, steps_per_epoch=10)
    long = SCHEDULES["warmup_stable_decay"](
        run, num_warmup_steps=warmup, num_decay_steps=decay, decay_type=shape
    )

    short = SCHEDULES["wsd"](run, warmup=warmup, decay=decay, shape=shape)

    assert_same_lr(short, [long.learning_rate(step) for step in range(2 * steps)], lr)
