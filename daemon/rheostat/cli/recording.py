"""A steered run as part of a spec: its schedules, and all that anybody made of them."""

import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from rheostat.cli.columns import doubles, states_of
from rheostat.errors import RheostatError
from rheostat.runs.records import GroupDescription, RunView, StepRows
from rheostat.spec.groups import GroupSpec, HeadPreset, Modifier, MuonPreset, OptimizerSpec
from rheostat.spec.loading import MAX_VALUES
from rheostat.spec.models import Spec
from rheostat.spec.rules import DEFAULT_GROUP
from rheostat.spec.schedules import ScheduleSpec
from rheostat.steering.records import Decision, GroupState, Verb
from rheostat.steering.segments import schedule_of

Fragment = dict[str, Any]
"""Sections of a spec, each to stand in place of the spec's own."""

_HEADER = """\
# What run {run} did in its {steps} steps, as a schedule. Each section replaces that of the spec.
"""


def recorded_fragment(
    view: RunView, batches: Iterable[StepRows], decisions: Sequence[Decision]
) -> Fragment:
    """Return the sections with which a run of the same spec has the same LRs at every step.

    Args:
        view: the recorded run.
        batches: its finished steps, in order.
        decisions: its history, in order.

    Raises:
        RheostatError: if there is nothing to record, or more than a spec can hold.
    """
    if view.attached:
        raise RheostatError(
            f"run {view.name} is trained by a script: there is no spec to train again with what "
            "was done; `rheostat runs export` has its LR of every step"
        )
    tracks = {group.name: Track() for group in view.groups}
    for batch in batches:
        states = states_of(batch)
        for name, track in tracks.items():
            track.follow(batch, name, {step: groups[name] for step, groups in states.items()})
    finished = max((track.end for track in tracks.values()), default=0)
    if not finished:
        raise RheostatError(f"run {view.name} has not finished a step: there is nothing to record")
    spec = Spec.model_validate_json(view.spec)
    done = [one for one in decisions if one.applied_step < finished]
    args = {
        group.name: _arguments(spec, group, done) | tracks[group.name].arguments()
        for group in view.groups
    }
    fragment = _common_schedule(view.groups, args) or _schedules_by_group(spec, view.groups, args)
    fragment |= {"policies": []} | _length(spec, done)
    _check_size(view.name, fragment)
    return fragment


def as_yaml(fragment: Fragment, *, run: str, steps: int) -> str:
    """Return the text of a fragment, in full precision.

    Args:
        fragment: what was recorded.
        run: of which run.
        steps: how many finished steps it had.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.representer.sort_base_mapping_type_on_output = False
    yaml.width = 100
    stream = io.StringIO()
    yaml.dump(fragment, stream)
    return _HEADER.format(run=run, steps=steps) + stream.getvalue()


class Track:
    """What was made of one group's base LR, step by step."""

    def __init__(self) -> None:
        self.end = 0
        """Steps followed so far."""
        self._gain = 1.0
        self._gains: list[list[float]] = []
        self._rates: list[list[float]] = []
        self._is_held = False
        """Whether an operator held the group at the newest step."""

    def follow(self, batch: StepRows, group: str, states: Mapping[int, GroupState]) -> None:
        """Take in more steps, and how the LR came about from some of them on."""
        rates, bases = doubles(batch.learning_rate[group]), doubles(batch.base[group])
        gain, is_held = 1.0, False
        for index, (lr, base) in enumerate(zip(rates, bases, strict=True)):
            step = batch.first_step + index
            if step in states:
                state = states[step]
                # Multiplied in the order of the composition law.
                gain = math.prod(state.factors.values()) * state.operator
                is_held = state.hold is not None
            if is_held or base * gain != lr:
                self._note_rate(step, lr)
            elif gain != self._gain:
                self._gain = gain
                self._gains.append([step, gain])
            self.end, self._is_held = step + 1, is_held

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `recorded` that say it; a hold that never ended goes on."""
        rates: list[list[Any]] = [[*stretch] for stretch in self._rates]
        if self._is_held:
            rates[-1][1] = None
        gains = {"gains": self._gains} if self._gains else {}
        return gains | ({"rates": rates} if rates else {})

    def _note_rate(self, step: int, lr: float) -> None:
        """Note an LR that is no product: one that was held, or bent by a guardrail."""
        if self._rates and self._rates[-1][1:] == [step, lr]:
            self._rates[-1][1] = step + 1
        else:
            self._rates.append([step, step + 1, lr])


def _arguments(
    spec: Spec, group: GroupDescription, decisions: Sequence[Decision]
) -> dict[str, Any]:
    """Return what a group's schedule was and what was done to it, as arguments of `recorded`."""
    edits = [
        _edit(one)
        for one in decisions
        if one.edit is not None and group.name in {changed.name for changed in one.groups}
    ]
    arguments: dict[str, Any] = {"schedule": _part(_schedule_of(spec, group))}
    if any(edit["verb"] == Verb.HORIZON for edit in edits):
        train = spec.train
        arguments["steps"] = f"{train.epochs!r}ep" if train.steps is None else train.steps
    return arguments | ({"edits": edits} if edits else {})


