"""The stream that makes its caller a policy: what it must say, and what it is told."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import msgspec
import pytest

from rheostat.runs.live import LiveRun
from rheostat.runs.messages import Hello, PolicyAnswer
from rheostat.runs.records import Phase
from rheostat.runs.sessions import PolicySession
from rheostat.steering.records import Change, PolicyEdit, RemoteTerms, Verb
from rheostat.v1.policies_pb2 import (
    ConnectPolicyRequest,
    ListPoliciesRequest,
    ListPolicyTypesRequest,
    PolicyAction,
    PolicyHello,
)
from rheostat.v1.policies_pb2_grpc import PoliciesStub
from rheostat_policies import Observation

INVALID = grpc.StatusCode.INVALID_ARGUMENT
USUAL = {"run": "digits", "policy": "far", "schema_version": 1}


def hello(**fields):
    return ConnectPolicyRequest(hello=PolicyHello(**(USUAL | fields)))


def action(**fields):
    return ConnectPolicyRequest(action=PolicyAction(**fields))


def observation(step):
    return Observation(
        step=step,
        steps=100,
        train_loss=0.1 + 0.2,
        validation_step=0,
        learning_rate={"default": 1e-3},
        base={"default": 2e-3},
        factor={"default": 0.5},
        gradient_norm=None,
        gradient_noise=0.0,
    )


@pytest.fixture
def policies(channel):
    return PoliciesStub(channel)


@pytest.fixture
async def run(service):
    """The run behind the service, whose policies connect; `heard` is what its trainer is told."""
    [view] = service.views
    view = msgspec.structs.replace(view, spec='{"train": {"seed": 7}}')
    run = LiveRun(view)
    run.heard, run.asked, run.gone = [], [], asyncio.Event()
    run.connect(run.heard.append, Hello(run="digits", token="", pid=1))

    @asynccontextmanager
    async def connect_policy(name, change):
        run.asked.append(change)
        run.sessions["far"] = PolicySession(run, "far")
        try:
            yield run.sessions["far"]
        finally:
            del run.sessions["far"]
            run.gone.set()

    async def get_run(name):
        return view

    service.connect_policy, service.get_run = connect_policy, get_run
    return run


async def test_a_policy_is_welcomed_told_and_heard(policies, run):
    stream = policies.ConnectPolicy(metadata=(("x-rheostat-principal", "alice"),))
    await stream.write(hello())
    welcome = (await stream.read()).welcome
    run.hear("far", observation(41))
    told = (await stream.read()).observation
    await stream.write(action(step=41, factor=0.5, ramp_steps=3, reason="so"))
    await stream.write(action(step=42))
    await stream.write(action(step=43, factors={"default": 0.25}))
    await stream.done_writing()
    end = await stream.read()

    [group] = welcome.groups
    assert (welcome.run, welcome.steps, welcome.seed, welcome.step) == ("digits", 100, 7, 60)
    assert (group.name, group.parameters) == ("default", 58442)
    assert (told.step, told.steps, told.train_loss) == (41, 100, 0.1 + 0.2)
    assert dict(told.learning_rate) == {"default": 1e-3}
    assert dict(told.base) == {"default": 2e-3}
    assert dict(told.factor) == {"default": 0.5}
    assert told.HasField("validation_step")
    assert told.HasField("gradient_noise")
    assert not told.HasField("gradient_norm")
    assert run.heard == [
        PolicyAnswer(policy="far", step=41, factor=0.5, ramp_steps=3, reason="so"),
        PolicyAnswer(policy="far", step=42),
        PolicyAnswer(policy="far", step=43, factor={"default": 0.25}),
    ]
    assert end is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK
    [change] = run.asked
    policy = PolicyEdit(policy="far", remote=RemoteTerms())
    assert change == Change(verb=Verb.ATTACH, policy=policy, principal="alice")


async def test_a_hello_says_how_the_policy_takes_part(policies, run):
    stream = policies.ConnectPolicy()
    await stream.write(
        hello(
            mode="lockstep",
            deadline=0.5,
            every=10,
            observes=["gradient_norm"],
            hold_steps=0,
            relax_steps=0,
            shadow=True,
        )
    )
    await stream.read()

    [change] = run.asked
    terms = RemoteTerms(
        mode="lockstep",
        deadline=0.5,
        every=10,
        observes=("gradient_norm",),
        hold_steps=0,
        relax_steps=0,
    )
    assert change.policy == PolicyEdit(policy="far", shadow=True, remote=terms)
    stream.cancel()


MISTAKES = [
    ({"run": ""}, {"run": "the name of a run"}),
    ({"policy": ""}, {"policy": "a name: lower-case letters, digits and . _ - between them"}),
    ({"policy": "My Policy"}, {"policy": "My Policy: a name: lower-case letters"}),
    ({"policy": "x" * 64}, {"policy": "at most 63"}),
    ({"schema_version": 0}, {"schema_version": "0: 1, the only version of observations there is"}),
    ({"schema_version": 2}, {"schema_version": "2: 1, the only version of observations there is"}),
    ({"mode": "sync"}, {"mode": "sync: one of async, lockstep"}),
    ({"mode": "lockstep"}, {"deadline": "the longest that a step may wait, in seconds"}),
    ({"deadline": 0.0}, {"deadline": "0.0: seconds, more than 0 and at most 60"}),
    ({"deadline": float("nan")}, {"deadline": "nan: seconds, more than 0 and at most 60"}),
    ({"deadline": 61.0}, {"deadline": "61.0: seconds, more than 0 and at most 60"}),
    ({"every": 0}, {"every": "0: at least 1 optimizer step"}),
    ({"observes": ["gradient_norm", "weather"]}, {"observes[1]": "weather: one of gradient_norm"}),
    ({"hold_steps": -1}, {"hold_steps": "-1: 0 or greater"}),
    ({"relax_steps": -1}, {"relax_steps": "-1: 0 or greater"}),
    (
        {"policy": "", "schema_version": 3, "mode": "x", "every": -1},
        {"policy": "a name", "schema_version": "3: 1", "mode": "x: one", "every": "-1: at least 1"},
    ),
]


@pytest.mark.parametrize(("fields", "told"), MISTAKES, ids=lambda one: ", ".join(one))
async def test_every_mistake_in_a_hello_is_told_with_its_field_its_value_and_the_mend(
    policies, run, refusal, fields, told
):
    stream = policies.ConnectPolicy()
    await stream.write(hello(**fields))

    refused = await refusal(stream)

    assert refused.code is INVALID
    assert set(refused.violations) == {f"hello.{field}" for field in told}
    for field, text in told.items():
        assert text in refused.violations[f"hello.{field}"]
    assert run.asked == []


@pytest.mark.parametrize(
    "first",
    [action(step=1, factor=0.5), ConnectPolicyRequest(), None],
    ids=["action", "empty", "none"],
)
async def test_a_conversation_that_does_not_begin_with_a_hello_is_refused(
    policies, run, refusal, first
):
    stream = policies.ConnectPolicy()
    if first is not None:
        await stream.write(first)
    await stream.done_writing()

    refused = await refusal(stream)

    assert refused.code is INVALID
    assert refused.violations == {"hello": "a hello as the first message of the stream"}


NO_ACTION = {"message": "an action after the hello"}


@pytest.mark.parametrize(
    ("second", "violations"),
    [
        pytest.param(hello(), NO_ACTION, id="hello"),
        pytest.param(ConnectPolicyRequest(), NO_ACTION, id="empty"),
        pytest.param(
            action(step=1, factor=0.5, factors={"default": 2.0}),
            {
                "action.factors": "{'default': 2.0}: nothing beside action.factor: "
                "give one factor for all groups, or one by group"
            },
            id="two answers at once",
        ),
    ],
)
async def test_what_is_no_action_ends_the_conversation(policies, run, refusal, second, violations):
    stream = policies.ConnectPolicy()
    await stream.write(hello())
    await stream.read()
    await stream.write(second)

    refused = await refusal(stream)

    assert (refused.code, refused.violations) == (INVALID, violations)
    assert run.gone.is_set()
    assert run.sessions == {}


async def test_whoever_hangs_up_is_gone(policies, run):
    stream = policies.ConnectPolicy()
    await stream.write(hello())
    await stream.read()

    stream.cancel()

    await asyncio.wait_for(run.gone.wait(), 5)
    assert run.sessions == {}


async def test_whoever_says_no_more_is_told_no_more(policies, run):
    stream = policies.ConnectPolicy()
    await stream.write(hello())
    await stream.read()
    session = run.sessions["far"]

    await stream.done_writing()
    await asyncio.wait_for(run.gone.wait(), 5)
    session.tell(observation(1))

    assert await stream.read() is grpc.aio.EOF


async def test_a_policy_that_is_let_go_gets_what_waits_for_it_and_the_end(policies, run):
    stream = policies.ConnectPolicy()
    await stream.write(hello())
    await stream.read()

    for step in range(3):
        run.hear("far", observation(step))
    run.hang_up("far")
    told = [(await stream.read()).observation.step for _ in range(3)]

    assert told == [0, 1, 2]
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_policy_that_does_not_read_loses_the_oldest_and_holds_nobody_up(policies, run):
    stream = policies.ConnectPolicy()
    await stream.write(hello())
    await stream.read()

    for step in range(100_000):
        run.hear("far", observation(step))
    run.hang_up("far")
    told = []
    while (response := await stream.read()) is not grpc.aio.EOF:
        told.append(response.observation.step)

    assert told == list(range(100_000 - len(told), 100_000))
    assert len(told) <= 200


async def test_policies_are_listed_where_the_run_has_begun(policies, service, refusal):
    listed = await policies.ListPolicies(ListPoliciesRequest(run="digits"))
    [view] = service.views

    async def get_run(run):
        return msgspec.structs.replace(view, snapshot=None, phase=Phase.QUEUED)

    service.get_run = get_run
    refused = await refusal(policies.ListPolicies(ListPoliciesRequest(run="digits")))
    nameless = await refusal(policies.ListPolicies(ListPoliciesRequest()))

    assert (listed.run, listed.step, list(listed.policies)) == ("digits", 60, [])
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.message == "run digits is queued and has no policies yet"
    assert nameless.violations == {"run": "the name of a run"}


async def test_the_types_that_can_be_attached_are_listed_with_their_first_line(policies):
    listed = await policies.ListPolicyTypes(ListPolicyTypesRequest())

    types = {one.name: one for one in listed.types}
    assert {"plateau", "greedy", "rules"} <= set(types)
    assert types["plateau"].origin == "built-in"
    assert types["plateau"].summary
