"""The door for wishes about schedules and policies: what they must look like."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.admission import import_paths
from rheostat.spec.building import POLICY, SCHEDULE, PluginKind
from rheostat.spec.loading import foreign_values
from rheostat.spec.section import NAME_PATTERN
from rheostat.steering.records import (
    POLICY_VERBS,
    SCHEDULE_VERBS,
    Change,
    PolicyEdit,
    RemoteTerms,
    ScheduleEdit,
    Verb,
)
from rheostat_policies.api import OBSERVABLE

MODES = ("async", "lockstep")
SHAPES = ("1-sqrt", "linear", "cosine")
MAX_DEADLINE_SECONDS = 60.0
MAX_ARGS_LENGTH = 100_000


def check_wish(change: Change) -> Iterator[Violation]:
    """Yield what is wrong with the part of a change that is about a schedule or a policy."""
    verb = change.verb
    misplaced = list(misplaced_wish(change))
    if misplaced:
        yield from misplaced
        return
    if change.edit is not None:
        yield from _schedule(verb, change.edit)
    if change.policy is not None:
        yield from _policy(verb, change.policy)
    if verb in SCHEDULE_VERBS | POLICY_VERBS and change.expires_after_steps is not None:
        expected = f"nothing: a {verb} does not expire"
        yield Violation("expires_after_steps", str(change.expires_after_steps), expected)
    if verb in POLICY_VERBS | {Verb.HORIZON} and change.groups:
        expected = f"nothing: {verb} is for the whole run"
        yield Violation("groups", ", ".join(change.groups), expected)


def named_by(change: Change) -> dict[str, Any]:
    """Return the plug-in that a well-formed change names and its arguments, by request field."""
    if change.edit is not None and change.edit.schedule:
        return {"schedule": change.edit.schedule, "args": json.loads(change.edit.args or "{}")}
    if change.verb is Verb.ATTACH and change.policy is not None and change.policy.remote is None:
        return {"policy": change.policy.policy, "args": json.loads(change.policy.args or "{}")}
    return {}


def names_code(change: Change) -> bool:
    """Whether a change names code by import path, whatever else is wrong with it."""
    try:
        return any(import_paths(named_by(change)))
    except (ValueError, RecursionError):  # arguments that are no JSON, which `check` tells of
        return False


def misplaced_wish(change: Change) -> Iterator[Violation]:
    """Yield a violation if the change has a wish that its verb has not, or lacks the one it has."""
    verb = change.verb
    wishes = (("edit", change.edit, SCHEDULE_VERBS), ("policy", change.policy, POLICY_VERBS))
    for field, wish, verbs in wishes:
        if (wish is not None) != (verb in verbs):
            expected = f"nothing: {verb} has none" if wish is not None else f"what to {verb}"
            yield Violation(field, "", expected)
            return


def _schedule(verb: Verb, edit: ScheduleEdit) -> Iterator[Violation]:
    if verb is Verb.SWAP:
        yield from _plugin(SCHEDULE, edit.schedule, edit.args, "schedule")
    elif edit.steps is None and verb is not Verb.COOLDOWN:
        yield Violation("steps", "", "a number of optimizer steps, at least 1")
    if edit.steps is not None and edit.steps < 1:
        yield Violation("steps", str(edit.steps), "at least 1 optimizer step")
    if edit.ratio is not None and not 0 <= edit.ratio <= 1:
        yield Violation("ratio", repr(edit.ratio), "a share of the LR, 0 to 1")
    if edit.shape and edit.shape not in SHAPES:
        yield Violation("shape", edit.shape, f"one of {', '.join(SHAPES)}")


def _policy(verb: Verb, edit: PolicyEdit) -> Iterator[Violation]:
    if edit.remote is not None:
        yield from _remote(edit.remote)
        if not re.fullmatch(NAME_PATTERN, edit.policy):
            expected = "a name: lower-case letters, digits and . _ - between them, at most 63"
            yield Violation("policy", edit.policy, expected)
    elif verb is Verb.ATTACH:
        yield from _plugin(POLICY, edit.policy, edit.args, "policy")
    elif not edit.policy:
        yield Violation("policy", "", "the name of one of the run's policies")
    if edit.ramp_steps < 1:
        yield Violation("ramp_steps", str(edit.ramp_steps), "at least 1 optimizer step")


def _remote(terms: RemoteTerms) -> Iterator[Violation]:
    if terms.mode not in MODES:
        yield Violation("mode", terms.mode, f"one of {', '.join(MODES)}")
    deadline = terms.deadline
    if deadline is None:
        if terms.mode == "lockstep":
            yield Violation("deadline", "", "the longest that a step may wait, in seconds")
    elif not (math.isfinite(deadline) and 0 < deadline <= MAX_DEADLINE_SECONDS):
        expected = f"seconds, more than 0 and at most {MAX_DEADLINE_SECONDS:g}"
        yield Violation("deadline", repr(deadline), expected)
    if terms.every < 1:
        yield Violation("every", str(terms.every), "at least 1 optimizer step")
    for index, name in enumerate(terms.observes):
        if name not in OBSERVABLE:
            yield Violation(f"observes[{index}]", name, f"one of {', '.join(OBSERVABLE)}")
    for field, value in (("hold_steps", terms.hold_steps), ("relax_steps", terms.relax_steps)):
        if value < 0:
            yield Violation(field, str(value), "0 or greater")


def _plugin(kind: PluginKind[Any], name: str, args: str, field: str) -> Iterator[Violation]:
    """Yield what can be seen of a name and its arguments without importing anybody's code."""
    if not name:
        yield Violation(field, "", "a name, as in a spec")
        return
    if len(args) > MAX_ARGS_LENGTH:
        yield Violation("args", f"{args[:20]}…", f"at most {MAX_ARGS_LENGTH} characters")
        return
    try:
        given = json.loads(args or "{}")
    except ValueError as error:
        yield Violation("args", args[:80], f"a JSON object: {error}")
        return
    except RecursionError:
        yield Violation("args", args[:80], "a JSON object that is nested less deep")
        return
    if not isinstance(given, dict):
        yield Violation("args", args[:80], "a JSON object, as args in a spec")
        return
    if foreign := list(foreign_values(given, "args")):
        yield from foreign
        return
    try:
        kind.check_name(name, field)
        if name in kind.builtins:
            kind.check_args(kind.find(name, field), given, field)
    except InvalidSpec as error:
        yield from as_asked(error, field)


def as_asked(error: InvalidSpec, field: str) -> Iterator[Violation]:
    """Yield the violations of a plug-in in a spec, with the fields called as in a request."""
    for one in error.violations:
        asked = re.sub(rf"^{field}\.(name$)?", "", one.field) or field
        yield replace(one, field=asked)
