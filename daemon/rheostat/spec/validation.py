"""A document into a spec, or into everything that is wrong with it."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.building import POLICY, SCHEDULE, PluginKind, build_policy, build_schedule
from rheostat.spec.groups import (
    ENTRIES,
    GROUP_ENTRY,
    GroupEntry,
    GroupSpec,
    HeadPreset,
    MuonPreset,
    OptimizerSpec,
)
from rheostat.spec.loading import read_document
from rheostat.spec.models import DataSpec, PolicySpec, Spec
from rheostat.spec.rules import broken_rules
from rheostat.spec.schedules import ScheduleSpec
from rheostat.spec.section import Section, salvaged
from rheostat.spec.wording import did_you_mean, field_path, violations_of, written
from rheostat_policies import ScheduleRun

_UNKNOWN_STEPS = 2**63
"""Stands for the length of a run counted in epochs: no bound relative to it can be broken."""
_TOLD_ELSEWHERE = {"extra_forbidden", "union_tag_invalid"}
"""Errors of pydantic's with words of their own: unknown keys here, unknown presets in `rules`."""


def load(text: str, origin: str = "spec") -> Spec:
    """Read a spec from YAML or JSON without importing anybody else's code.

    Args:
        text: the document.
        origin: what the errors of a document that cannot be read call it.

    Raises:
        InvalidSpec: with every mistake that can be seen from here.
    """
    spec, violations = parse(read_document(text, origin))
    if spec is None:
        raise InvalidSpec(violations)
    return spec


def parse(
    document: Mapping[str, Any], *, import_plugins: bool = False
) -> tuple[Spec | None, list[Violation]]:
    """Return the spec of a document, or None and everything that is wrong with it.

    Args:
        document: what `read_document` returned.
        import_plugins: whether schedules and policies from elsewhere may be imported, to check
            their arguments too. The daemon never does; the command line and the trainer may.
    """
    spec, violations = None, list(broken_rules(document))
    try:
        # Strict JSON is what a spec can say: `true` is no number and "8" is no batch size.
        spec = Spec.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as failure:
        errors = failure.errors(include_url=False)
        unknown = [error for error in errors if error["type"] == "extra_forbidden"]
        known = [error for error in errors if error["type"] not in _TOLD_ELSEWHERE]
        violations += [_unknown_key(error["loc"], error["input"]) for error in unknown]
        violations += violations_of(map(_as_written, known), document)
    violations += _schedule_violations(document, import_plugins)
    violations += _policy_violations(document, import_plugins)
    return (None if violations else spec), violations


def _as_written(error: ErrorDetails) -> ErrorDetails:
    """Return the error at its place in the document, which does not name the kind of an entry."""
    return {**error, "loc": _without_kind(error["loc"])}


