import asyncio
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.door.limits import MAX_PRINCIPALS, MAX_READ_AT_ONCE, MAX_STRANGERS, Limits, Pace
from rheostat.errors import ResourceExhausted


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def asked(pace, principal, times):
    """Ask some times, and return how often that passed."""
    passed = 0
    for _ in range(times):
        try:
            pace.request(principal)
        except ResourceExhausted:
            continue
        passed += 1
    return passed


def test_a_minutes_requests_pass_at_once_and_no_more(clock):
    pace = Pace(Limits(requests_per_minute=60), clock)

    assert asked(pace, "ada", 100) == 60
    assert asked(pace, "eve", 10) == 10, "each has a bucket of their own"
    clock.now = 10.0
    assert asked(pace, "ada", 100) == 10
    clock.now = 1000.0
    assert asked(pace, "ada", 100) == 60, "a bucket holds a minute and not more"


def test_a_refusal_says_when_to_come_again_and_is_right(clock):
    pace = Pace(Limits(requests_per_minute=6), clock)
    assert asked(pace, "ada", 6) == 6
    clock.now = 4.0
    with pytest.raises(ResourceExhausted, match=r"more than 6 requests of ada in a minute") as late:
        pace.request("ada")
    clock.now += late.value.retry_after - 0.01
    assert asked(pace, "ada", 1) == 0
    clock.now += 0.02

    assert (late.value.retry_after, asked(pace, "ada", 1)) == (pytest.approx(6.0), 1)


@given(st.lists(st.floats(0, 5), max_size=200), st.integers(1, 30))
def test_no_minute_ever_has_more_than_twice_the_limit(pauses, most):
    clock, passed = Clock(), []
    pace = Pace(Limits(requests_per_minute=most), clock)
    for pause in pauses:
        clock.now += pause
        if asked(pace, "ada", 1):
            passed.append(clock.now)

    assert all(sum(end - 60 < one <= end for one in passed) <= 2 * most for end in passed)


def test_streams_are_counted_while_they_last():
    pace = Pace(Limits(streams=2))
    with pace.stream("ada"), pace.stream("eve"):
        with pace.stream("ada"), pytest.raises(ResourceExhausted, match="ada has 2 streams open"):
            pace.stream("ada").__enter__()
        with pace.stream("ada"):
            pass


def test_made_up_names_cost_no_memory_without_end(clock):
    pace = Pace(Limits(), clock)
    for number in range(MAX_PRINCIPALS + 100):
        pace.request(f"somebody-{number}")

    assert len(pace._buckets) == MAX_PRINCIPALS


def test_a_limit_is_at_least_one():
    assert [one.field for one in Limits(streams=0, message_bytes=-1).violations()] == [
        "max_message_bytes",
        "max_streams",
    ]


@pytest.mark.parametrize(("principal", "most"), [("ada", 50), (None, MAX_STRANGERS)])
def test_calls_at_once_are_bounded_for_each_and_for_strangers_together(principal, most):
    pace = Pace(Limits(concurrent_calls=100))
    with ExitStack() as held:
        for _ in range(most):
            held.enter_context(pace.call(principal))
        with pytest.raises(ResourceExhausted, match=f"{most} calls of"):
            held.enter_context(pace.call(principal))
        held.enter_context(pace.call("eve"))

    with pace.call(principal):
        pass


async def test_a_principals_requests_are_read_some_at_a_time_and_the_others_wait():
    pace, inside, go = Pace(Limits()), [], asyncio.Event()

    async def read(principal):
        async with pace.reading(principal):
            inside.append(principal)
            await go.wait()

    reading = [asyncio.create_task(read("ada")) for _ in range(MAX_READ_AT_ONCE + 5)]
    reading.append(asyncio.create_task(read("eve")))
    await asyncio.sleep(0.01)
    at_first = list(inside)
    go.set()
    await asyncio.gather(*reading)

    assert at_first == ["ada"] * MAX_READ_AT_ONCE + ["eve"]
    assert len(inside) == MAX_READ_AT_ONCE + 6
