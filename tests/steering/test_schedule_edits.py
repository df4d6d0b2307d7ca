"""What a schedule edit does to the base LR, from which step, and beside everything else."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.errors import FailedPrecondition, InvalidRequest
from rheostat.spec.schedules import ScheduleSpec
from rheostat.steering.records import Change, ScheduleEdit, Verb
from rheostat_policies import KEEP, SCHEDULES, Action, Curve, Observation, ScheduleRun
from rheostat_policies.schedules.examples import EXAMPLE_RUN, EXAMPLES

STEPS = 100
PEAK = 0.1
COSINE = ScheduleSpec(name="warmup_cosine", args={"min_lr": 0.01})
STEPPED = ScheduleSpec(name="StepLR", args={"step_size": 30, "gamma": 0.3})


def curve(name: str, steps: int, /, **args: Any) -> Any:
    """Return the LR by step of a schedule that has a run of so many steps to itself."""
    run = ScheduleRun(lr=PEAK, steps=steps, steps_per_epoch=10)
    return SCHEDULES[name](run, **args).learning_rate


def to(name: str, /, *, rescale: bool = True, **args: Any) -> ScheduleEdit:
    return ScheduleEdit(schedule=name, args=json.dumps(args), rescale=rescale)


def a_run(make_rig: Any, schedule: Any = COSINE, **more: Any) -> Any:
    return make_rig({"all": schedule}, steps=STEPS, **more)


def edit(rig: Any, verb: Verb, edit: ScheduleEdit, **fields: Any) -> Any:
    return rig.ask(verb, edit=edit, **fields)


def lrs_from_now(rig: Any, end: int, group: int = 0) -> list[float]:
    """Return the LR of the step begun and of those up to an end."""
    return [rig.steering.learning_rates[group], *rig.lrs(range(rig.step + 1, end), group)]


# --- swap --------------------------------------------------------------------------------------


@given(
    old=st.sampled_from(sorted(EXAMPLES)),
    new=st.sampled_from(sorted(EXAMPLES)),
    step=st.integers(1, STEPS - 1),
)
def test_a_swap_goes_on_from_the_lr_before_to_the_last_bit(
    make_rig: Any, old: str, new: str, step: int
) -> None:
    before = SCHEDULES[old](EXAMPLE_RUN, **EXAMPLES[old]).learning_rate
    rig = a_run(make_rig, before, max_lr=1e9)
    rig.begin(step)

    answer = edit(rig, Verb.SWAP, to(new, **EXAMPLES[new]))

    if isinstance(answer, InvalidRequest):
        with pytest.raises(ValueError, match="must"):
            curve(new, STEPS - step, **EXAMPLES[new])
        return
    after = curve(new, STEPS - step, **EXAMPLES[new])
    if isinstance(answer, FailedPrecondition):
        assert before(step - 1) <= 0 or after(0) <= 0
        return
    [group] = answer.groups
    assert group.new == group.old == before(step - 1)
    scale = 1.0 if after(0) == 0 else before(step - 1) / after(0)
    expected = [scale * after(own) for own in range(STEPS - step)]
    assert lrs_from_now(rig, STEPS) == pytest.approx(expected, rel=1e-14)


def test_a_swap_without_rescaling_is_the_new_schedule_itself(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(40)

    decision = edit(rig, Verb.SWAP, to("linear", rescale=False))

    after = curve("linear", 60)
    assert decision.groups[0].old == curve("warmup_cosine", STEPS, min_lr=0.01)(39)
    assert lrs_from_now(rig, STEPS) == [after(own) for own in range(60)]


def test_the_new_schedules_clock_starts_at_the_applied_step_and_its_length_is_the_rest(
    make_rig: Any,
) -> None:
    rig = a_run(make_rig, lambda step: 0.05)
    rig.begin(40)

    edit(rig, Verb.SWAP, to("linear"))

    expected = [0.05 * (1 - own / 60) for own in range(60)]
    assert lrs_from_now(rig, STEPS) == pytest.approx(expected, rel=1e-14)
    assert rig.run_to(STEPS)[0] == 0.0


def test_a_swap_before_the_first_step_starts_where_the_spec_does(make_rig: Any) -> None:
    rig = a_run(make_rig, lambda step: 0.07)
    rig.begin(0)

    decision = edit(rig, Verb.SWAP, to("cosine"))

    assert [(group.old, group.new) for group in decision.groups] == [(0.07, 0.07)]


@pytest.mark.parametrize(
    ("schedule", "edit_", "why"),
    [
        (lambda step: 0.0, to("cosine"), "is now 0"),
        (lambda step: 0.05, to("warmup_cosine", warmup_steps=5), "would start at 0"),
    ],
)
def test_a_swap_where_no_ratio_leads_is_refused_with_the_mend(
    make_rig: Any, schedule: Any, edit_: ScheduleEdit, why: str
) -> None:
    rig = make_rig({"good": lambda step: PEAK, "bad": schedule}, steps=STEPS)
    rig.begin(10)
    before = rig.steering.states()

    refused = edit(rig, Verb.SWAP, edit_)

    assert isinstance(refused, FailedPrecondition)
    assert why in str(refused)
    assert "ask for no rescaling (rescale=false, --no-rescale), or at another step" in str(refused)
    assert rig.steering.states() == before, "all groups or none"
    assert (rig.decisions, rig.steering.revision) == ([], 0)


def test_where_no_ratio_leads_a_swap_without_rescaling_does(make_rig: Any) -> None:
    rig = a_run(make_rig, lambda step: 0.0, max_lr=1.0)
    rig.begin(10)

    decision = edit(rig, Verb.SWAP, to("cosine", rescale=False))

    assert (decision.groups[0].old, decision.groups[0].new) == (0.0, PEAK)


def test_a_swap_asked_for_while_the_lr_is_0_may_wait_for_a_better_step(make_rig: Any) -> None:
    rig = a_run(make_rig, ScheduleSpec(name="warmup_cosine", args={"warmup_steps": 10}))
    rig.begin(0)

    assert edit(rig, Verb.SWAP, to("constant"), at_step=20) is None

    before = curve("warmup_cosine", STEPS, warmup_steps=10)
    assert rig.lrs([19, 20, 21]) == [before(19)] * 3


def test_a_swap_that_waits_is_refused_at_once_for_what_no_step_mends(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(0)

    refused = edit(rig, Verb.SWAP, to("StepLR", step_size=-1), at_step=20)

    assert isinstance(refused, InvalidRequest)
    assert [(one.field, one.value) for one in refused.violations] == [("args.step_size", "-1")]


def fails_later(run: ScheduleRun) -> Curve:
    def learning_rate(step: int) -> float:
        raise RuntimeError("out of paper")

    return Curve(learning_rate=learning_rate)


def gives_nan(run: ScheduleRun) -> Curve:
    return Curve(learning_rate=lambda step: math.nan)


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        (fails_later, "fails at its step 0 with RuntimeError: out of paper"),
        (gives_nan, "LR of nan"),
    ],
)
def test_a_schedule_of_somebody_else_that_cannot_begin_is_refused_and_changes_nothing(
    make_rig: Any, monkeypatch: pytest.MonkeyPatch, schedule: Any, why: str, rescale: bool
) -> None:
    monkeypatch.setitem(SCHEDULES, "broken", schedule)
    rig = a_run(make_rig)
    rig.begin(10)
    before = rig.steering.states()

    refused = edit(rig, Verb.SWAP, to("broken", rescale=rescale))

    assert isinstance(refused, FailedPrecondition)
    assert why in str(refused)
    assert rig.steering.states() == before


def test_a_swap_begins_and_ends_the_movement_of_a_momentum(make_rig: Any) -> None:
    rig = a_run(make_rig, lambda step: PEAK, max_lr=1.0)
    rig.begin(10)
    assert not rig.steering.moves_momentum

    edit(rig, Verb.SWAP, to("OneCycleLR", max_lr=PEAK, rescale=False))
    rig.run_to(30)
    moving = rig.steering.states()[0].momentum
    expected = SCHEDULES["OneCycleLR"](
        ScheduleRun(lr=PEAK, steps=90, steps_per_epoch=10), max_lr=PEAK
    )

    assert rig.steering.moves_momentum
    assert expected.momentum is not None
    assert moving == expected.momentum(20), "by its own clock"
    edit(rig, Verb.SWAP, to("constant"))
    assert not rig.steering.moves_momentum
    assert rig.steering.states()[0].momentum is None


# --- horizon -----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [60, 300])
def test_a_horizon_stretches_a_schedule_that_knows_the_length(make_rig: Any, steps: int) -> None:
    rig = a_run(make_rig)
    rig.begin(50)

    decision = edit(rig, Verb.HORIZON, ScheduleEdit(steps=steps))

    before = curve("warmup_cosine", STEPS, min_lr=0.01)
    after = curve("warmup_cosine", steps, min_lr=0.01)
    assert rig.steering.steps == steps
    assert decision.groups[0].new == before(50), "continuous at the applied step"
    expected = [before(50) / after(50) * after(step) for step in range(50, steps)]
    assert lrs_from_now(rig, steps) == pytest.approx(expected, rel=1e-14)


def test_a_horizon_without_rescaling_is_the_schedule_as_if_it_had_always_been_so(
    make_rig: Any,
) -> None:
    rig = a_run(make_rig)
    rig.begin(50)

    edit(rig, Verb.HORIZON, ScheduleEdit(steps=200, rescale=False))

    after = curve("warmup_cosine", 200, min_lr=0.01)
    assert lrs_from_now(rig, 200) == [after(step) for step in range(50, 200)]


@given(step=st.integers(0, 99), steps=st.integers(100, 400), rescale=st.booleans())
@settings(max_examples=30)
def test_a_horizon_leaves_a_schedule_that_knows_no_length_to_the_last_bit(
    make_rig: Any, step: int, steps: int, rescale: bool
) -> None:
    rig = a_run(make_rig, STEPPED)
    rig.begin(step)

    edit(rig, Verb.HORIZON, ScheduleEdit(steps=steps, rescale=rescale))

    untouched = curve("StepLR", STEPS, step_size=30, gamma=0.3)
    assert lrs_from_now(rig, steps) == [untouched(one) for one in range(step, steps)]


def test_a_horizon_after_a_swap_gives_the_new_schedule_more_time(make_rig: Any) -> None:
    rig = a_run(make_rig, lambda step: 0.05)
    rig.begin(40)
    edit(rig, Verb.SWAP, to("linear"))
    rig.begin(70)

    decision = edit(rig, Verb.HORIZON, ScheduleEdit(steps=140))

    assert decision.groups[0].new == pytest.approx(0.025)
    fall = [0.025 * (1 - (own - 30) / 70) for own in range(30, 100)]
    assert lrs_from_now(rig, 140) == pytest.approx(fall, rel=1e-13)


def test_a_horizon_is_told_to_policies_from_the_next_observation_on(make_rig: Any) -> None:
    seen = []

    class Watching:
        def initial_state(self, run: Any) -> None:
            return None

        def decide(self, state: None, observation: Observation) -> tuple[Action, None]:
            seen.append(observation.steps)
            return KEEP, state

    rig = a_run(make_rig, policies={"watching": Watching()})
    rig.begin(3)
    edit(rig, Verb.HORIZON, ScheduleEdit(steps=77))
    rig.run_to(5)

    assert seen == [STEPS, STEPS, STEPS, 77, 77]


@pytest.mark.parametrize(
    ("asked", "at_step", "expected"),
    [
        (30, None, "more than the 30 steps that are done; to end the run now, stop it"),
        (7, None, "more than the 30 steps that are done; to end the run now, stop it"),
        (40, 50, "more than the 50 steps that are done by at_step"),
    ],
)
def test_a_horizon_that_is_over_is_refused(
    make_rig: Any, asked: int, at_step: int | None, expected: str
) -> None:
    rig = a_run(make_rig)
    rig.begin(30)

    refused = edit(rig, Verb.HORIZON, ScheduleEdit(steps=asked), at_step=at_step)

    assert isinstance(refused, InvalidRequest)
    assert [(one.field, one.value, one.expected) for one in refused.violations] == [
        ("steps", str(asked), expected)
    ]
    assert rig.steering.steps == STEPS


def test_the_step_that_runs_may_be_the_last(make_rig: Any) -> None:
    rig = a_run(make_rig, STEPPED)
    rig.begin(30)

    edit(rig, Verb.HORIZON, ScheduleEdit(steps=31))

    assert rig.steering.steps == 31


def test_a_horizon_that_the_schedule_cannot_have_is_refused_with_its_reason(make_rig: Any) -> None:
    schedule = ScheduleSpec(name="wsd", args={"warmup": 40, "decay": 20})
    rig = a_run(make_rig, schedule)
    rig.begin(30)

    refused = edit(rig, Verb.HORIZON, ScheduleEdit(steps=50))

    assert isinstance(refused, InvalidRequest)
    [violation] = refused.violations
    assert (violation.field, violation.value) == ("steps", "50")
    assert "decay" in violation.expected
    assert "fit into the run's 50 steps" in violation.expected
    assert rig.steering.steps == STEPS


# --- cooldown and rewarm -----------------------------------------------------------------------

FALLS = {
    "1-sqrt": lambda progress: 1 - math.sqrt(progress),
    "linear": lambda progress: 1 - progress,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
}


@pytest.mark.parametrize("ratio", [None, 0.25])
@pytest.mark.parametrize("length", [None, 20, 500])
@pytest.mark.parametrize("shape", ["", *FALLS])
def test_a_cooldown_falls_from_the_present_lr_in_its_shape_and_time(
    make_rig: Any, shape: str, length: int | None, ratio: float | None
) -> None:
    rig = a_run(make_rig)
    rig.begin(50)
    present = curve("warmup_cosine", STEPS, min_lr=0.01)(49)

    decision = edit(rig, Verb.COOLDOWN, ScheduleEdit(shape=shape, steps=length, ratio=ratio))

    steps, least, fall = length or 50, ratio or 0.0, FALLS[shape or "1-sqrt"]
    expected = [
        present * (least + (1 - least) * (fall(own / steps) if own < steps else 0.0))
        for own in range(50)
    ]
    assert decision.groups[0].new == decision.groups[0].old == present
    assert lrs_from_now(rig, STEPS) == pytest.approx(expected, rel=1e-12, abs=1e-18)


def test_a_cooldown_to_the_end_arrives_after_the_last_step(make_rig: Any) -> None:
    rig = a_run(make_rig, lambda step: PEAK)
    rig.begin(60)

    edit(rig, Verb.COOLDOWN, ScheduleEdit(shape="linear"))

    assert rig.run_to(99)[0] == pytest.approx(PEAK / 40)
    assert rig.run_to(100) == [0.0]


def test_a_cooldown_from_0_is_refused_with_the_mend(make_rig: Any) -> None:
    rig = a_run(make_rig, lambda step: 0.0)
    rig.begin(5)

    refused = edit(rig, Verb.COOLDOWN, ScheduleEdit())

    assert isinstance(refused, FailedPrecondition)
    assert "is now 0" in str(refused)
    assert "hold or set the LR first" in str(refused)


@pytest.mark.parametrize("ratio", [None, 0.2, 1.0])
def test_a_rewarm_rises_to_the_schedule_and_is_the_schedule_ever_after(
    make_rig: Any, ratio: float | None
) -> None:
    rig = a_run(make_rig)
    rig.begin(50)

    edit(rig, Verb.REWARM, ScheduleEdit(steps=10, ratio=ratio))
    lrs = lrs_from_now(rig, STEPS)

    untouched = [curve("warmup_cosine", STEPS, min_lr=0.01)(step) for step in range(50, STEPS)]
    start = ratio or 0.0
    shares = [start + (1 - start) * (done + 1) / 10 for done in range(9)]
    rising = [lr * share for lr, share in zip(untouched, shares, strict=False)]
    assert lrs[:9] == pytest.approx(rising, rel=1e-14)
    assert lrs[9:] == untouched[9:], "exactly, with the last step of the rise"


def test_a_second_rewarm_begins_from_a_share_of_the_first(make_rig: Any) -> None:
    rig = a_run(make_rig, lambda step: PEAK)
    rig.begin(10)
    edit(rig, Verb.REWARM, ScheduleEdit(steps=10))
    rig.begin(12)

    edit(rig, Verb.REWARM, ScheduleEdit(steps=4))

    expected = [PEAK * 0.3 * 0.25, PEAK * 0.4 * 0.5, PEAK * 0.5 * 0.75, PEAK * 0.6, PEAK * 0.7]
    assert lrs_from_now(rig, 17) == pytest.approx(expected, rel=1e-14)


# --- beside everything else --------------------------------------------------------------------


def test_only_the_groups_named_get_another_schedule(make_rig: Any) -> None:
    rig = make_rig({"body": COSINE, "head": STEPPED}, steps=STEPS)
    rig.begin(50)

    decision = edit(rig, Verb.SWAP, to("linear"), groups=("body",))
    body, head = rig.run_to(80)

    stepped = curve("StepLR", STEPS, step_size=30, gamma=0.3)
    assert [group.name for group in decision.groups] == ["body"]
    assert head == stepped(80)
    assert body == pytest.approx(curve("warmup_cosine", STEPS, min_lr=0.01)(49) * 20 / 50)


def test_each_group_goes_on_from_its_own_lr(make_rig: Any) -> None:
    rig = make_rig({"body": lambda step: 0.01, "head": lambda step: 0.04}, lr_scale=2.0)
    rig.begin(50)

    decision = edit(rig, Verb.COOLDOWN, ScheduleEdit(shape="linear", steps=10))

    assert [(one.old, one.new) for one in decision.groups] == [(0.02, 0.02), (0.08, 0.08)]
    assert rig.run_to(55) == [0.01, 0.04]


def test_an_edit_waits_for_its_step(make_rig: Any) -> None:
    rig = a_run(make_rig, lambda step: PEAK)
    rig.begin(2)

    waiting = edit(rig, Verb.COOLDOWN, ScheduleEdit(shape="linear", steps=10), at_step=5)

    assert waiting is None
    assert rig.lrs([4, 5, 6, 10]) == pytest.approx([PEAK, PEAK, 0.9 * PEAK, 0.5 * PEAK])
    assert rig.outcomes[0].result.applied_step == 5


@pytest.mark.parametrize(
    ("verb", "wish"),
    [
        (Verb.SWAP, to("linear", rescale=False)),
        (Verb.HORIZON, ScheduleEdit(steps=400)),
        (Verb.COOLDOWN, ScheduleEdit(steps=5)),
        (Verb.REWARM, ScheduleEdit(steps=5)),
    ],
)
def test_a_dry_run_says_what_would_be_and_changes_nothing(
    make_rig: Any, verb: Verb, wish: ScheduleEdit
) -> None:
    rig, real, untouched = (a_run(make_rig) for _ in range(3))
    for one in (rig, real, untouched):
        one.run_to(50)
    before = rig.steering.states()

    would = edit(rig, verb, wish, dry_run=True)
    done = edit(real, verb, wish)

    assert would.groups == done.groups
    assert (would.revision, would.applied_step, would.edit) == (1, 50, wish)
    assert (rig.decisions, rig.steering.revision, rig.steering.steps) == ([], 0, STEPS)
    assert rig.steering.states() == before
    assert rig.steering.revisions_in_force() == ()
    assert rig.lrs(range(51, STEPS)) == untouched.lrs(range(51, STEPS))


@pytest.mark.parametrize(
    ("verb", "wish"),
    [
        (Verb.SWAP, to("cosine")),
        (Verb.SWAP, to("linear", rescale=False)),
        (Verb.HORIZON, ScheduleEdit(steps=90)),
        (Verb.COOLDOWN, ScheduleEdit(steps=20)),
        (Verb.REWARM, ScheduleEdit(steps=20)),
    ],
)
@pytest.mark.parametrize("scaled_at", [30, 50, 60])
def test_a_scale_before_or_after_an_edit_gives_exactly_half(
    make_rig: Any, verb: Verb, wish: ScheduleEdit, scaled_at: int
) -> None:
    whole, half = a_run(make_rig), a_run(make_rig)
    seen: dict[Any, list[float]] = {whole: [], half: []}
    for rig, lrs in seen.items():
        for step in range(STEPS):
            rig.begin(step)
            if rig is half and step == scaled_at:
                rig.ask(Verb.SCALE, 0.5)
            if step == 50:
                edit(rig, verb, wish)
            rig.settle()
            lrs.append(rig.steering.learning_rates[0])

    assert seen[half][:scaled_at] == seen[whole][:scaled_at]
    assert seen[half][scaled_at:] == [lr * 0.5 for lr in seen[whole][scaled_at:]]


def test_an_edit_under_a_hold_shows_when_it_is_released(make_rig: Any) -> None:
    rig = a_run(make_rig, lambda step: PEAK)
    rig.begin(10)
    rig.ask(Verb.HOLD, 0.03)

    held = edit(rig, Verb.COOLDOWN, ScheduleEdit(shape="linear", steps=40))
    lrs = lrs_from_now(rig, 30)
    rig.run_to(30)
    rig.ask(Verb.RELEASE)

    assert (held.groups[0].new, held.groups[0].base) == (0.03, PEAK)
    assert set(lrs) == {0.03}
    assert rig.steering.learning_rates == [PEAK * 0.5]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((Verb.SWAP, to("cosine")), (Verb.COOLDOWN, ScheduleEdit(steps=10))),
        ((Verb.SWAP, to("linear", rescale=False)), (Verb.COOLDOWN, ScheduleEdit(steps=10))),
        ((Verb.REWARM, ScheduleEdit(steps=10, ratio=0.1)), (Verb.SWAP, to("cosine"))),
        ((Verb.HORIZON, ScheduleEdit(steps=400)), (Verb.SWAP, to("cosine"))),
        ((Verb.COOLDOWN, ScheduleEdit(steps=10)), (Verb.HORIZON, ScheduleEdit(steps=60))),
    ],
)
def test_the_second_of_two_edits_at_one_boundary_starts_where_the_first_has_led(
    make_rig: Any, first: Any, second: Any
) -> None:
    rig = a_run(make_rig)
    rig.begin(50)

    for ticket, (verb, wish) in enumerate((first, second)):
        rig.steering.submit(ticket, Change(verb=verb, edit=wish))
    rig.settle()

    before, after = (decision.groups[0] for decision in rig.decisions)
    assert [decision.applied_step for decision in rig.decisions] == [50, 50]
    assert after.old == before.new
    assert after.new == before.new
    assert rig.steering.learning_rates == [after.new]


def test_the_edits_in_force_are_those_that_make_the_present_schedule(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(10)
    edit(rig, Verb.SWAP, to("cosine"))
    edit(rig, Verb.REWARM, ScheduleEdit(steps=5))
    edit(rig, Verb.HORIZON, ScheduleEdit(steps=200))
    several = rig.steering.revisions_in_force()
    rig.begin(20)

    edit(rig, Verb.COOLDOWN, ScheduleEdit(steps=50))
    rig.ask(Verb.RELEASE)

    assert several == (1, 2, 3)
    assert rig.steering.revisions_in_force() == (4,), "a swap forgets those before, no release does"


def test_a_group_that_cools_down_refuses_edits(make_rig: Any) -> None:
    rig = a_run(make_rig, cool_down_steps=10)
    rig.begin(10)
    edit(rig, Verb.COOLDOWN, ScheduleEdit())
    rig.begin(15)

    refused = edit(rig, Verb.SWAP, to("cosine"))

    assert "guardrails.cool_down_steps lets the next change in at step 20" in str(refused)
