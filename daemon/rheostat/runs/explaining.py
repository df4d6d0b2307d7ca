"""How the LRs of a finished step came about, from what was written down of it."""

import math
import struct

import msgspec

from rheostat.runs.records import StepRows
from rheostat.steering.records import Components, GroupState


def components_at(rows: StepRows, step: int) -> Components:
    """Return how the LRs of a step of a batch came about.

    What the schedule alone moves stands in the batch's columns; the rest was written where it
    changed. What policies in shadow would have given is known for the present only.
    """
    since = max(one for one in rows.components if one <= step)
    components = msgspec.json.decode(rows.components[since], type=Components)
    groups = tuple(_group_at(rows, group, step - rows.first_step) for group in components.groups)
    return msgspec.structs.replace(components, groups=groups)


def _group_at(rows: StepRows, state: GroupState, index: int) -> GroupState:
    momentum = rows.momentum.get(state.name)
    value = math.nan if momentum is None else _at(momentum, index)
    return msgspec.structs.replace(
        state,
        learning_rate=_at(rows.learning_rate[state.name], index),
        base=_at(rows.base[state.name], index),
        momentum=None if math.isnan(value) else value,
        shadows={},
    )


def _at(column: bytes, index: int) -> float:
    value: float = struct.unpack_from("<d", column, 8 * index)[0]
    return value
