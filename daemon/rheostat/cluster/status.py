"""What a daemon reports of a run: the whole status, from what it knows at the moment."""

import math
from typing import Any

from rheostat.cluster.conditions import conditions
from rheostat.cluster.findings import ACCEPTED, Findings
from rheostat.cluster.reported import (
    Display,
    GroupMove,
    ReportedDecision,
    ResourcePhase,
    Status,
)
from rheostat.cluster.wording import compact, stamp, subject
from rheostat.runs.records import RunView
from rheostat.steering.records import Decision


def compose(found: Findings) -> Status:
    """Return the status; of a run that is lost, what was last known of it."""
    common: dict[str, Any] = {
        "daemon": found.daemon,
        "acted": found.acted,
        "observed_generation": found.resource.generation,
        "conditions": conditions(found),
    }
    if found.run is None:
        return found.resource.status.model_copy(update={**common, "phase": _phase(found)})
    return Status(
        **common,
        **_progress(found.run),
        last_decision=_reported(found.story.last),
        drift=_reported(found.drift),
    )


def _phase(found: Findings) -> ResourcePhase:
    if found.is_lost:
        return ResourcePhase.LOST
    is_refused = found.refusal(ACCEPTED) is not None
    return ResourcePhase.REFUSED if is_refused else ResourcePhase.WAITING


def _progress(run: RunView) -> dict[str, Any]:
    snapshot, newest = run.snapshot, run.result or run.snapshot
    step = run.result.steps if run.result else snapshot.step if snapshot else None
    groups = snapshot.groups if snapshot else ()
    rates = {group.name: group.learning_rate for group in groups}
    loss = _finite(newest.train_loss) if newest else None
    return {
        "run": run.name,
        "phase": ResourcePhase(run.phase.value),
        "step": step,
        "steps": run.steps,
        "train_loss": loss,
        "validation_loss": _finite(newest.validation_loss) if newest else None,
        "validation_accuracy": _finite(newest.validation_accuracy) if newest else None,
        "learning_rate": rates,
        "display": Display(
            step=f"{step or 0}/{run.steps or '?'}",
            loss="" if loss is None else f"{loss:.4g}",
            learning_rate=compact(rates),
        ),
    }


def _reported(decision: Decision | None) -> ReportedDecision | None:
    if decision is None:
        return None
    return ReportedDecision(
        revision=decision.revision,
        applied_step=decision.applied_step,
        source=decision.source,
        principal=decision.principal,
        verb=decision.verb,
        value=decision.value,
        subject=subject(decision),
        reason=decision.reason,
        time=stamp(decision.time),
        groups={group.name: GroupMove(old=group.old, new=group.new) for group in decision.groups},
        guardrails=list(decision.guardrails),
    )


def _finite(number: float | None) -> float | None:
    """Return a number that JSON has a word for."""
    return number if number is not None and math.isfinite(number) else None
