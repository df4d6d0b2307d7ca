"""What the page is told of runs: records as they are, and decisions with their words."""

import json
from typing import Any

import msgspec

from rheostat.runs.records import RunView
from rheostat.steering.records import Decision, DecisionRecord
from rheostat.steering.wording import decision_line, guardrail_sentence, what, who


def run_row(view: RunView) -> dict[str, Any]:
    """Return a run as an entry of the list."""
    source, snapshot = view.result or view.snapshot, view.snapshot
    return {
        "name": view.name,
        "phase": view.phase,
        "step": finished_steps(view),
        "steps": view.steps,
        "train_loss": source.train_loss if source else None,
        "validation_loss": source.validation_loss if source else None,
        "learning_rate": {
            group.name: group.learning_rate for group in (snapshot.groups if snapshot else ())
        },
        "revision": view.revision,
        "origin": view.origin,
        "created_at": view.created_at,
    }


def run_details(view: RunView) -> dict[str, Any]:
    """Return everything that the page shows of a run."""
    return {
        **run_row(view),
        "snapshot": view.snapshot,
        "groups": view.groups,
        "result": view.result,
        "failure": view.failure,
        "principal": view.principal,
        "started_at": view.started_at,
        "finished_at": view.finished_at,
        "device": view.device,
        "attached": view.attached,
        "restarts": view.restarts,
        "events": view.events,
        "spec": json.loads(view.spec),
    }


def decision(made: Decision) -> dict[str, Any]:
    """Return a decision, with what the terminal says of it."""
    return {
        **msgspec.to_builtins(made),
        "who": who(made),
        "what": what(made),
        "line": decision_line(made),
        "guardrails": {rule: guardrail_sentence(rule) for rule in made.guardrails},
    }


def record(one: DecisionRecord) -> dict[str, Any]:
    """Return a decision as it stands in the history."""
    return {**decision(one.decision), "hash": one.hash}


def finished_steps(view: RunView) -> int:
    """Return how many steps a run has finished."""
    if view.result is not None:
        return view.result.steps
    return view.snapshot.step if view.snapshot else 0
