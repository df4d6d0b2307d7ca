"""Records into messages and back, by name.

A field is called the same in a record and in its message, so one walk over the descriptor
translates them all, and a field that only one side knows fails the tests. What needs a rule:

- None in a record is an absent field in a message, and the other way round.
- A phase is a string in a record and an enum value `PHASE_<NAME>` in a message.
"""

from typing import Any, TypeVar

import msgspec
from google.protobuf.message import Message

from rheostat_policies import Observation

M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=msgspec.Struct)

# A field's descriptor; protobuf's stubs give it two types, one per implementation.
Field = Any


def to_message(record: msgspec.Struct | Observation, message: M) -> M:
    """Fill a message from a record and return it."""
    names = record._fields if isinstance(record, Observation) else record.__struct_fields__
    for name in names:
        value = getattr(record, name)
        if value is not None:
            _put(message, message.DESCRIPTOR.fields_by_name[name], value)
    return message


def to_record(message: Message, record: type[R]) -> R:
    """Return the record that a message stands for."""
    return msgspec.convert(_plain(message), record)


def to_observation(message: Message) -> Observation:
    """Return the observation that a message stands for."""
    return Observation(**_plain(message))


def _put(message: Any, field: Field, value: Any) -> None:
    target = getattr(message, field.name)
    if _is_map(field):
        target.update(value)
    elif field.is_repeated:
        if field.message_type is None:
            target.extend(value)
        else:
            for item in value:
                to_message(item, target.add())
    elif field.message_type is not None:
        target.SetInParent()
        to_message(value, target)
    elif field.enum_type is not None:
        prefix = field.enum_type.name.upper()
        setattr(message, field.name, f"{prefix}_{value.upper()}")
    else:
        setattr(message, field.name, value)


def _plain(message: Message) -> dict[str, Any]:
    plain = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        plain[field.name] = _get(field, getattr(message, field.name))
    return plain


def _get(field: Field, value: Any) -> Any:
    if _is_map(field):
        # A map comes in no order, and the product of factors depends on it in its last bit.
        return dict(sorted(value.items()))
    if field.is_repeated:
        return list(value) if field.message_type is None else [_plain(item) for item in value]
    if field.message_type is not None:
        return _plain(value)
    if field.enum_type is not None:
        prefix = field.enum_type.name.upper()
        return field.enum_type.values_by_number[value].name.removeprefix(f"{prefix}_").lower()
    return value


def _is_map(field: Field) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)
