"""The door: what a change must look like before it may wait for a step boundary.

A request that can never be satisfied is refused here, with the field, the value and the mend; one
that is merely large passes and meets the guardrails.
"""

import math
from collections.abc import Sequence
from difflib import get_close_matches

from rheostat.errors import InvalidRequest, Violation
from rheostat.spec.admission import Admission
from rheostat.steering.records import POLICY_VERBS, SCHEDULE_VERBS, Change, Verb
from rheostat.steering.wishes import check_wish, named_by

MAX_REASON_LENGTH = 2000
MAX_REQUEST_ID_LENGTH = 200

_LR = "a finite LR, 0 or greater"
_EXPECTED_VALUE = {
    Verb.SCALE: "a finite factor, 0 or greater",
    Verb.SET: _LR,
    Verb.HOLD: _LR,
    Verb.RAMP: "a finite LR greater than 0: a geometric ramp never arrives at 0 (use set or hold)",
}
_WITHOUT_VALUE = SCHEDULE_VERBS | POLICY_VERBS | {Verb.RELEASE}


def check(change: Change, groups: Sequence[str], admission: Admission | None = None) -> None:
    """Refuse a change that no run with these groups could ever carry out.

    Args:
        change: what is asked for.
        groups: names of the run's groups.
        admission: what its schedule or policy may name; None is anything.

    Raises:
        InvalidRequest: with a violation for every field that is wrong.
    """
    violations = [*_value(change), *_steps(change), *_groups(change, groups), *_counts(change)]
    violations += [*_texts(change), *check_wish(change)]
    if not violations and admission is not None:
        violations += admission.violations(named_by(change))
    if violations:
        raise InvalidRequest(violations)


def _value(change: Change) -> list[Violation]:
    value, verb = change.value, change.verb
    if verb in _WITHOUT_VALUE:
        if value is None:
            return []
        return [Violation("value", repr(value), f"nothing: {verb} takes no value")]
    if value is None:
        return [Violation("value", "", _EXPECTED_VALUE[verb])]
    smallest = math.ulp(0.0) if verb is Verb.RAMP else 0.0
    if math.isfinite(value) and value >= smallest:
        return []
    return [Violation("value", repr(value), _EXPECTED_VALUE[verb])]


def _steps(change: Change) -> list[Violation]:
    if change.verb is not Verb.RAMP:
        if change.steps is None:
            return []
        return [Violation("steps", str(change.steps), f"nothing: {change.verb} takes no steps")]
    if change.steps is None:
        return [Violation("steps", "", "the length of the ramp, at least 1 optimizer step")]
    if change.steps < 1:
        return [Violation("steps", str(change.steps), "at least 1 optimizer step")]
    return []


def _groups(change: Change, groups: Sequence[str]) -> list[Violation]:
    violations = []
    for index, name in enumerate(change.groups):
        if name not in groups:
            close = get_close_matches(name, groups, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            known = ", ".join(groups)
            expected = f"one of the run's groups ({known}){hint}"
            violations.append(Violation(f"groups[{index}]", name, expected))
    return violations


def _counts(change: Change) -> list[Violation]:
    smallest = (
        ("at_step", change.at_step, 0),
        ("expires_after_steps", change.expires_after_steps, 1),
    )
    violations = [
        Violation(field, str(value), f"{least} or greater")
        for field, value, least in smallest
        if value is not None and value < least
    ]
    if change.verb is Verb.RELEASE and change.expires_after_steps is not None:
        text = "nothing: a release cannot expire"
        violations.append(Violation("expires_after_steps", str(change.expires_after_steps), text))
    if change.expected_revision is not None and change.expected_revision < 0:
        value = str(change.expected_revision)
        violations.append(Violation("expected_revision", value, "0 or greater"))
    return violations


def _texts(change: Change) -> list[Violation]:
    limits = (
        ("reason", change.reason, MAX_REASON_LENGTH),
        ("request_id", change.request_id, MAX_REQUEST_ID_LENGTH),
    )
    return [
        Violation(field, f"{text[:20]}…", f"at most {limit} characters, not {len(text)}")
        for field, text, limit in limits
        if len(text) > limit
    ]
