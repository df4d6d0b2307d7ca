"""What is wrong with a run, by what is written down of it and what was told."""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from tests.crash.evidence import Answers, Sight

from rheostat.errors import BrokenChain
from rheostat.runs import audit
from rheostat.runs.explaining import components_at
from rheostat.runs.records import Phase, RunView, StepRows
from rheostat.steering.records import Decision, DecisionRecord
from rheostat.steering.script import OPERATOR, ROLLBACK

_NAN = 0x7FF8000000000000
"""The bits of the NaN in a column."""

Columns = Mapping[str, Mapping[int, Any]]
"""Every value of a run's steps, by column and step; numbers as their bits."""


def of_ending(view: RunView) -> Iterator[str]:
    if view.phase is not Phase.SUCCEEDED:
        why = view.failure.message if view.failure else ""
        yield f"the run is {view.phase}, not succeeded: {why}"
    elif view.result is None or view.result.steps != view.steps:
        yield f"the run has {view.steps} steps, and ended with {view.result}"
    for event in view.events:
        if event.kind in {"rows_lost", "checkpoint_failed", "halted"}:
            yield f"{event.kind}: {event.message}"


def of_history(records: Sequence[DecisionRecord], answers: Answers) -> Iterator[str]:
    try:
        audit.verify(records)
    except BrokenChain as error:
        yield str(error)
    by_request: dict[str, list[Decision]] = {}
    last = 0
    for record in records:
        one = record.decision
        if one.applied_step < last and one.rollback is None:
            yield f"decision {one.revision} acts at step {one.applied_step}, after one at {last}"
        last = one.applied_step
        if one.source in (OPERATOR, ROLLBACK) and one.request_id:
            by_request.setdefault(one.request_id, []).append(one)
    for request, made in by_request.items():
        if len(made) > 1:
            yield f"request {request} was decided {len(made)} times"
        if request in answers.refused:
            yield f"request {request} was refused ({answers.refused[request]}) and yet decided"
        if request not in answers.refused and request not in answers.decided:
            yield f"request {request} was decided, and never answered"
    for request, decision in answers.decided.items():
        if by_request.get(request) != [decision]:
            found = [(one.revision, one.applied_step) for one in by_request.get(request, [])]
            yield (
                f"request {request} was answered with decision {decision.revision} at step "
                f"{decision.applied_step}, and in the history stands {found}"
            )


def of_decisions(had: Sequence[Decision], made: Sequence[Decision], about: str) -> Iterator[str]:
    for one, other in zip(had, made, strict=False):
        if _essence(one) != _essence(other):
            yield f"{about}: decided {_essence(other)}, not {_essence(one)}"
            return
    if len(had) != len(made):
        yield f"{about}: made {len(made)} decisions, not {len(had)}"


def without_guardrails(decisions: Sequence[Decision]) -> list[Decision]:
    """Return what people, policies and expiries did, numbered anew, but for ways back.

    A run that stands still settles its boundary more than once, and so may note that a guardrail
    lets go, and binds again; one that does not stand still has no reason to.
    """
    made = [one for one in decisions if one.source not in ("guardrail", ROLLBACK)]
    numbers = {str(one.revision): str(number) for number, one in enumerate(made, start=1)}

    def renamed(reason: str) -> str:
        """Say `the hold of revision 3 has expired` by its new number."""
        return re.sub(r"(?<=revision )\d+", lambda found: numbers.get(found[0], found[0]), reason)

    return [
        msgspec.structs.replace(one, revision=number, reason=renamed(one.reason))
        for number, one in enumerate(made, start=1)
    ]


def unnumbered(columns: Columns) -> Columns:
    """Return columns whose explanations have no revisions."""
    explained = {
        step: msgspec.structs.replace(one, revision=0, in_force=())
        for step, one in columns.get("explained", {}).items()
    }
    return {**columns, "explained": explained}


def _essence(decision: Decision) -> Decision:
    """Return a decision without what it owes to the moment at which it was made.

    The old LR is that in the optimizer: of the step before, or where the run had stood still with
    the LRs of the coming step settled, of that one.
    """
    groups = tuple(msgspec.structs.replace(one, old=0.0) for one in decision.groups)
    return msgspec.structs.replace(decision, time=0.0, requested_at=0.0, groups=groups)


def of_steps(columns: Columns, steps: int) -> Iterator[str]:
    losses = columns.get("train_loss", {})
    missing = sorted(set(range(steps)) - losses.keys())
    if missing or len(losses) != steps:
        yield f"of {steps} steps {len(losses)} have a row; the first missing: {missing[:3]}"


def of_sights(sights: Sequence[Sight], losses: Mapping[int, int]) -> Iterator[str]:
    for one in sights:
        [bits] = struct.unpack("<q", struct.pack("<d", one.train_loss))
        if losses.get(one.step - 1) != bits:
            yield f"step {one.step - 1} was shown with the loss {one.train_loss!r}, and has another"
            return


def of_rows(had: Columns, made: Columns, about: str) -> Iterator[str]:
    for name in sorted({*had, *made}):
        one, other = had.get(name, {}), made.get(name, {})
        # Where a run is put by, it is validated once more.
        steps = {*other} if name.startswith("validation") else {*one, *other}
        differing = [step for step in sorted(steps) if one.get(step) != other.get(step)]
        if differing:
            step = differing[0]
            yield (
                f"{about}: {name} differs at {len(differing)} steps, first at step {step}: "
                f"{one.get(step)!r}, not {other.get(step)!r}"
            )


def columns_of(batches: Sequence[StepRows]) -> dict[str, dict[int, Any]]:
    """Return every value by column and step; numbers as their bits."""
    columns: dict[str, dict[int, Any]] = {}
    for batch in batches:
        packed = {"train_loss": batch.train_loss}
        for kind in ("learning_rate", "base", "momentum"):
            packed |= {f"{kind}.{group}": one for group, one in getattr(batch, kind).items()}
        for name, values in packed.items():
            bits = struct.unpack(f"<{batch.count}q", values)
            known = columns.setdefault(name, {})
            # NaN is where no schedule moves a momentum, and so is a batch without the column.
            known.update(pair for pair in zip(_steps(batch), bits, strict=True) if pair[1] != _NAN)
        for name in ("gradient_norm", "validation_loss", "validation_accuracy"):
            columns.setdefault(name, {}).update(getattr(batch, name))
        explained = columns.setdefault("explained", {})
        explained.update((step, components_at(batch, step)) for step in _steps(batch))
    return columns


def _steps(batch: StepRows) -> range:
    return range(batch.first_step, batch.first_step + batch.count)