def _without_kind(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return (*loc[:2], *loc[3:]) if loc[0] == "groups" else loc


def _unknown_key(loc: tuple[str | int, ...], value: Any) -> Violation:
    section: type[Section] = Spec
    inner = loc
    if loc[0] == "groups":
        section, inner = ENTRIES[str(loc[2])], loc[3:]
    for part in inner[:-1]:
        if part in section.model_fields:
            section = _section_in(section.model_fields[str(part)].annotation) or section
    hint = did_you_mean(str(loc[-1]), section.model_fields)
    return Violation(field_path(_without_kind(loc)), written(value), f"unknown key, {hint}")


def _section_in(annotation: Any) -> type[Section] | None:
    """Return the section that a field holds: by itself, in a list, by name, or maybe."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, Section):
            return one
    return None


def _schedule_violations(document: Mapping[str, Any], import_plugins: bool) -> Iterator[Violation]:
    """Yield what is wrong with the run's schedule and those of its groups, where well-formed."""
    entries = [(index, _group_entry(one)) for index, one in enumerate(_entries(document, "groups"))]
    own = {
        index: entry.schedule
        for index, entry in entries
        if isinstance(entry, GroupSpec | HeadPreset) and entry.schedule is not None
    }
    common = _run_of(document)
    runs = {
        index: [replace(common, lr=lr, lr_is_own=True) for lr in _own_lrs(entry)]
        for index, entry in entries
    }
    spec = salvaged(ScheduleSpec, document.get("schedule", {}))
    if spec is not None:
        shared = [run for index in runs if index not in own for run in runs[index]]
        yield from _one_schedule(spec, "schedule", [common, *shared], import_plugins)
    for index, spec in own.items():
        path = f"groups[{index}].schedule"
        yield from _one_schedule(spec, path, runs[index] or [common], import_plugins)


def _one_schedule(
    spec: ScheduleSpec, path: str, runs: Sequence[ScheduleRun], import_plugins: bool
) -> Iterator[Violation]:
    """Yield what is wrong with a schedule's name and arguments.

    Somebody else's schedule is not called: it may count on the data's true number of steps, which
    only the trainer knows. Nor is a built-in one that names somebody's function, where plug-ins
    may not be imported. What is refused at one length of an epoch and not at another is left to
    the trainer too, who has counted.
    """
    found = list(_plugin_violations(SCHEDULE, spec, path, import_plugins))
    yield from found
    if found or spec.name not in SCHEDULE.builtins:
        return
    if _names_a_plugin(spec.args) and not import_plugins:
        return
    for run in runs:
        refusals = [_refusal(spec, path, replace(run, steps_per_epoch=10**n)) for n in range(7)]
        if all(refusals):
            yield from refusals[0]
            return


def _refusal(spec: ScheduleSpec, path: str, run: ScheduleRun) -> tuple[Violation, ...]:
    """Return why a schedule cannot be made for a run, nothing where it can."""
    try:
        build_schedule(spec, run, path=path)
    except InvalidSpec as error:
        return error.violations
    return ()


def _names_a_plugin(args: Any) -> bool:
    """Whether arguments hold a `module:attribute` anywhere."""
    if isinstance(args, str):
        return ":" in args
    if isinstance(args, Mapping):
        return any(map(_names_a_plugin, args.values()))
    return isinstance(args, list) and any(map(_names_a_plugin, args))


def _policy_violations(document: Mapping[str, Any], import_plugins: bool) -> Iterator[Violation]:
    """Yield what is wrong with the names and arguments of the well-formed policies."""
    for index, entry in enumerate(_entries(document, "policies")):
        spec, path = salvaged(PolicySpec, entry), f"policies[{index}]"
        if spec is None:
            continue
        found = list(_plugin_violations(POLICY, spec, path, import_plugins))
        yield from found
        if found or not (import_plugins or spec.name in POLICY.builtins):
            continue
        try:
            build_policy(spec, path=path)
        except InvalidSpec as error:
            yield from error.violations


def _plugin_violations(
    kind: PluginKind[Any], spec: ScheduleSpec | PolicySpec, path: str, import_plugins: bool
) -> Iterator[Violation]:
    try:
        kind.check_name(spec.name, path)
        if import_plugins or spec.name in kind.builtins:
            kind.check_args(kind.find(spec.name, path), spec.args, path)
    except InvalidSpec as error:
        yield from error.violations


def _run_of(document: Mapping[str, Any]) -> ScheduleRun:
    """Return what the schedule will be made for, as far as the document tells.

    What it does not tell is such that no bound relative to it is broken: the run is as long as can
    be, an epoch as short. The trainer looks again when it has counted.
    """
    train = document.get("train")
    steps = train.get("steps") if isinstance(train, Mapping) else None
    if not isinstance(steps, int) or steps < 1:
        steps = _UNKNOWN_STEPS
    optimizer = salvaged(OptimizerSpec, document.get("optimizer", {}))
    lr = optimizer.lr if optimizer else None
    data = salvaged(DataSpec, document.get("data", {}))
    size = data.batch_size if data else _UNKNOWN_STEPS
    return ScheduleRun(
        lr=math.inf if lr is None else lr, steps=steps, steps_per_epoch=1, batch_size=size
    )


def _own_lrs(entry: GroupEntry | None) -> Iterator[float]:
    """Yield the LRs of the groups that an entry makes, where they are not the run's."""
    if isinstance(entry, GroupSpec | HeadPreset) and entry.lr is not None:
        yield entry.lr
    elif isinstance(entry, GroupSpec | MuonPreset) and entry.optimizer is not None:
        yield math.inf if entry.optimizer.lr is None else entry.optimizer.lr


def _entries(document: Mapping[str, Any], key: str) -> list[Any]:
    entries = document.get(key)
    return entries if isinstance(entries, list) else []


def _group_entry(value: Any) -> GroupEntry | None:
    try:
        return GROUP_ENTRY.validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return None
