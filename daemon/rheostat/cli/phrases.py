"""Amounts and states in the words of the terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rheostat.steering.records import GroupState, PolicyStatus
from rheostat.steering.wording import number

_SHOWN_GROUPS = 3


def percent(share: float | None) -> str:
    """Return a share of 1 as a percentage, or a dash."""
    return "-" if share is None else f"{share:.2%}"


def size(count: int) -> str:
    """Return a number of bytes as a person would say it.

    >>> size(2_500_000)
    '2.5 MB'
    """
    value, units = float(count), iter(("kB", "MB", "GB"))
    unit = "B"
    while value >= 1000:
        try:
            unit = next(units)
        except StopIteration:
            break
        value /= 1000
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """Return a length of time as a person would say it.

    >>> duration(3725)
    '1 h 02 min'
    """
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def compact_rates(groups: Sequence[GroupState]) -> str:
    """Return the LR of all groups in the room of a few words."""
    rates = {group.name: group.learning_rate for group in groups}
    if len(set(rates.values())) == 1:
        return number(next(iter(rates.values())))
    if len(rates) <= _SHOWN_GROUPS:
        return ", ".join(f"{name} {number(rate)}" for name, rate in rates.items())
    return f"{number(min(rates.values()))} to {number(max(rates.values()))}" if rates else "-"


def compact_factors(factors: Mapping[str, float]) -> str:
    """Return a policy's factors, as one number where all groups have the same."""
    shown = {name: number(factor) for name, factor in factors.items()}
    if len(set(shown.values())) == 1:
        return next(iter(shown.values()))
    return ", ".join(f"{name} {factor}" for name, factor in shown.items()) or "-"


def policy_states(policy: PolicyStatus) -> Iterator[str]:
    """Yield what a policy is: active, or what keeps it from being so."""
    is_gone = policy.connected is False
    if not (policy.shadow or policy.benched or is_gone):
        yield "active"
    if policy.shadow:
        yield "shadow"
    if policy.benched:
        yield "benched"
    if is_gone:
        yield "vanished"
