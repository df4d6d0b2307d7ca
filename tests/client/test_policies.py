import asyncio
import threading
from contextlib import asynccontextmanager
from types import SimpleNamespace

import msgspec
import pytest

from rheostat.api.server import ApiServer
from rheostat.client import AsyncClient, Client, Credentials, serving
from rheostat.client.connections import MAX_WAITING, AsyncPolicyConnection, PolicyConnection
from rheostat.client.policies import Welcome, answering, connecting
from rheostat.door.tls import TlsFiles
from rheostat.errors import FailedPrecondition, InvalidRequest, NotFound, Unreachable, Violation
from rheostat.runs.messages import PolicyAnswer
from rheostat.runs.records import Phase
from rheostat.runs.sessions import PolicySession
from rheostat.steering.records import PolicyEdit, RemoteTerms, Verb
from rheostat_policies import KEEP, Action, GroupInfo, Observation, Probe, RunInfo


def observation(step):
    return Observation(
        step=step,
        steps=100,
        train_loss=1 / 3,
        validation_loss=0.5,
        learning_rate={"default": 1e-3},
        base={"default": 2e-3},
        factor={"default": 0.5},
        gradient_norm=2.5,
    )


TERMS = {
    "mode": "async",
    "deadline": None,
    "every": 1,
    "observes": (),
    "hold_steps": 100,
    "relax_steps": 100,
    "shadow": False,
}


class Session(PolicySession):
    """A connection to a run that is made up by a `Seat`."""

    def __init__(self, seat, policy):
        super().__init__(SimpleNamespace(tell=seat.answers.append), policy)
        self.seat = seat

    async def observations(self):
        async for observation in super().observations():
            yield observation
        if self.seat.errors:
            raise self.seat.errors.pop(0)

    def answer(self, *answer):
        super().answer(*answer)
        if len(self.seat.answers) == self.seat.ends_after:
            self.close()


class Seat:
    """What the run tells its remote policies, and what they answer; a test sets the first."""

    def __init__(self, service):
        self.service = service
        self.observations = [observation(7)]
        self.ends = True
        """Whether the run ends after those observations."""
        self.ends_after = None
        """Or after how many answers."""
        self.errors = []
        """Raised instead, one per connection."""
        self.hellos = []
        self.answers = []
        self.is_taken = asyncio.Event()
        self.is_left = asyncio.Event()

    @asynccontextmanager
    async def connect_policy(self, run, change):
        self.service._hear("connect_policy", run, change=change)
        self.hellos.append(change)
        session = Session(self, change.policy.policy)
        for told in self.observations:
            session.tell(told)
        if self.ends:
            session.close()
        self.is_taken.set()
        try:
            yield session
        finally:
            self.is_left.set()


@pytest.fixture
def seat(service):
    """The place of a remote policy in the run `digits` that the service knows."""
    [view] = service.views
    service.view = msgspec.structs.replace(view, spec='{"train": {"seed": 3}}')

    async def get_run(run):
        service._hear("get_run", run)
        return service.view

    service.get_run = get_run
    seat = Seat(service)
    service.connect_policy = seat.connect_policy
    return seat


class Blocking:
    """Drives the blocking client, in a thread; `Awaiting` does the same with the other."""

    kind = Client

    async def steer(self, client, react, run="digits", name="brake", **terms):
        """Connect, let a function see each observation, and return what it returned."""

        def steer():
            with client.connect_policy(run, name, **terms) as policy:
                return [react(policy, observation) for observation in policy]

        return await asyncio.to_thread(steer)

    async def steer_once(self, client):
        """Answer one observation and leave."""

        def steer():
            with client.connect_policy("digits", "brake") as policy:
                policy.answer(next(policy), factor=0.5)

        await asyncio.to_thread(steer)

    async def serve(self, client, policy, **options):
        await asyncio.to_thread(client.serve_policy, "digits", "brake", policy, **options)

    async def close(self, client):
        await asyncio.to_thread(client.close)


