import string
import struct
import types
import typing
from enum import Enum

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.api.changes import change_of, request_of
from rheostat.api.translate import to_message, to_record
from rheostat.errors import InvalidRequest
from rheostat.runs.records import Explanation, RunView, Snapshot, StepRows
from rheostat.steering.records import Change, Decision, DecisionRecord, Verb
from rheostat.v1 import learning_rates_pb2, runs_pb2, types_pb2

PAIRS = [
    (RunView, runs_pb2.Run),
    (Snapshot, runs_pb2.Snapshot),
    (StepRows, runs_pb2.StepRows),
    (Decision, types_pb2.Decision),
    (DecisionRecord, types_pb2.DecisionRecord),
    (Explanation, learning_rates_pb2.ExplainLearningRatesResponse),
]

INTEGERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
SIMPLE = {
    int: INTEGERS,
    float: st.floats(allow_nan=True, allow_infinity=True),
    str: st.text(st.characters(codec="utf-8"), max_size=8),
    bytes: st.binary(max_size=16),
    type(None): st.none(),
}


def bits(value):
    """Turn a value into one where NaN equals itself and -0.0 does not equal 0.0."""
    match value:
        case float():
            return struct.pack("<d", value)
        case tuple():
            return [bits(item) for item in value]
        case dict():
            return {key: bits(item) for key, item in value.items()}
        case msgspec.Struct():
            return type(value), bits(msgspec.structs.asdict(value))
    return value


def values(kind):
    """Everything of a type that a record's field can have."""
    arguments = typing.get_args(kind)
    match typing.get_origin(kind):
        case types.UnionType:
            return st.one_of(*map(values, arguments))
        case origin if origin is tuple:
            return st.lists(values(arguments[0]), max_size=2).map(tuple)
        case origin if origin is dict:
            return st.dictionaries(*map(values, arguments), max_size=2)
    if issubclass(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        return st.builds(kind, **{field.name: values(field.type) for field in fields})
    return st.sampled_from(kind) if issubclass(kind, Enum) else SIMPLE[kind]


@pytest.mark.parametrize(("record", "message"), PAIRS, ids=lambda one: one.__name__)
def test_a_record_and_its_message_have_the_same_fields(record, message):
    assert set(record.__struct_fields__) == set(message.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(("record", "message"), PAIRS, ids=lambda one: one.__name__)
@given(data=st.data())
def test_a_record_survives_the_wire_with_every_bit(record, message, data):
    value = data.draw(values(record))

    wire = to_message(value, message()).SerializeToString()

    assert bits(to_record(message.FromString(wire), record)) == bits(value)


def changes():
    fields = {field.name: values(field.type) for field in msgspec.structs.fields(Change)}
    numbers = {
        Verb.RAMP: {"value": SIMPLE[float], "steps": INTEGERS},
        Verb.RELEASE: {"value": st.none(), "steps": st.none()},
    }
    scaled = {"value": SIMPLE[float], "steps": st.none()}
    fields["principal"] = st.just("")
    return st.sampled_from(Verb).flatmap(
        lambda verb: st.builds(
            Change, **(fields | {"verb": st.just(verb)} | numbers.get(verb, scaled))
        )
    )


@given(change=changes(), wait=st.booleans())
def test_a_change_survives_the_wire_with_every_bit(change, wait):
    wire = request_of("digits", change, wait).SerializeToString()
    request = learning_rates_pb2.ChangeLearningRateRequest.FromString(wire)

    assert bits(change_of(request)) == bits(change)
    assert (request.run, request.wait) == ("digits", wait)


def test_who_asks_is_not_part_of_a_request():
    change = Change(verb=Verb.RELEASE, principal="mallory")

    assert change_of(request_of("digits", change, True)).principal == ""


@pytest.mark.parametrize("field", ["steps", "at_step", "expires_after_steps", "expected_revision"])
@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_a_number_that_no_request_can_hold_is_refused_with_its_field(field, number):
    change = Change(verb=Verb.RAMP, value=1.0, **{"steps": 1} | {field: number})

    with pytest.raises(InvalidRequest, match=f"{field} = {number}: a number of 64 bits"):
        request_of("digits", change, True)


def test_every_phase_has_a_value_on_the_wire():
    [phases] = runs_pb2.DESCRIPTOR.enum_types_by_name.values()
    phase = msgspec.structs.fields(RunView)[1].type

    assert {f"PHASE_{one.name}" for one in phase} == set(phases.values_by_name) - {
        "PHASE_UNSPECIFIED"
    }
    assert all(set(name) <= {*string.ascii_uppercase, "_"} for name in phases.values_by_name)
