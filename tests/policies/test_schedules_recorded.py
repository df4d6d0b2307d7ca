"""`recorded` is the schedule of a run that somebody steered."""

import math
from dataclasses import replace
from typing import Any

import pytest

from rheostat_policies import SCHEDULES, ScheduleRun
from rheostat_policies.schedules.recorded import recorded

RUN = ScheduleRun(lr=1.0, steps=8, steps_per_epoch=4)
CONSTANT = {"name": "constant"}
REX = {"name": "rex"}


def rates(count: int = 8, run: ScheduleRun = RUN, **args: Any) -> list[float]:
    curve = recorded(run, **{"schedule": CONSTANT, **args})
    return [round(curve.learning_rate(step), 6) for step in range(count)]


def swap(step: int, schedule: dict[str, Any] = REX, **fields: Any) -> dict[str, Any]:
    return {"step": step, "verb": "swap", "schedule": schedule, **fields}


def test_without_anything_done_it_is_the_schedule() -> None:
    assert rates(schedule=REX) == [
        round(SCHEDULES["rex"](RUN).learning_rate(step), 6) for step in range(8)
    ]


def test_a_gain_multiplies_from_its_step_on_until_the_next() -> None:
    assert rates(gains=[(2, 0.5), (5, 0.25)]) == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_a_rate_stands_instead_of_the_product_up_to_its_end() -> None:
    assert rates(gains=[(1, 0.5)], rates=[(2, 4, 3.0), (4, 5, 0.0)]) == [
        1,
        0.5,
        3,
        3,
        0,
        0.5,
        0.5,
        0.5,
    ]


def test_a_rate_without_an_end_stays() -> None:
    assert rates(10, rates=[(6, None, 0.1)])[5:] == [1, 0.1, 0.1, 0.1, 0.1]


def test_a_swap_goes_on_from_the_lr_of_the_step_before_and_lasts_for_the_rest() -> None:
    halving = {"name": "ExponentialLR", "args": {"gamma": 0.5}}

    assert rates(schedule=halving, edits=[swap(2)]) == [
        1,  # the schedule
        0.5,
        0.5,  # rex over the 6 steps that are left, from where the LR was
        0.454545,
        0.4,
        0.333333,
        0.25,
        0.142857,
    ]


def test_a_swap_that_is_not_rescaled_starts_where_its_own_schedule_does() -> None:
    halving = {"name": "ExponentialLR", "args": {"gamma": 0.5}}

    assert rates(3, schedule=halving, edits=[swap(2, rescale=False)]) == [1, 0.5, 1]


def test_a_horizon_fits_the_schedule_to_another_length_from_where_it_is() -> None:
    line = {"name": "linear"}

    assert rates(8, schedule=line, steps=4, edits=[{"step": 2, "verb": "horizon", "steps": 8}]) == [
        1,
        0.75,
        0.5,  # 0.75 of a line over 8 steps, scaled to 0.5
        0.416667,
        0.333333,
        0.25,
        0.166667,
        0.083333,
    ]


def test_a_horizon_that_is_not_rescaled_jumps_to_the_longer_schedule() -> None:
    edit = {"step": 2, "verb": "horizon", "steps": 8, "rescale": False}

    assert rates(4, schedule={"name": "linear"}, steps=4, edits=[edit])[2:] == [0.75, 0.625]


def test_a_swap_after_a_horizon_lasts_as_long_as_the_run_then_does() -> None:
    edits = [{"step": 1, "verb": "horizon", "steps": 6}, swap(2, {"name": "linear"})]

    assert rates(6, edits=edits, steps=3) == [1, 1, 1, 0.75, 0.5, 0.25]


def test_a_rewarming_rises_from_its_ratio_to_all_of_it() -> None:
    edit = {"step": 2, "verb": "rewarm", "steps": 4, "ratio": 0.2}

    assert rates(edits=[edit]) == [1, 1, 0.4, 0.6, 0.8, 1, 1, 1]