class Awaiting:
    kind = AsyncClient

    async def steer(self, client, react, run="digits", name="brake", **terms):
        async with client.connect_policy(run, name, **terms) as policy:
            return [react(policy, observation) async for observation in policy]

    async def steer_once(self, client):
        async with client.connect_policy("digits", "brake") as policy:
            policy.answer(await anext(policy), factor=0.5)

    async def serve(self, client, policy, **options):
        await client.serve_policy("digits", "brake", policy, **options)

    async def close(self, client):
        await client.close()


@pytest.fixture(params=[Blocking, Awaiting], ids=["blocking", "awaiting"])
def driver(request):
    return request.param()


@pytest.fixture
async def client(driver, address):
    client = driver.kind(address)
    yield client
    await driver.close(client)


def see(policy, observation):
    return observation


def halve(policy, observation):
    policy.answer(observation, factor=0.5)


class Counting:
    """Answers with the number of observations it has seen, as its state counts them."""

    observes = ("gradient_norm",)

    def __init__(self):
        self.runs = []

    def initial_state(self, run):
        self.runs.append(run)
        return 0

    def decide(self, state, observation):
        return Action(factor=state + 1.0, reason="one more"), state + 1


async def test_a_policy_is_introduced_with_its_terms(seat, driver, client):
    terms = {"deadline": 0.5, "every": 10, "hold_steps": 0, "relax_steps": 7}

    await driver.steer(
        client, see, mode="lockstep", observes=["gradient_norm"], shadow=True, **terms
    )

    [change] = seat.hellos
    remote = RemoteTerms(mode="lockstep", observes=("gradient_norm",), **terms)
    assert change.verb is Verb.ATTACH
    assert change.policy == PolicyEdit(policy="brake", shadow=True, remote=remote)


async def test_terms_that_nobody_gives_are_the_usual_ones(seat, driver, client):
    await driver.steer(client, see)

    [change] = seat.hellos
    assert change.policy == PolicyEdit(policy="brake", remote=RemoteTerms())


async def test_a_policy_is_welcomed_with_what_it_may_know_of_the_run(seat, driver, client):
    [welcome] = await driver.steer(client, lambda policy, observation: policy.welcome)

    groups = (GroupInfo(name="default", parameters=58442),)
    assert (welcome.run, welcome.steps, welcome.seed, welcome.groups, welcome.step) == (
        "digits",
        100,
        3,
        groups,
        60,
    )
    assert welcome.info == RunInfo(name="digits", steps=100, groups=groups, seed=3)


async def test_observations_arrive_as_they_were_made_until_the_run_ends(seat, driver, client):
    seat.observations = [observation(step) for step in range(20)]

    assert await driver.steer(client, see) == seat.observations


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (KEEP, PolicyAnswer(policy="brake", step=7)),
        (
            Action(factor=0.5, ramp_steps=20, reason="too hot"),
            PolicyAnswer(policy="brake", step=7, factor=0.5, ramp_steps=20, reason="too hot"),
        ),
        (
            Action(factor={"default": 0.25}),
            PolicyAnswer(policy="brake", step=7, factor={"default": 0.25}),
        ),
    ],
    ids=["keep", "for all", "by group"],
)
async def test_an_answer_says_as_much_in_its_parts_as_in_an_action(
    seat, driver, client, action, expected
):
    seat.ends, seat.ends_after = False, 2

    def answer_twice(policy, observation):
        policy.answer(observation, action)
        policy.answer(
            observation, factor=action.factor, ramp_steps=action.ramp_steps, reason=action.reason
        )

    await driver.steer(client, answer_twice)

    assert seat.answers == [expected, expected]


async def test_an_answer_in_both_forms_is_a_mistake(seat, driver, client):
    def confuse(policy, observation):
        policy.answer(observation, KEEP, factor=0.5)

    with pytest.raises(TypeError, match="an action or its parts, not both"):
        await driver.steer(client, confuse)


async def test_an_answer_that_no_message_can_hold_is_refused_by_its_field(seat, driver, client):
    def exaggerate(policy, observation):
        policy.answer(observation, factor=0.5, ramp_steps=2**63)

    with pytest.raises(InvalidRequest, match="ramp_steps = 9223372036854775808: a number of 64"):
        await driver.steer(client, exaggerate)


