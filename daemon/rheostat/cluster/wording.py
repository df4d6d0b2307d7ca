"""Decisions and times as Kubernetes' users read them."""

from datetime import UTC, datetime

from rheostat.steering.records import Decision


def told(decision: Decision) -> str:
    """Return a decision in one line: who did what when, what came of it, and why."""
    value = "" if decision.value is None else f"{decision.value:g}"
    meant = value or subject(decision)
    act = " ".join(filter(None, (decision.principal or decision.source, decision.verb, meant)))
    moves = ", ".join(
        f"{group.name} {group.old:.4g} → {group.new:.4g}" for group in decision.groups
    )
    bent = f", bent by {', '.join(decision.guardrails)}" if decision.guardrails else ""
    why = f" ({decision.reason})" if decision.reason else ""
    return f"{act} at step {decision.applied_step}: {moves}{bent}{why}"


def subject(decision: Decision) -> str:
    """Return which schedule or policy a decision is about, or the steps of an edit, if any."""
    if decision.policy is not None:
        return decision.policy.policy
    if decision.edit is None:
        return ""
    steps = decision.edit.steps
    return decision.edit.schedule or ("" if steps is None else f"{steps} steps")


def stamp(seconds: float) -> str:
    """Return seconds since the epoch as Kubernetes writes times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def compact(rates: dict[str, float]) -> str:
    """Return LRs for a narrow column: without names where all are the same."""
    numbers = {f"{rate:.4g}" for rate in rates.values()}
    if len(numbers) <= 1:
        return "".join(numbers)
    return ",".join(f"{name}={rate:.4g}" for name, rate in rates.items())
