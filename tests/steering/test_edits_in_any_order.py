"""Any sequence of edits and wishes: the base is the schedule's, and the parts make the whole."""

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.errors import FailedPrecondition, InvalidRequest
from rheostat.spec.schedules import ScheduleSpec
from rheostat.steering.records import Decision, PolicyEdit, ScheduleEdit, Verb
from rheostat_policies import KEEP, SCHEDULES, Action, Observation, ScheduleRun

STEPS = 100
PLAYED = 80
SCHEDULES_OF_GROUPS = {
    "body": ScheduleSpec(name="warmup_cosine", args={"warmup_steps": 8}),
    "head": ScheduleSpec(name="StepLR", args={"step_size": 30, "gamma": 0.3}),
}
LOWEST, HIGHEST = 1e-4, 0.5


class Impossible(Exception):
    """No ratio leads from one LR to the other."""


def curve(name: str, steps: int, /, **args: Any) -> Any:
    """Return the LR by step of a schedule that has a run of so many steps to itself."""
    run = ScheduleRun(lr=0.1, steps=steps, steps_per_epoch=10)
    return SCHEDULES[name](run, **args).learning_rate


class Planned:
    """One group's base LRs, as somebody plans them with a pencil and edits them by hand."""

    length = 2 * STEPS

    def __init__(self, schedule: str, args: dict[str, Any]) -> None:
        self.schedule, self.args = schedule, args
        self.origin, self.scale, self.edited_at = 0, 1.0, -1
        made = curve(schedule, STEPS, **args)
        self.shape = [made(step) for step in range(self.length)]
        self.rise = [1.0] * self.length

    def base(self, step: int) -> float:
        return self.shape[step] * self.rise[step]

    def edited(self, verb: Verb, wish: ScheduleEdit, step: int, steps: int) -> "Planned":
        """Return the plan after an edit; ValueError, Impossible where it cannot be edited so."""
        plan = copy.deepcopy(self)
        plan.edited_at = step
        # A second edit at one boundary goes on from where the first has led.
        now = self.base(step if self.edited_at == step else max(step - 1, 0))
        match verb:
            case Verb.REWARM:
                plan.warm_up(step, wish.steps, wish.ratio or 0.0)
            case Verb.HORIZON:
                plan.stretch(step, steps, wish.steps, wish.rescale)
            case Verb.SWAP:
                args = json.loads(wish.args)
                plan.start(step, steps, wish.schedule, args, now if wish.rescale else None)
            case Verb.COOLDOWN:
                args = {
                    "num_stable_steps": 0,
                    "num_decay_steps": wish.steps or "1dur",
                    "decay_type": wish.shape or "1-sqrt",
                    "min_lr_ratio": wish.ratio or 0.0,
                }
                plan.start(step, steps, "warmup_stable_decay", args, now)
        return plan

    def warm_up(self, step: int, steps: int | None, start: float) -> None:
        assert steps is not None
        for later in range(step, self.length):
            done = min(1.0, (later - step + 1) / steps)
            self.rise[later] *= start + (1 - start) * done

    def stretch(self, step: int, before: int, after: int | None, rescale: bool) -> None:
        assert after is not None
        old = curve(self.schedule, before - self.origin, **self.args)(step - self.origin)
        made = curve(self.schedule, after - self.origin, **self.args)
        if rescale and old != made(step - self.origin):
            self.scale = ratio(self.shape[step], made(step - self.origin))
        for later in range(step, self.length):
            self.shape[later] = self.scale * made(later - self.origin)

    def start(
        self, step: int, steps: int, schedule: str, args: dict[str, Any], lr: float | None
    ) -> None:
        made = curve(schedule, steps - step, **args)
        self.schedule, self.args, self.origin = schedule, args, step
        self.scale = 1.0 if lr is None else ratio(lr, made(0))
        for later in range(step, self.length):
            self.shape[later] = self.scale * made(later - step)
            self.rise[later] = 1.0


def ratio(present: float, new: float) -> float:
    if present == new:
        return 1.0
    if not (present > 0 and new > 0):
        raise Impossible
    return present / new


def to(name: str, /, *, rescale: bool, **args: Any) -> ScheduleEdit:
    return ScheduleEdit(schedule=name, args=json.dumps(args), rescale=rescale)