async def test_whoever_leaves_has_been_heard(seat, driver, client):
    seat.ends = False

    await driver.steer_once(client)

    assert seat.answers == [PolicyAnswer(policy="brake", step=7, factor=0.5)]
    await asyncio.wait_for(seat.is_left.wait(), 5)


async def test_a_policy_that_raises_leaves_the_run(seat, driver, client):
    seat.ends = False

    with pytest.raises(ZeroDivisionError):
        await driver.steer(client, lambda policy, observation: 1 / 0)

    await asyncio.wait_for(seat.is_left.wait(), 5)


def many(event):
    """Say welcome and then too much, and tell when all of it was taken."""
    yield Welcome(run="digits", steps=100, seed=3, groups=(), step=0)
    yield from map(observation, range(1000))
    event.set()


def test_a_slow_policy_that_blocks_misses_the_oldest_observations():
    is_read = threading.Event()
    call = connecting("digits", "brake", **TERMS)

    with PolicyConnection(call, lambda call, requests: many(is_read)) as policy:
        is_read.wait(5)
        seen = [observation.step for observation in policy]

    assert seen == list(range(1000 - MAX_WAITING, 1000))


async def test_a_slow_policy_that_awaits_misses_the_oldest_observations():
    is_read = threading.Event()
    call = connecting("digits", "brake", **TERMS)

    async with AsyncPolicyConnection(call, lambda call, requests: many(is_read)) as policy:
        await asyncio.to_thread(is_read.wait, 5)
        seen = [observation.step async for observation in policy]

    assert seen == list(range(1000 - MAX_WAITING, 1000))


