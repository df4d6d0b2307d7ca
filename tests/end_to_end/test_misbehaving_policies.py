"""Remote policies that hang, babble, dawdle and vanish: the run does not wait for them."""

import itertools
import queue
import statistics
import struct
import time
from contextlib import contextmanager, suppress
from threading import Thread

import grpc
import pytest

from rheostat.runs import audit
from rheostat.steering.policies import BENCH_AFTER
from rheostat.v1.policies_pb2 import ConnectPolicyRequest, PolicyAction, PolicyHello
from rheostat.v1.policies_pb2_grpc import PoliciesStub

DEADLINE = 0.5
"""Seconds: hundreds of steps, so that one which waited would stand out."""


class Stranger:
    """A policy that speaks the wire's own language, and need not mind its manners."""

    def __init__(self, stream, said):
        self.stream = stream
        self._said = said

    def answer(self, step, **fields):
        self._said.put(ConnectPolicyRequest(action=PolicyAction(step=step, **fields)))

    def hang_up(self):
        self._said.put(None)

    def read(self):
        """Return the next observation, None at the end."""
        response = next(self.stream, None)
        return None if response is None else response.observation


@contextmanager
def connected(run, name, **terms):
    """Be a policy of a run, by the proto files alone."""
    said = queue.SimpleQueue()
    hello = PolicyHello(run=run.name, policy=name, schema_version=1, **terms)
    said.put(ConnectPolicyRequest(hello=hello))
    with grpc.insecure_channel(run.daemon.address) as channel:
        stream = PoliciesStub(channel).ConnectPolicy(iter(said.get, None))
        assert next(stream).HasField("welcome")
        try:
            yield Stranger(stream, said)
        finally:
            stream.cancel()
            said.put(None)


@pytest.fixture(scope="module")
def run(daemon):
    with daemon.training() as run:
        yield run


def durations(run, first, last):
    """Return the seconds that steps took."""
    seconds = []
    for rows in run.daemon.client.export_run(run.name):
        seconds += struct.unpack(f"<{rows.count}d", rows.duration)
    return seconds[first:last]


def status(run, name):
    return next(one for one in run.daemon.client.list_policies(run.name) if one.name == name)


# What strangers do until they are stopped.


def hang(stranger):
    """Neither read nor answer."""


def babble(stranger):
    """Answer nonsense to everything."""
    nonsense = itertools.cycle(
        [
            {"factor": float("nan")},
            {"factor": -1.0},
            {"factors": {"nobody": 0.5}},
            {"factor": 0.5, "ramp_steps": 0},
            {"factor": float("inf"), "reason": "x" * 10_000},
        ]
    )
    while observation := stranger.read():
        stranger.answer(observation.step, **next(nonsense))
        stranger.answer(observation.step + 10**6, factor=0.5)


def dawdle(stranger):
    """Answer long after it was asked, and the newest first."""
    while observation := stranger.read():
        time.sleep(0.05)
        stranger.answer(observation.step, factor=1.5)
        stranger.answer(observation.step - 500, factor=0.5)


def vanish(stranger):
    """Leave in the middle of the conversation."""
    for _ in range(20):
        stranger.answer(stranger.read().step, factor=0.5)
    stranger.stream.cancel()


@contextmanager
def misbehaving(stranger, misbehave):
    def speak():
        with suppress(grpc.RpcError):  # it was stopped
            misbehave(stranger)

    thread = Thread(target=speak, name=misbehave.__name__)
    thread.start()
    yield
    stranger.stream.cancel()
    thread.join()


OFFENCES = {hang: set(), babble: {"failed", "late"}, dawdle: {"late"}, vanish: set()}
"""What each is reproached with where nobody waits for it; in lockstep, who hangs has missed it."""


def outcomes(run, name):
    return {outcome for outcome, count in status(run, name).outcomes.items() if count}


def told_of(run, name):
    """Return the verbs of what the history tells of a policy, beside its own decisions."""
    decisions = [record.decision for record in run.history]
    return [one.verb for one in decisions if one.source == f"policy:{name}" and one.verb]


@pytest.mark.parametrize("misbehave", OFFENCES)
def test_no_step_waits_for_a_policy_that_misbehaves_asynchronously(run, wait_until, misbehave):
    name, first = misbehave.__name__, run.step
    run.advance(500)
    begun = run.step
    terms = {"deadline": DEADLINE, "relax_steps": 10}
    with connected(run, name, **terms) as stranger, misbehaving(stranger, misbehave):
        run.advance(1000)
        ended = run.step
    alone, beside = durations(run, first, begun), durations(run, begun, ended)

    assert len(beside) >= 1000
    assert max(beside) < DEADLINE
    assert statistics.median(beside) < 4 * statistics.median(alone), "it shares two cores with us"
    assert outcomes(run, name) - {"changed"} == OFFENCES[misbehave]
    assert status(run, name).benched == (misbehave is babble)
    wait_until(lambda: "vanish" in told_of(run, name), "its absence is noticed")


@pytest.mark.parametrize("misbehave", OFFENCES)
def test_a_step_waits_in_lockstep_no_longer_than_the_deadline_and_not_for_long(run, misbehave):
    name, begun = f"{misbehave.__name__}.in.lockstep", run.step
    terms = {"mode": "lockstep", "deadline": DEADLINE, "relax_steps": 10}
    with connected(run, name, **terms) as stranger, misbehaving(stranger, misbehave):
        run.advance(40)
        ended = run.step
    seconds = durations(run, begun, ended)

    assert max(seconds) < 2 * DEADLINE
    assert sum(one >= DEADLINE for one in seconds) <= BENCH_AFTER
    missed = {"missed"} if misbehave is hang else set()
    assert outcomes(run, name) - {"changed"} == OFFENCES[misbehave] | missed
    assert status(run, name).benched == (misbehave in (hang, babble))
    audit.verify(run.history)