WHENS = st.integers(0, PLAYED - 10)
GROUPS = st.sampled_from([(), ("body",), ("head",)])
LENGTHS, SHARES = st.integers(1, 30), st.none() | st.floats(0, 1)
SWAPS = st.one_of(
    st.builds(to, st.sampled_from(["constant", "linear", "cosine"]), rescale=st.booleans()),
    st.builds(to, st.just("StepLR"), rescale=st.booleans(), step_size=st.integers(1, 20)),
    st.builds(to, st.just("warmup_cosine"), rescale=st.booleans(), warmup_steps=LENGTHS),
)
HORIZONS = st.builds(ScheduleEdit, steps=st.integers(1, 150), rescale=st.booleans())
COOLDOWNS = st.builds(
    ScheduleEdit,
    steps=st.none() | LENGTHS,
    shape=st.sampled_from(["", "1-sqrt", "linear", "cosine"]),
    ratio=SHARES,
)
EDITS = st.one_of(
    st.tuples(st.just(Verb.SWAP), SWAPS, GROUPS),
    st.tuples(st.just(Verb.HORIZON), HORIZONS, st.just(())),
    st.tuples(st.just(Verb.COOLDOWN), COOLDOWNS, GROUPS),
    st.tuples(st.just(Verb.REWARM), st.builds(ScheduleEdit, steps=LENGTHS, ratio=SHARES), GROUPS),
)
LRS, EXPIRIES = st.floats(1e-3, 1), st.none() | LENGTHS
LASTING = {"groups": GROUPS, "expires_after_steps": EXPIRIES}
WISHES = st.one_of(
    st.fixed_dictionaries({"verb": st.just(Verb.SCALE), "value": st.floats(0.1, 3), **LASTING}),
    st.fixed_dictionaries({"verb": st.just(Verb.SET), "value": LRS, **LASTING}),
    st.fixed_dictionaries({"verb": st.just(Verb.HOLD), "value": LRS, **LASTING}),
    st.fixed_dictionaries({"verb": st.just(Verb.RAMP), "value": LRS, "steps": LENGTHS, **LASTING}),
    st.fixed_dictionaries({"verb": st.just(Verb.RELEASE), "groups": GROUPS}),
    st.fixed_dictionaries(
        {
            "verb": st.sampled_from([Verb.SHADOW, Verb.ENGAGE, Verb.DETACH]),
            "policy": st.builds(
                PolicyEdit, policy=st.sampled_from(["first", "second"]), ramp_steps=LENGTHS
            ),
        }
    ),
)
ANSWERS = st.dictionaries(WHENS, st.builds(Action, factor=st.floats(0.1, 5), ramp_steps=LENGTHS))


class Scripted:
    """A policy that answers from a list, by step."""

    def __init__(self, answers: dict[int, Action]) -> None:
        self.answers = answers

    def initial_state(self, run: Any) -> None:
        return None

    def decide(self, state: None, observation: Observation) -> tuple[Action, None]:
        return self.answers.get(observation.step, KEEP), state


def edit(rig: Any, plans: dict[str, Planned], verb: Verb, wish: Any, groups: Any) -> None:
    """Ask for an edit, and edit the plans as the answer must have it."""
    steps = rig.steering.steps
    answer = rig.ask(verb, edit=wish, groups=groups)
    try:
        if verb is Verb.HORIZON and wish.steps <= rig.step:
            raise ValueError("it is over")
        edited = {name: plans[name].edited(verb, wish, rig.step, steps) for name in groups or plans}
    except ValueError:
        assert isinstance(answer, InvalidRequest)
    except Impossible:
        assert isinstance(answer, FailedPrecondition)
    else:
        assert isinstance(answer, Decision)
        assert rig.steering.steps == (wish.steps if verb is Verb.HORIZON else steps)
        plans |= edited


def whole(parts: Any) -> float:
    """Return the LR that the parts of a state or of a decision make."""
    product = parts.base * (math.prod(parts.factors.values()) * parts.operator)
    return min(max(product if parts.hold is None else parts.hold, LOWEST), HIGHEST)


@given(
    edits=st.lists(st.tuples(WHENS, EDITS), max_size=6),
    wishes=st.lists(st.tuples(WHENS, WISHES), max_size=5),
    answers=st.tuples(ANSWERS, ANSWERS),
)
def test_the_base_is_the_schedule_as_edited_and_the_parts_make_the_whole_at_every_step(
    make_rig: Any, edits: Any, wishes: Any, answers: Any
) -> None:
    plans = {name: Planned(one.name, one.args) for name, one in SCHEDULES_OF_GROUPS.items()}
    policies = {"first": Scripted(answers[0]), "second": Scripted(answers[1])}
    rig = make_rig(SCHEDULES_OF_GROUPS, policies, steps=STEPS, min_lr=LOWEST, max_lr=HIGHEST)
    for step in range(PLAYED):
        rig.begin(step)
        for at, (verb, wish, groups) in edits:
            if at == step:
                edit(rig, plans, verb, wish, groups)
        for at, wish in wishes:
            if at == step:
                rig.ask(**wish)
        rig.settle()
        for state, lr in zip(rig.steering.states(), rig.steering.learning_rates, strict=True):
            assert lr == state.learning_rate == whole(state)
            assert state.base == pytest.approx(plans[state.name].base(step), rel=1e-9, abs=1e-300)
    for decision in rig.decisions:
        for group in decision.groups:
            assert group.new == whole(group)
