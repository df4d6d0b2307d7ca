import hashlib
import itertools
import math

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rheostat.errors import BrokenChain
from rheostat.runs import audit
from rheostat.steering.records import Decision, DecisionRecord, GroupChange

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=8)
group_changes = st.builds(
    GroupChange,
    name=texts,
    old=finite,
    new=finite,
    base=finite,
    factors=st.dictionaries(texts, finite, max_size=2),
    operator=finite,
    hold=st.none() | finite,
    guardrails=st.lists(texts, max_size=2).map(tuple),
)


def decisions_of(revision):
    return st.builds(
        Decision,
        revision=st.just(revision),
        applied_step=st.integers(0, 2**40),
        source=texts,
        groups=st.lists(group_changes, max_size=2).map(tuple),
        verb=texts,
        value=st.none() | finite,
        principal=texts,
        reason=texts,
        request_id=texts,
        time=finite,
    )


def chained(decisions, run="digits"):
    records, previous_hash = [], audit.GENESIS
    for decision in decisions:
        records.append(audit.chain(run, previous_hash, decision))
        previous_hash = records[-1].hash
    return records


def a_decision(*, revision, new=0.05, **fields):
    change = GroupChange(name="head", old=0.1, new=new, base=0.1, operator=0.5)
    return Decision(
        revision=revision, applied_step=7, source="operator", groups=(change,), **fields
    )


def a_history():
    return chained(a_decision(revision=revision, time=1.5 * revision) for revision in range(1, 6))


positions = st.integers(0, 4)


@settings(max_examples=25)
@given(st.tuples(decisions_of(1), decisions_of(2), decisions_of(3)).map(chained))
def test_any_untouched_history_verifies_and_does_so_after_a_trip_through_json(records):
    stored = msgspec.json.encode(records)

    audit.verify(records)
    audit.verify(msgspec.json.decode(stored, type=list[DecisionRecord]))


def test_an_empty_history_verifies():
    audit.verify([])


@given(positions, st.sampled_from(Decision.__struct_fields__), st.data())
def test_any_altered_field_of_any_decision_is_found(index, field, data):
    records = a_history()
    decision = records[index].decision
    forged = data.draw(decisions_of(index + 1 if field != "revision" else index + 2))
    assume(getattr(forged, field) != getattr(decision, field))
    altered = msgspec.structs.replace(decision, **{field: getattr(forged, field)})
    records[index] = msgspec.structs.replace(records[index], decision=altered)

    with pytest.raises(BrokenChain, match=f"decision {index + 1} "):
        audit.verify(records)


@given(positions, finite)
def test_the_smallest_change_of_a_float_is_found(index, time):
    decisions = [record.decision for record in a_history()]
    decisions[index] = msgspec.structs.replace(decisions[index], time=time)
    records = chained(decisions)
    nudged = math.nextafter(time, -math.inf if time > 0 else math.inf)
    altered = msgspec.structs.replace(decisions[index], time=nudged)
    records[index] = msgspec.structs.replace(records[index], decision=altered)

    with pytest.raises(BrokenChain, match=f"decision {index + 1} was altered"):
        audit.verify(records)


@given(positions, st.sampled_from(["hash", "previous_hash"]), st.integers(0, 255))
def test_any_flipped_bit_of_a_hash_is_found(index, field, bit):
    records = a_history()
    flipped = f"{int(getattr(records[index], field), 16) ^ (1 << bit):064x}"
    records[index] = msgspec.structs.replace(records[index], **{field: flipped})

    with pytest.raises(BrokenChain, match=f"decision {index + 1} "):
        audit.verify(records)


@pytest.mark.parametrize("index", range(4))
def test_any_dropped_record_but_the_last_is_found(index):
    records = a_history()
    del records[index]

    with pytest.raises(BrokenChain, match=f"decision {index + 1} is missing"):
        audit.verify(records)


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(range(5), 2)))
def test_any_two_swapped_records_are_found(first, second):
    records = a_history()
    records[first], records[second] = records[second], records[first]

    with pytest.raises(BrokenChain, match=f"decision {first + 1} is missing"):
        audit.verify(records)


def test_a_record_of_another_run_is_found():
    records = a_history()
    records[1] = msgspec.structs.replace(records[1], run="another")

    with pytest.raises(BrokenChain, match="decision 2 was altered"):
        audit.verify(records)


def test_a_forger_who_hashes_again_is_found_at_the_next_record():
    first, second = chained([a_decision(revision=1), a_decision(revision=2)])
    forged = audit.chain(first.run, audit.GENESIS, a_decision(revision=1, reason="not what I said"))

    with pytest.raises(BrokenChain, match="decision 2 does not follow the one before it"):
        audit.verify([forged, second])


def test_the_hash_is_sha_256_over_the_previous_hash_and_canonical_json():
    decision = a_decision(revision=2, value=0.5, reason="plateau", time=1.5)
    canonical = (
        '{"decision":{"applied_step":7,"groups":['
        '{"base":0.1,"name":"head","new":0.05,"old":0.1,"operator":0.5}],"reason":"plateau",'
        '"revision":2,"source":"operator","time":1.5,"value":0.5},"run":"digits"}'
    )

    record = audit.chain("digits", "ab" * 32, decision)

    assert record.hash == hashlib.sha256(f"{'ab' * 32}{canonical}".encode()).hexdigest()


def test_a_field_added_with_a_default_keeps_the_hashes_of_old_records():
    class Grown(Decision, frozen=True, kw_only=True):
        ticket: str = ""

    old, grown = (
        audit._canonical_json("digits", kind(revision=1, applied_step=7, source="x", groups=()))
        for kind in (Decision, Grown)
    )

    assert grown == old


def test_an_int_given_for_a_float_is_hashed_as_it_reads_back():
    record = audit.chain("digits", audit.GENESIS, a_decision(revision=1, value=2))

    assert isinstance(record.decision.value, float)
    audit.verify([msgspec.json.decode(msgspec.json.encode(record), type=DecisionRecord)])


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_cannot_hold_is_refused(number):
    with pytest.raises(ValueError, match=r"run digits: decision 1 .* not finite"):
        audit.chain("digits", audit.GENESIS, a_decision(revision=1, value=number))
    with pytest.raises(ValueError, match=r"run digits: decision 1 .* not finite"):
        audit.chain("digits", audit.GENESIS, a_decision(revision=1, new=number))