def test_the_lr_scale_of_a_group_is_inside() -> None:
    curve = recorded(RUN, schedule=CONSTANT, lr_scale=0.3, gains=[(1, 0.7)], group="head")

    assert curve.learning_rate(0) == 0.3
    assert curve.learning_rate(1) == 1.0 * 0.3 * 0.7


def test_a_momentum_is_the_optimizers_own_but_where_a_schedule_moves_it() -> None:
    moving = {"name": "OneCycleLR", "args": {"pct_start": 0.5}}
    curve = recorded(RUN, schedule=CONSTANT, edits=[swap(2, moving), swap(6, CONSTANT)])
    own = SCHEDULES["OneCycleLR"](replace(RUN, steps=6), pct_start=0.5)

    assert curve.momentum is not None
    assert own.momentum is not None
    assert [curve.momentum(step) for step in range(2)] == [None, None]
    assert [curve.momentum(step) for step in range(2, 6)] == [own.momentum(t) for t in range(4)]
    assert [curve.momentum(step) for step in (6, 100)] == [None, None]


def test_a_swap_that_was_swapped_away_at_once_never_moved_the_momentum() -> None:
    moving = {"name": "OneCycleLR", "args": {}}

    assert recorded(RUN, schedule=CONSTANT, edits=[swap(2, moving), swap(2)]).momentum is None


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"edits": [{"step": 1}]}, r"edits\[0\].verb=None must be one of swap, horizon, rewarm"),
        ({"edits": [{"step": 1, "verb": "swap"}]}, r"edits\[0\]=.* must have schedule, step, verb"),
        ({"edits": [swap(1, ratio=0.5)]}, r"edits\[0\]=.* and nothing else"),
        ({"edits": [swap(3), swap(2)]}, r"edits\[1\].step=2 must be a step from 3 on"),
        ({"edits": [swap("3")]}, r"edits\[0\].step=3 must be a step"),
        ({"edits": [swap(1, {"name": "none"})]}, r"edits\[0\].schedule.name=none must"),
        ({"edits": [{"step": 1, "verb": "horizon", "steps": 0}]}, r"edits\[0\].steps=0 must"),
        (
            {"edits": [{"step": 1, "verb": "rewarm", "steps": 3, "ratio": 2}]},
            r"edits\[0\].ratio=2 must be 0 to 1",
        ),
        ({"steps": 0}, "steps=0 must be at least 1 optimizer step"),
        ({"lr_scale": 0.0}, "lr_scale=0.0 must be greater than 0"),
        ({"gains": [(3, 1.0), (3, 2.0)]}, "gains=.* must rise in their steps"),
        ({"gains": [(3, -1.0)]}, r"gains=\[3, -1.0\] must have a gain of at least 0"),
        ({"gains": [(3, math.inf)]}, r"gains=\[3, inf\] must"),
        ({"rates": [(3, 3, 1.0)]}, r"rates=\[3, 3, 1.0\] must begin before it ends"),
        ({"rates": [(3, 5, -1.0)]}, r"rates=\[3, 5, -1.0\] must have an LR of at least 0"),
        ({"rates": [(3, None, 1.0), (5, 6, 1.0)]}, "rates=.* must begin where others have ended"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(args: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recorded(RUN, **{"schedule": CONSTANT, **args})


def test_a_swap_that_no_scale_makes_continuous_is_refused_with_the_mend() -> None:
    from_zero = {"name": "warmup_cosine", "args": {"warmup_steps": 4}}

    with pytest.raises(ValueError, match=r"edits\[0\]=.* must have rescale: false; no scale leads"):
        recorded(RUN, schedule=CONSTANT, edits=[swap(2, from_zero)])


def test_it_can_be_made_before_the_lr_is_known() -> None:
    unknown = replace(RUN, lr=math.inf)
    falling = {"name": "wsd", "args": {"min_lr": 0.1}}

    recorded(unknown, schedule=falling, edits=[swap(2), swap(4, falling)])


def test_a_run_that_is_too_short_for_an_edit_never_gets_there() -> None:
    assert rates(4, run=replace(RUN, steps=4), edits=[swap(6)]) == [1, 1, 1, 1]
