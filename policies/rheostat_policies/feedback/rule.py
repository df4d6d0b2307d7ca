"""One when/then rule: read from a spec, checked, and what it asks for when it fires."""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING, Any

from rheostat_policies.api import Observation

if TYPE_CHECKING:
    from rheostat_policies.feedback.condition import Condition

VARIABLES = (
    *(name for name in Observation._fields if name != "probe"),
    "progress",
    "train_loss_average",
)
"""What conditions and reasons may name."""

_FIELD = re.compile(r"\w+(\[[^\[\]{}]+\])?")
_LAYOUT = re.compile(r"[<>^=]?[-+ ]?0?\d{0,2}[,_]?(\.\d{1,2})?[deEfFgGns%]?")
_UNFIT = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What Python's format raises for a template that does not fit its values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule whose every value has been checked."""

    name: str
    condition: "Condition"
    for_steps: int
    """Steps in a row that the condition must hold, >= 1."""
    cooldown: int
    """Steps that it sleeps after it fired, >= 0."""
    scale: float | None
    """What it multiplies the factor by; None where it sets it."""
    target: float
    """What it sets the factor to, where it does not scale."""
    ramp_steps: int
    groups: tuple[str, ...]
    """Groups it is for; empty is all."""
    min_factor: float
    max_factor: float
    reason: str
    """Template of the sentence for the record."""

    def wanted(self, present: float) -> float:
        """Return the factor it asks for.

        A bound stops a scale and never turns it round: a factor that is beyond the bound already,
        by another rule, stays.
        """
        if self.scale is None:
            return self.target
        if self.scale < 1:
            return min(present, max(self.min_factor, present * self.scale))
        return max(present, min(self.max_factor, present * self.scale))

    def explain(self, values: Mapping[str, Any]) -> str:
        """Return its reason, with the template as it is where a value is not there."""
        try:
            return f"{self.name}: {self.reason.format_map(values)}"
        except _UNFIT:
            return f"{self.name}: {self.reason}"


def read_rule(written: Mapping[str, Any], place: str) -> Rule:
    """Read a rule as a spec has it.

    Args:
        written: the mapping that the rules policy documents.
        place: where it stands, e.g. `rules[0]`, for messages.

    Raises:
        ValueError: if something about it is wrong; names the rule, the key and the value.
    """
    # Here and not above: without rules, the package needs nothing but the standard library.
    from rheostat_policies.feedback.condition import Condition

    name = written.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{place}: name={name!r} must be a text")
    place = f"{place} ({name})"
    _refuse_unknown(written, {"name", "when", "for", "cooldown", "then", "reason"}, place)
    when, then = written.get("when"), written.get("then")
    if not isinstance(when, str):
        raise ValueError(f"{place}: when={when!r} must be a condition in CEL")
    if not isinstance(then, Mapping):
        raise ValueError(f"{place}: then={then!r} must be a mapping with `scale` or `set`")
    try:
        condition = Condition(when)
    except ValueError as error:
        raise ValueError(f"{place}: when={when!r} does not compile: {error}") from error
    return Rule(
        name=name,
        condition=condition,
        for_steps=_whole(written, "for", 1, least=1, place=place),
        cooldown=_whole(written, "cooldown", 100, least=0, place=place),
        reason=_template(written, when, place),
        **_action(then, f"{place}: then"),
    )


def _action(then: Mapping[str, Any], place: str) -> dict[str, Any]:
    keys = {"scale", "set", "ramp_steps", "groups", "min_factor", "max_factor"}
    _refuse_unknown(then, keys, place)
    if ("scale" in then) == ("set" in then):
        raise ValueError(f"{place}={dict(then)} must have one of `scale` and `set`")
    low = _positive(then, "min_factor", 0.01, place)
    high = _positive(then, "max_factor", 10.0, place)
    if low > high:
        raise ValueError(f"{place}: min_factor={low} must be at most max_factor={high}")
    target = _positive(then, "set", 1.0, place)
    if "set" in then and not low <= target <= high:
        raise ValueError(f"{place}: set={target} must be between {low} and {high}")
    groups = then.get("groups", [])
    if not isinstance(groups, list | tuple) or not all(isinstance(one, str) for one in groups):
        raise ValueError(f"{place}: groups={groups!r} must be a list of names")
    return {
        "scale": _positive(then, "scale", 1.0, place) if "scale" in then else None,
        "target": target,
        "ramp_steps": _whole(then, "ramp_steps", 1, least=1, place=place),
        "groups": tuple(groups),
        "min_factor": low,
        "max_factor": high,
    }


def _template(written: Mapping[str, Any], when: str, place: str) -> str:
    """Return the reason's template, tried on made-up values."""
    reason = written.get("reason")
    if reason is None:
        return when.replace("{", "{{").replace("}", "}}")
    if not isinstance(reason, str):
        raise ValueError(f"{place}: reason={reason!r} must be a text")
    values: dict[str, Any] = dict.fromkeys(VARIABLES, 1.0)
    values.update(dict.fromkeys(("step", "steps", "validation_step"), 1))
    any_group = defaultdict[str, float](lambda: 1.0)
    values.update(learning_rate=any_group, base=any_group, factor=any_group)
    try:
        _check_fields(reason)
        reason.format_map(values)
    except _UNFIT as error:
        problem = f"does not know {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{place}: reason={reason!r} is no template: {problem}") from error
    return reason


def _check_fields(template: str) -> None:
    """Raise ValueError for what only an attacker writes: attributes, widths that fill a memory."""
    for _, name, layout, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not _FIELD.fullmatch(name):
            raise ValueError(f"{{{name}}} must be a variable, or variable[group]")
        if conversion or not _LAYOUT.fullmatch(layout or ""):
            raise ValueError(f"{{{name}:{layout}}} must have a layout as .3g, at most 99 wide")


def _positive(written: Mapping[str, Any], key: str, default: float, place: str) -> float:
    value = written.get(key, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise ValueError(f"{place}: {key}={value!r} must be a finite number greater than 0")
    return float(value)


def _whole(written: Mapping[str, Any], key: str, default: int, *, least: int, place: str) -> int:
    value = written.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{place}: {key}={value!r} must be a whole number of at least {least}")
    return value


def _refuse_unknown(written: Mapping[str, Any], known: Collection[str], place: str) -> None:
    for key in written:
        if key not in known:
            raise ValueError(f"{place}: unknown key {key!r}, there are {', '.join(sorted(known))}")
