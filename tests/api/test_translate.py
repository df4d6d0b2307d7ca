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
from rheostat.api.translate import to_message, to_observation, to_record
from rheostat.errors import InvalidRequest
from rheostat.runs.records import Explanation, HeldChange, RunView, Snapshot, StepRows
from rheostat.runs.trials import ProbeReport
from rheostat.steering.records import (
    POLICY_VERBS,
    SCHEDULE_VERBS,
    Change,
    Decision,
    DecisionRecord,
    PolicyStatus,
    Verb,
)
from rheostat.v1 import learning_rates_pb2, policies_pb2, runs_pb2, types_pb2
from rheostat_policies import Observation

PAIRS = [
    (RunView, runs_pb2.Run),
    (Snapshot, runs_pb2.Snapshot),
    (StepRows, runs_pb2.StepRows),
    (Decision, types_pb2.Decision),
    (DecisionRecord, types_pb2.DecisionRecord),
    (Explanation, learning_rates_pb2.ExplainLearningRatesResponse),
    (PolicyStatus, types_pb2.PolicyStatus),
    (ProbeReport, learning_rates_pb2.ProbeLearningRatesResponse),
    (HeldChange, learning_rates_pb2.HeldChange),
]

INTEGERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
SIMPLE = {
    bool: st.booleans(),
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
def test_a_record_and_its_message_have_the_same_fields_at_every_depth(record, message):
    assert fields_of_record(record) == fields_of_message(message.DESCRIPTOR)


def fields_of_record(kind):
    return {
        field.name: next(map(fields_of_record, records_in(field.type)), None)
        for field in msgspec.structs.fields(kind)
    }


def records_in(kind):
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for argument in typing.get_args(kind):
        yield from records_in(argument)


LR_VERBS = [verb for verb in Verb if verb not in SCHEDULE_VERBS | POLICY_VERBS]


def fields_of_message(descriptor):
    return {
        field.name: fields_of_message(field.message_type)
        if field.message_type and not field.message_type.GetOptions().map_entry
        else None
        for field in descriptor.fields
    }


def test_a_change_and_its_request_have_the_same_fields():
    request = learning_rates_pb2.ChangeLearningRateRequest.DESCRIPTOR
    verbs = {field.name for field in request.oneofs_by_name["verb"].fields}
    spread_over_the_verbs = {"verb", "value", "steps"}

    assert verbs == {verb.value for verb in LR_VERBS}
    assert set(request.fields_by_name) - verbs - {"run", "wait"} == (
        set(Change.__struct_fields__)
        - spread_over_the_verbs
        - {"principal", "approved_by", "requested_at", "edit", "policy"}
    )


@pytest.mark.parametrize(("record", "message"), PAIRS, ids=lambda one: one.__name__)
@given(data=st.data())
def test_a_record_survives_the_wire_with_every_bit(record, message, data):
    value = data.draw(values(record))

    wire = to_message(value, message()).SerializeToString()

    assert bits(to_record(message.FromString(wire), record)) == bits(value)


def changes():
    fields = {field.name: values(field.type) for field in msgspec.structs.fields(Change)}
    numbers = {
        Verb.RAMP: {},
        Verb.RELEASE: {"value": st.none(), "steps": st.none()},
    }
    scaled = {"steps": st.none()}
    fields["principal"] = fields["approved_by"] = st.just("")  # the daemon fills these in
    fields["requested_at"] = st.just(0.0)
    fields |= {"edit": st.none(), "policy": st.none()}
    return st.sampled_from(LR_VERBS).flatmap(
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


def test_who_asks_and_who_approves_is_not_part_of_a_request():
    change = Change(verb=Verb.RELEASE, principal="mallory", approved_by="trudy")
    heard = change_of(request_of("digits", change, True))

    assert (heard.principal, heard.approved_by) == ("", "")


@pytest.mark.parametrize(
    ("verb", "number"),
    [(verb, {"steps": 5}) for verb in LR_VERBS if verb is not Verb.RAMP]
    + [(Verb.RELEASE, {"value": 0.5})],
)
def test_a_number_that_its_verb_does_not_take_is_refused_and_not_forgotten(verb, number):
    [name] = number

    with pytest.raises(InvalidRequest, match=f"{name} = .*: nothing: {verb} takes no {name}"):
        request_of("digits", Change(verb=verb, **number), True)


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


def test_an_observation_and_its_message_have_the_same_fields():
    fields = {field.name for field in policies_pb2.Observation.DESCRIPTOR.fields}

    # Probes are made for policies inside the trainer alone.
    assert fields == set(Observation._fields) - {"probe"}


@pytest.mark.parametrize(
    "extras",
    [(), (0.5, None, 2.0, {"body": 1.5, "head": 0.1}, 1.0, None, -0.25, 1e-300)],
    ids=["without what costs time", "with some of it"],
)
def test_an_observation_comes_back_as_it_went(extras):
    by_group = {"body": 0.1, "head": 1 / 3}
    told = Observation(7, 100, 0.1 + 0.2, None, 0.5, 5, None, by_group, by_group, {}, *extras)

    message = policies_pb2.Observation.FromString(
        to_message(told, policies_pb2.Observation()).SerializeToString()
    )

    assert to_observation(message) == told
