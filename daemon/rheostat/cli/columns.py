"""Step rows read back: numbers out of packed columns, components out of their JSON."""

import struct

import msgspec

from rheostat.runs.records import StepRows
from rheostat.steering.records import Components, GroupState


def doubles(packed: bytes) -> tuple[float, ...]:
    """Return the numbers of a column."""
    return struct.unpack(f"<{len(packed) // 8}d", packed)


def states_of(batch: StepRows) -> dict[int, dict[str, GroupState]]:
    """Return how the LRs come about, by group, at each step from which it is another way.

    The schedule's own movement is not in it: `base` and LR of a step stand in the columns.
    """
    return {
        step: {group.name: group for group in _decode(text).groups}
        for step, text in batch.components.items()
    }


def _decode(text: str) -> Components:
    return msgspec.json.decode(text, type=Components)