@pytest.mark.parametrize(
    "error",
    [
        FailedPrecondition("a policy brake is attached already"),
        NotFound("no run is named 'digits'"),
        InvalidRequest([Violation("every", "0", "at least 1 optimizer step")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_who_may_not_be_a_policy_is_told_why(seat, driver, client, error):
    seat.service.errors = [error]

    with pytest.raises(type(error)) as caught:
        await driver.steer(client, see)

    assert str(caught.value) == str(error)


async def test_an_error_in_the_middle_comes_after_what_was_told_before(seat, driver, client):
    seat.observations = [observation(step) for step in range(3)]
    seat.errors = [InvalidRequest([Violation("message", "", "an action after the hello")])]
    seen = []

    with pytest.raises(InvalidRequest, match="message: an action after the hello"):
        await driver.steer(client, lambda policy, observation: seen.append(observation))

    assert seen == seat.observations


async def test_without_a_daemon_a_policy_is_told_where_none_answers(driver):
    client = driver.kind("127.0.0.1:1")

    with pytest.raises(Unreachable, match=r"no daemon answers at 127\.0\.0\.1:1"):
        await driver.steer(client, see)

    await driver.close(client)


async def test_a_run_that_ends_while_answers_are_on_their_way_ends_well(seat, driver, client):
    seat.ends = False
    seat.observations = [observation(step) for step in range(50)]

    for _ in range(10):
        seat.ends_after = len(seat.answers) + 25
        await driver.steer(client, halve)


async def test_a_policy_presents_the_credentials_of_its_client(seat, driver, ours):
    files = ours.issue_server()
    certificates = TlsFiles(cert=files.cert, key=files.key).watched()
    server = ApiServer(seat.service, address="127.0.0.1:0", certificates=certificates)
    client = driver.kind(await server.start(), credentials=Credentials(ca=ours.file))

    assert await driver.steer(client, see) == seat.observations

    await driver.close(client)
    await server.stop(0)


async def test_closing_the_client_ends_the_observations(seat, driver, client):
    seat.ends = False
    seen = []
    steering = asyncio.create_task(driver.steer(client, lambda _, told: seen.append(told)))
    while not seen:
        await asyncio.sleep(0.01)

    await driver.close(client)

    await asyncio.wait_for(steering, 5)
    assert seen == seat.observations


async def test_closing_the_client_of_a_policy_that_waits_to_be_taken_in_is_told(
    seat, driver, client
):
    is_asked = asyncio.Event()

    async def get_run(run):
        is_asked.set()
        await asyncio.Event().wait()

    seat.service.get_run = get_run
    steering = asyncio.create_task(driver.steer(client, see))
    await is_asked.wait()

    await driver.close(client)

    with pytest.raises(Unreachable, match="closed before the run had taken the policy in"):
        await asyncio.wait_for(steering, 5)


async def test_a_policy_object_is_served_with_its_state_until_the_run_ends(seat, driver, client):
    seat.observations = [observation(step) for step in range(3)]
    seat.ends, seat.ends_after = False, 3
    policy = Counting()

    await driver.serve(client, policy, every=2)

    [hello] = seat.hellos
    groups = (GroupInfo(name="default", parameters=58442),)
    assert hello.policy.remote == RemoteTerms(every=2, observes=("gradient_norm",))
    assert policy.runs == [RunInfo(name="digits", steps=100, groups=groups, seed=3)]
    assert seat.answers == [
        PolicyAnswer(policy="brake", step=step, factor=step + 1.0, reason="one more")
        for step in range(3)
    ]


async def test_what_a_served_policy_raises_ends_its_service(seat, driver, client):
    seat.ends = False
    policy = Counting()
    policy.decide = lambda state, observation: {}[observation.step]

    with pytest.raises(KeyError, match="7"):
        await driver.serve(client, policy, reconnect=True)

    await asyncio.wait_for(seat.is_left.wait(), 5)


async def test_a_first_connection_that_fails_is_not_tried_again(seat, driver, client):
    seat.service.errors = [FailedPrecondition("it has not started")]

    with pytest.raises(FailedPrecondition, match="it has not started"):
        await driver.serve(client, Counting(), reconnect=True)


@pytest.fixture
async def restart(service, monkeypatch):
    """A control plane that a test can start, and start again at the same address."""
    monkeypatch.setattr(serving, "_FIRST_PAUSE_SECONDS", 0.01)
    servers = []

    async def restart(address="127.0.0.1:0"):
        for server in servers:
            await server.stop(0)
        servers[:] = [ApiServer(service, address=address)]
        return await servers[0].start()

    yield restart
    await servers[0].stop(0)


async def test_a_lost_connection_is_raised_unless_asked_otherwise(seat, driver, restart):
    seat.ends = False
    client = driver.kind(await restart())
    service = asyncio.create_task(driver.serve(client, Counting()))
    await seat.is_taken.wait()

    await restart()

    with pytest.raises(Unreachable):
        await asyncio.wait_for(service, 5)
    await driver.close(client)


async def test_a_served_policy_comes_back_with_its_state(seat, driver, restart):
    seat.ends = False
    address = await restart()
    client = driver.kind(address)
    policy = Counting()
    service = asyncio.create_task(driver.serve(client, policy, reconnect=True))
    while not seat.answers:
        await asyncio.sleep(0.01)
    seat.ends_after = 2

    await restart(address)
    await asyncio.wait_for(service, 10)

    assert [answer.factor for answer in seat.answers] == [1.0, 2.0]
    assert len(policy.runs) == 1
    await driver.close(client)


async def test_a_served_policy_that_comes_back_too_late_has_nothing_to_do(seat, driver, restart):
    seat.ends = False
    address = await restart()
    client = driver.kind(address)
    service = asyncio.create_task(driver.serve(client, Counting(), reconnect=True))
    while not seat.answers:
        await asyncio.sleep(0.01)
    seat.service.view = msgspec.structs.replace(seat.service.view, phase=Phase.FAILED)

    await restart(address)
    await asyncio.wait_for(service, 10)

    assert len(seat.hellos) == 1
    await driver.close(client)


def test_a_probe_is_refused_over_the_network_and_the_mend_is_named():
    with pytest.raises(InvalidRequest, match="attach the policy by its name"):
        answering(observation(1), Action(probe=Probe(factors=(0.5,), steps=3)))