def _edit(decision: Decision) -> dict[str, Any]:
    """Return an edit of the schedule as `recorded` takes it; a cooldown is a swap."""
    edit, verb = decision.edit, Verb(decision.verb)
    assert edit is not None
    said: dict[str, Any] = {"step": decision.applied_step}
    match verb:
        case Verb.REWARM:
            said |= {"verb": verb.value, "steps": edit.steps}
            return said | ({"ratio": edit.ratio} if edit.ratio else {})
        case Verb.HORIZON:
            said |= {"verb": verb.value, "steps": edit.steps}
        case _:
            said |= {"verb": Verb.SWAP.value, "schedule": _part(schedule_of(verb, edit))}
    is_scaled = edit.rescale or verb is Verb.COOLDOWN
    return said if is_scaled else said | {"rescale": False}


def _part(schedule: ScheduleSpec) -> dict[str, Any]:
    return schedule.model_dump(exclude_defaults=True) | {"name": schedule.name}


def _schedule_of(spec: Spec, group: GroupDescription) -> ScheduleSpec:
    """Return the schedule that the spec gives a group."""
    if group.schedule is None:
        return spec.schedule
    for entry in spec.groups:
        if not isinstance(entry, GroupSpec | HeadPreset) or entry.schedule is None:
            continue
        if re.search(entry.match, group.names[0]):
            return entry.schedule
    raise RheostatError(f"the spec says nothing of group {group.name}'s own schedule")


def _common_schedule(
    groups: Sequence[GroupDescription], args: Mapping[str, dict[str, Any]]
) -> Fragment | None:
    """Return the one schedule that does for all groups, None where none does."""
    first, *others = args.values()
    if any(other != first for other in others) or any(group.schedule for group in groups):
        return None
    # The schedule comes before lr_scale, and no rounding is as if it came after.
    if any(group.lr_scale != 1 for group in groups) and ("gains" in first or "rates" in first):
        return None
    return {"schedule": {"name": "recorded", "args": first}}


def _schedules_by_group(
    spec: Spec, groups: Sequence[GroupDescription], args: Mapping[str, dict[str, Any]]
) -> Fragment:
    """Return a schedule per group, with its `lr_scale` inside."""
    fragment: Fragment = {}
    entries = []
    for group in groups:
        own = {"lr_scale": group.lr_scale} if group.lr_scale != 1 else {}
        schedule = {"name": "recorded", "args": {"group": group.name} | own | args[group.name]}
        if group.name == DEFAULT_GROUP:
            fragment["schedule"] = schedule
        else:
            entries.append(_entry(spec, group) | {"schedule": schedule})
    return fragment | {"groups": entries}


def _entry(spec: Spec, group: GroupDescription) -> dict[str, Any]:
    """Return the entry of `groups` that makes a group: as it was written, else by exact names."""
    if not any(isinstance(entry, Modifier) for entry in spec.groups):
        for entry in spec.groups:
            name = entry.name if isinstance(entry, GroupSpec) else entry.preset
            if isinstance(entry, GroupSpec | HeadPreset) and name == group.name:
                written = entry.model_dump(mode="json", exclude_defaults=True)
                return {key: value for key, value in written.items() if key != "lr_scale"}
    names = "|".join(map(re.escape, group.names))
    entry_: dict[str, Any] = {"name": group.name, "match": f"^({names})$"}
    if group.lr is not None:
        entry_["lr"] = group.lr
    if group.args:
        entry_["args"] = {name: json.loads(value) for name, value in group.args.items()}
    if group.optimizer is not None:
        own = _optimizer_of(spec, group)
        entry_["optimizer"] = own.model_dump(mode="json", exclude_defaults=True, exclude={"lr"})
    return entry_


def _optimizer_of(spec: Spec, group: GroupDescription) -> OptimizerSpec:
    """Return the optimizer that the spec gives a group of its own."""
    for entry in spec.groups:
        if isinstance(entry, GroupSpec) and re.search(entry.match, group.names[0]):
            if entry.optimizer is not None:
                return entry.optimizer
            break
    [*_, preset] = [entry for entry in spec.groups if isinstance(entry, MuonPreset)]
    return preset.optimizer


def _length(spec: Spec, decisions: Sequence[Decision]) -> Fragment:
    """Return the section that gives the run the length it came to have, if anybody changed it."""
    horizons = [one.edit for one in decisions if one.verb == Verb.HORIZON]
    if not horizons or horizons[-1] is None:
        return {}
    train = spec.train.model_dump(mode="json", exclude_defaults=True, exclude={"epochs"})
    return {"train": train | {"steps": horizons[-1].steps}}


def _check_size(run: str, fragment: Fragment) -> None:
    """Refuse what no spec can hold."""
    values = _count(fragment)
    if values > MAX_VALUES:
        raise RheostatError(
            f"run {run} was changed at so many steps that its record has {values:,} values; "
            f"a spec has at most {MAX_VALUES:,}"
        )


def _count(value: Any) -> int:
    """Return how many values there are in a document, the document included."""
    inner: Iterable[Any] = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    return 1 + sum(map(_count, inner))
