"""The hash chain that makes a run's history tamper-evident.

    hash = SHA-256(previous hash || canonical JSON of run and decision)

Canonical JSON has sorted keys, no spaces, the shortest digits that give a float back exactly, and
leaves out every field that stands at its default: a field added to `Decision` one day, with its
default, keeps the hashes of older records.

A chain proves that nothing was altered, dropped, inserted or reordered before its last record. It
cannot prove that nothing was cut off after it.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from rheostat.errors import BrokenChain
from rheostat.steering.records import Decision, DecisionRecord

GENESIS = "0" * 64
"""The previous hash of a run's first record."""

_read_back = msgspec.json.Decoder(Decision).decode


def chain(run: str, previous_hash: str, decision: Decision) -> DecisionRecord:
    """Link a decision to the record before it.

    Args:
        run: Name of the run it belongs to.
        previous_hash: Hash of the run's record before, `GENESIS` for its first.
        decision: What was decided.

    Returns:
        The record; its decision is as a reader of the store will see it (an int given for a float
        has become one).

    Raises:
        ValueError: It holds a number that JSON cannot, NaN or infinity.
    """
    try:
        recorded = as_read_back(decision)
    except msgspec.ValidationError:
        recorded = None
    if recorded != decision:
        raise ValueError(
            f"run {run}: decision {decision.revision} holds a number that is not finite "
            "and cannot be recorded"
        )
    digest = hashlib.sha256(previous_hash.encode() + _canonical_json(run, recorded))
    return DecisionRecord(
        run=run, decision=recorded, previous_hash=previous_hash, hash=digest.hexdigest()
    )


def as_read_back(decision: Decision) -> Decision:
    """Return a decision as a reader of the store will see it."""
    return _read_back(msgspec.json.encode(decision))


def verify(records: Iterable[DecisionRecord]) -> None:
    """Check a run's history from its first decision on.

    Raises:
        BrokenChain: A record is missing, altered or out of place; names the first such revision.
    """
    previous_hash = GENESIS
    for revision, record in enumerate(records, start=1):
        found = record.decision.revision
        if found != revision:
            raise BrokenChain(
                f"run {record.run}: decision {revision} is missing, {found} stands in its place"
            )
        if record.previous_hash != previous_hash:
            raise BrokenChain(
                f"run {record.run}: decision {revision} does not follow the one before it, "
                "either was altered or exchanged"
            )
        if record != chain(record.run, previous_hash, record.decision):
            raise BrokenChain(
                f"run {record.run}: decision {revision} was altered after it was recorded"
            )
        previous_hash = record.hash


def _canonical_json(run: str, decision: Decision) -> bytes:
    told = _without_defaults(decision)
    told["groups"] = [_without_defaults(group) for group in decision.groups]
    return msgspec.json.encode({"run": run, "decision": told}, order="sorted")


def _without_defaults(record: msgspec.Struct) -> dict[str, Any]:
    told = {}
    for field in msgspec.structs.fields(record):
        value = getattr(record, field.name)
        is_factory = field.default_factory is not msgspec.NODEFAULT
        if value != (field.default_factory() if is_factory else field.default):
            told[field.name] = value
    return told
