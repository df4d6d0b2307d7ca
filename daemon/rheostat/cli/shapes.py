"""The JSON that scripts rely on: fields may be added, never renamed."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from rheostat.cli.bases import Base
from rheostat.runs.records import (
    ChangeResult,
    Explanation,
    GroupDescription,
    RunView,
    Snapshot,
    WatchEvent,
)
from rheostat.steering.records import Decision, DecisionRecord


def run_result(view: RunView) -> dict[str, Any]:
    """How a run ended, or where it stands: the last line of `run --json`."""
    return {
        "run": view.name,
        "phase": view.phase,
        "steps": finished_steps(view),
        "train_loss": newest(view, "train_loss"),
        "validation_loss": newest(view, "validation_loss"),
        "validation_accuracy": newest(view, "validation_accuracy"),
    }


def run_row(view: RunView) -> dict[str, Any]:
    """One entry of `runs list --json`."""
    return {
        "run": view.name,
        "phase": view.phase,
        "step": finished_steps(view),
        "steps": view.steps,
        "train_loss": newest(view, "train_loss"),
        "validation_loss": newest(view, "validation_loss"),
        "validation_accuracy": newest(view, "validation_accuracy"),
        "learning_rate": learning_rates(view.snapshot),
        "revision": view.revision,
        "origin": msgspec.to_builtins(view.origin),
        "attached": view.attached,
    }


def run_details(view: RunView) -> dict[str, Any]:
    """`runs show --json`: the row and everything else the daemon knows."""
    snapshot = view.snapshot
    return {
        **run_row(view),
        "gradient_norm": snapshot.gradient_norm if snapshot else None,
        "loss_scale": snapshot.loss_scale if snapshot else None,
        "skipped_updates": snapshot.skipped_updates if snapshot else 0,
        "steps_per_second": snapshot.steps_per_second if snapshot else None,
        "samples": snapshot.samples if snapshot else 0,
        "device": view.device,
        "pid": view.pid,
        "principal": view.principal,
        "created_at": view.created_at,
        "started_at": view.started_at,
        "finished_at": view.finished_at,
        "weights": view.result.weights if view.result else None,
        "failure": msgspec.to_builtins(view.failure),
        "priority": view.priority,
        "attempt": view.attempt,
        "restarts": view.restarts,
        "events": msgspec.to_builtins(view.events),
        "groups": [param_group(group) for group in view.groups],
        "spec": json.loads(view.spec),
    }


def param_group(group: GroupDescription) -> dict[str, Any]:
    """One entry of `groups` in `plan --json` and `runs show --json`."""
    args = {name: json.loads(value) for name, value in group.args.items()}
    return {**msgspec.to_builtins(group), "args": args}


def learning_rate_state(explanation: Explanation) -> dict[str, Any]:
    """`lr show --json`."""
    return {
        "run": explanation.run,
        "step": explanation.step,
        "revision": explanation.revision,
        "groups": msgspec.to_builtins(explanation.groups),
    }


def learning_rate_explanation(explanation: Explanation, bases: Iterable[Base]) -> dict[str, Any]:
    """`lr explain --json`: the state, the schedules, and the decisions that act on it."""
    return {
        **learning_rate_state(explanation),
        "schedules": {
            base.group: {
                "name": base.schedule,
                "since_step": base.since_step,
                "revision": base.revision,
                "by": base.by,
            }
            for base in bases
        },
        "decisions": [decision_fields(decision) for decision in explanation.decisions],
    }


def change_result(result: ChangeResult) -> dict[str, Any]:
    """The answer of every verb that changes an LR; nulls where it was not waited for."""
    decision = result.decision
    return {
        "revision": decision.revision if decision else None,
        "applied_step": decision.applied_step if decision else None,
        "groups": [
            {"name": group.name, "old": group.old, "new": group.new}
            for group in (decision.groups if decision else ())
        ],
        "guardrails": list(decision.guardrails) if decision else [],
        "request_id": result.request_id,
        **({"dry_run": True} if result.dry_run else {}),
    }


def decision_fields(decision: Decision) -> dict[str, Any]:
    """A decision, with its guardrails named once more at the top."""
    return {
        "revision": decision.revision,
        "applied_step": decision.applied_step,
        "source": decision.source,
        "principal": decision.principal,
        "approved_by": decision.approved_by,
        "verb": decision.verb,
        "value": decision.value,
        "edit": msgspec.to_builtins(decision.edit),
        "policy": msgspec.to_builtins(decision.policy),
        "reason": decision.reason,
        "request_id": decision.request_id,
        "time": decision.time,
        "groups": msgspec.to_builtins(decision.groups),
        "guardrails": list(decision.guardrails),
    }


def decision_record(record: DecisionRecord) -> dict[str, Any]:
    """One entry of `lr history --json`."""
    return {
        "run": record.run,
        **decision_fields(record.decision),
        "previous_hash": record.previous_hash,
        "hash": record.hash,
    }


def watch_event(event: WatchEvent) -> dict[str, Any]:
    """One line of `runs watch --json`; `type` is view, snapshot or decision."""
    if event.view is not None:
        return {"type": "view", **run_row(event.view)}
    if event.decision is not None:
        return {"type": "decision", "run": event.run, **decision_fields(event.decision)}
    snapshot = event.snapshot
    assert snapshot is not None  # an event holds one of the three
    return {
        "type": "snapshot",
        "run": event.run,
        **msgspec.to_builtins(snapshot),
        "learning_rate": learning_rates(snapshot),
    }


def learning_rates(snapshot: Snapshot | None) -> dict[str, float]:
    """Return the LR of each group; empty before the first step."""
    return {group.name: group.learning_rate for group in snapshot.groups} if snapshot else {}


def finished_steps(view: RunView) -> int:
    """Return how many steps a run has finished."""
    if view.result is not None:
        return view.result.steps
    return view.snapshot.step if view.snapshot else 0


def newest(view: RunView, measure: str) -> float | None:
    """Return a loss or accuracy: the final one, else the newest, else None."""
    source = view.result or view.snapshot
    value: float | None = getattr(source, measure, None)
    return value
