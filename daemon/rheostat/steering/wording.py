"""Numbers, decisions and guardrails in words: the same in the terminal and on the page."""

import json
from collections.abc import Sequence
from textwrap import shorten

from rheostat.steering.guardrails import (
    FINITE,
    MAX_LR,
    MAX_RATIO_TO_BASE,
    MIN_LR,
    MIN_RATIO_TO_BASE,
)
from rheostat.steering.records import (
    Decision,
    GroupChange,
    GroupState,
    PolicyEdit,
    RollbackEdit,
    ScheduleEdit,
    Verb,
)
from rheostat.steering.rules import MaxDrift, MaxRatioPerStep, MaxRatioPerWindow
from rheostat.steering.script import POLICY_PREFIX

_SHOWN_GROUPS = 3
_SHOWN_CHARACTERS = 60
_GUARDRAILS = {
    FINITE: "what was asked for is not a finite number, so the LR stays as it was",
    MIN_LR: "guardrails.min_lr is the smallest LR the spec allows",
    MAX_LR: "guardrails.max_lr is the largest LR the spec allows "
    "(by default 100 times the highest of the schedule)",
    MIN_RATIO_TO_BASE: "guardrails.min_ratio_to_base is how far below the schedule it may be",
    MAX_RATIO_TO_BASE: "guardrails.max_ratio_to_base is how far above the schedule it may be",
    MaxRatioPerStep.name: "guardrails.max_ratio_per_step bounds the move of one step; "
    "the rest follows in the next steps",
    MaxRatioPerWindow.name: "guardrails.max_ratio_per_window bounds the move within its steps; "
    "the rest follows later",
    MaxDrift.name: "guardrails.max_drift bounds the mean of LR / schedule since the start",
}
_BEFALLEN = {"bench": "is benched", "vanish": "has vanished", "relax": "relaxes to"}


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with so many significant digits, or a dash."""
    return "-" if value is None else f"{value:.{digits}g}"


def who(decision: Decision) -> str:
    """Return the person behind a decision, or both, or a rollback's policy; else its source."""
    if decision.rollback is not None and decision.rollback.policy:
        return f"{POLICY_PREFIX}{decision.rollback.policy}"
    asked = decision.principal or decision.source
    return f"{asked}, approved by {decision.approved_by}" if decision.approved_by else asked


def what(decision: Decision) -> str:
    """Return what was done, e.g. `scale 0.5` or `swap to rex`."""
    if decision.edit is not None:
        return _edit(decision.verb, decision.edit)
    if decision.policy is not None:
        return _policy_edit(decision.verb, decision.policy)
    if decision.rollback is not None:
        return _rollback(decision.rollback)
    if decision.value is None:
        return _BEFALLEN.get(decision.verb, decision.verb)
    verb = decision.verb or "factor"
    return f"{_BEFALLEN.get(verb, verb)} {number(decision.value, 6)}"


def _rollback(edit: RollbackEdit) -> str:
    words = f"rollback from step {edit.from_step} to {edit.to_step}"
    return f"{words}, around {edit.skip} batches" if edit.skip else words


def _edit(verb: str, edit: ScheduleEdit) -> str:
    over = "" if edit.steps is None else f" over {edit.steps:,} steps"
    match verb:
        case Verb.SWAP:
            return f"swap to {edit.schedule}{_in_brackets(edit.args)}{_unscaled(edit)}"
        case Verb.HORIZON:
            return f"horizon {edit.steps:,} steps{_unscaled(edit)}"
        case Verb.COOLDOWN:
            return f"cooldown{over} to {number(edit.ratio or 0.0)} of it, {edit.shape or '1-sqrt'}"
        case _:
            return f"rewarm{over} from {number(edit.ratio or 0.0)} of it"


def _unscaled(edit: ScheduleEdit) -> str:
    return "" if edit.rescale else ", not rescaled"


def _policy_edit(verb: str, edit: PolicyEdit) -> str:
    words = f"{verb} {edit.policy}{_in_brackets(edit.args)}"
    if edit.remote is not None:
        words += f", remote, {edit.remote.mode}"
    if edit.shadow:
        words += ", in shadow"
    return words + (f" over {edit.ramp_steps:,} steps" if edit.ramp_steps > 1 else "")


def _in_brackets(args: str) -> str:
    """Return a plug-in's arguments, e.g. ` (patience 3, factor 0.5)`; the first of many."""
    given = json.loads(args or "{}")
    said = ", ".join(f"{name} {json.dumps(value)}" for name, value in given.items())
    return f" ({shorten(said, _SHOWN_CHARACTERS, placeholder=' …')})" if given else ""


def has_moved(groups: Sequence[GroupChange]) -> bool:
    """Whether a decision changed any LR at once."""
    return any(group.old != group.new for group in groups)


def moves(groups: Sequence[GroupChange]) -> str:
    """Return old and new LR of the first groups."""
    shown = [f"{group.name} {number(group.old)} → {number(group.new)}" for group in groups]
    rest = len(shown) - _SHOWN_GROUPS
    return ", ".join(shown[:_SHOWN_GROUPS]) + (f" and {rest} more" if rest > 0 else "")


def decision_line(decision: Decision) -> str:
    """Return a decision as one line: when, who, what, from where to where, and why."""
    line = f"step {decision.applied_step}: {who(decision)} {what(decision)}".strip()
    if has_moved(decision.groups):
        line += f": {moves(decision.groups)}"
    if decision.guardrails:
        line += f" [bent by {', '.join(decision.guardrails)}]"
    return f"{line} ({decision.reason})" if decision.reason else line


def guardrail_sentence(rule: str) -> str:
    """Say which guardrail bent a change, and why there is one."""
    return f"Guardrail {rule} bent the result{_why(rule)}."


def binding_sentence(rule: str) -> str:
    """Say which guardrail bends an LR, and why there is one."""
    return f"Guardrail {rule} bends it{_why(rule)}."


def _why(rule: str) -> str:
    return f": {_GUARDRAILS[rule]}" if rule in _GUARDRAILS else ""


def equation(group: GroupState) -> str:
    """Return how an LR comes about, as the product that the composition law makes it.

    Example: `head: 0.0005 = base 0.001 × loss_spike 0.5 × operator 1`.
    """
    factors = [f"base {number(group.base, 6)}"]
    factors += [f"{name} {number(factor, 6)}" for name, factor in group.factors.items()]
    factors.append(f"operator {number(group.operator, 6)}")
    product = " \N{MULTIPLICATION SIGN} ".join(factors)
    line = f"{group.name}: {number(group.learning_rate, 6)} = "
    if group.hold is not None:
        line += f"held at {number(group.hold, 6)} (without the hold: {product})"
    else:
        line += product
    return line + (f", bent by {', '.join(group.guardrails)}" if group.guardrails else "")
