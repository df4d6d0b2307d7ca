"""The service with its real store and socket; its trainers are played, message by message."""

import asyncio
import sqlite3
import struct
from contextlib import closing

import msgspec
import pytest

from rheostat.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidRequest,
    InvalidSpec,
    NotFound,
    RevisionConflict,
    StorageFailed,
)
from rheostat.runs import audit, letters
from rheostat.runs.approving import Terms
from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.runs.frames import encode, to_trainer
from rheostat.runs.messages import (
    Acknowledged,
    Applied,
    ChangeCommand,
    Decided,
    EvaluateCommand,
    Evaluated,
    Failed,
    Finished,
    Hello,
    Kept,
    Observed,
    Offended,
    PauseCommand,
    Paused,
    PolicyAnswer,
    PolicyVanished,
    ProbeCommand,
    Probed,
    Ready,
    Refused,
    Released,
    ResumeCommand,
    Resumed,
    SaveCommand,
    Saved,
    SaveFailed,
    StopCommand,
    Telemetry,
    Welcome,
)
from rheostat.runs.records import (
    Failure,
    FieldViolation,
    GroupDescription,
    Phase,
    Result,
    RunView,
    Snapshot,
    StepRows,
)
from rheostat.runs.restarting import RestartPolicy, TrackRecord
from rheostat.runs.service import RunService
from rheostat.runs.starting import LOG_FILE
from rheostat.runs.store import Store
from rheostat.runs.supervisor import Supervisor
from rheostat.steering.records import (
    Change,
    Components,
    Decision,
    GroupChange,
    GroupState,
    Offence,
    PolicyEdit,
    RemoteTerms,
    ScheduleEdit,
    Verb,
)
from rheostat_policies import Observation

SPEC = "{name: digits, train: {steps: 100}}"
HALVE = Change(verb=Verb.SCALE, value=0.5, request_id="halve")


class PlayedTrainer:
    """What a test lets the trainer of one run say, and what that trainer hears."""

    def __init__(self, run, link_file, token, order=None):
        self.run, self.link_file, self.token, self.order = run, link_file, token, order
        self.exit_code = asyncio.get_running_loop().create_future()
        self._heard = []
        self._decoder = to_trainer()
        self._writer = None

    async def connect(self, **told):
        path = self.link_file.read_text()
        self._reader, self._writer = await asyncio.open_unix_connection(path)
        await self.say(Hello(run=self.run, token=self.token, pid=4711, **told))

    async def begin(self, **told):
        """Connect, and say that the next step is about to run."""
        await self.connect(**told)
        groups = [
            GroupDescription(name=name, tensors=4, parameters=4711, lr_scale=1.0)
            for name in ("default", "head")
        ]
        await self.say(Ready(steps=100, groups=tuple(groups), device="cpu"))

    async def say(self, *messages):
        self._writer.write(b"".join(map(encode, messages)))
        await self._writer.drain()

    async def hear(self, kind, *, passing=False):
        """Return the next thing the daemon says of this kind.

        What it says of its disk is passed over; anything else only if the test says so.
        """
        while True:
            while not self._heard:
                data = await self._reader.read(2**16)
                assert data, "the daemon hung up"
                self._heard += self._decoder.feed(data)
            message = self._heard.pop(0)
            if isinstance(message, kind):
                return message
            assert passing or isinstance(message, Welcome | Acknowledged | Released), message

    async def is_hung_up_on(self):
        return await self._reader.read() == b""

    async def apply(self, command, revision):
        """Answer a change as applied, and return its decision."""
        made = decision(revision, request_id=command.change.request_id)
        await self.say(
            Decided(decisions=(made,)), Applied(command_id=command.command_id, decision=made)
        )
        return made

    async def finish(self, *, stopped=False):
        await self.say(Finished(result=Result(steps=100), stopped=stopped))
        await self.hear(Released, passing=True)
        self.exit(0)

    def exit(self, code):
        if self._writer is not None:
            self._writer.close()
        if not self.exit_code.done():
            self.exit_code.set_result(code)


class PlayedTrainers(Supervisor):
    """Starts no process: the test plays them."""

    def __init__(self, folder):
        super().__init__(folder)
        self._begun = asyncio.Queue()
        self._playing = {}

    async def start(self, run, spec, order, token):
        self.folder_of(run).mkdir(parents=True, exist_ok=True)
        trainer = self._playing[run] = PlayedTrainer(run, self.link_file, token, order)
        self._begun.put_nowait(trainer)
        return 4711

    def is_living(self, run):
        return run in self._playing and not self._playing[run].exit_code.done()

    async def wait(self, run):
        return await self._playing[run].exit_code

    def kill(self, run):
        if run in self._playing:
            self._playing[run].exit(-9)

    async def next(self):
        """Return the trainer that was started next."""
        return await self._begun.get()

    @property
    def none_is_starting(self):
        return self._begun.empty()


@pytest.fixture
def trainers(tmp_path):
    return PlayedTrainers(tmp_path)


@pytest.fixture
async def make_service(tmp_path, trainers):
    """Start a service on the test's state; the one before must have been drained."""
    alive = []

    async def start(max_concurrent_runs=1, continue_queue=True, max_restarts=0, approvals=None):
        store = Store(tmp_path / "rheostat.db")
        service = RunService(
            store,
            trainers,
            max_concurrent_runs=max_concurrent_runs,
            clock=lambda: 1.5e9,
            restarts=RestartPolicy(max_restarts=max_restarts, first_delay=0.0),
            approvals=approvals,
        )
        await service.start(continue_queue=continue_queue)
        alive.append(service)
        return service

    async def drain(service, seconds=0.0):
        alive.remove(service)
        await service.drain(seconds)

    start.drain = drain
    yield start
    for service in alive:
        await service.drain(0.0)


@pytest.fixture
async def service(make_service):
    return await make_service()


@pytest.fixture
async def trainer(service, trainers):
    """The trainer of the run `digits`, which is training."""
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    await until(service, "digits", Phase.RUNNING)
    return trainer


async def until(service, run, phase):
    """Return the view of a run as soon as it is in a phase."""
    async for _ in service.watch_run(run):
        view = await service.get_run(run)
        if view.phase is phase:
            return view
    raise AssertionError(f"{run} ended as {view.phase}")


async def until_over(service, run):
    """Return the last view of a run."""
    async for _ in service.watch_run(run):
        pass
    return await service.get_run(run)


def decision(revision, **fields):
    changes = [
        GroupChange(name=name, old=1e-3, new=5e-4, base=1e-3, operator=0.5)
        for name in ("default", "head")
    ]
    return Decision(
        revision=revision,
        applied_step=10 * revision,
        source="operator",
        groups=tuple(changes),
        verb="scale",
        value=0.5,
        **fields,
    )


def rows(first_step, count):
    steps = range(first_step, first_step + count)
    doubles = struct.pack(f"<{count}d", *map(float, steps))
    return StepRows(
        first_step=first_step,
        count=count,
        train_loss=doubles,
        learning_rate={"default": doubles},
        duration=doubles,
    )


def telemetry(step, rows=None, revision=0):
    return Telemetry(snapshot=Snapshot(step=step, revision=revision, groups=()), rows=rows)


async def everything(stream):
    return [one async for one in stream]


# --- from queue to end -------------------------------------------------------------------------


async def test_a_run_goes_from_the_queue_through_its_trainer_to_its_result(service, trainers):
    created = await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    starting = await service.get_run("digits")
    await trainer.begin()
    running = await until(service, "digits", Phase.RUNNING)
    await trainer.finish()
    ended = await until(service, "digits", Phase.SUCCEEDED)

    assert (created.phase, starting.phase) == (Phase.QUEUED, Phase.STARTING)
    assert (running.steps, running.device, running.pid) == (100, "cpu", 4711)
    assert (ended.result.steps, ended.pid, ended.principal) == (100, None, "alice")


async def test_an_invalid_spec_is_refused_before_there_is_a_run(service):
    with pytest.raises(InvalidSpec, match=r"train\.steps"):
        await service.create_run("{train: {steps: 0}}", principal="alice")

    assert await service.list_runs() == []


async def test_a_request_id_that_created_one_run_does_not_create_another(service):
    await service.create_run(SPEC, principal="alice", request_id="mine")
    other = "{name: digits, train: {steps: 101}}"

    with pytest.raises(FailedPrecondition, match="was used to create run digits from another"):
        await service.create_run(other, principal="alice", request_id="mine")


async def test_the_same_request_id_creates_one_run(service):
    first = await service.create_run(SPEC, principal="alice", request_id="mine")
    again = await service.create_run(SPEC, principal="alice", request_id="mine")

    assert first.name == again.name
    assert [view.name for view in await service.list_runs()] == ["digits"]


async def test_runs_wait_for_the_one_before_to_leave(service, trainers):
    for _ in range(2):
        await service.create_run(SPEC, principal="alice")
    first = await trainers.next()
    await first.begin()

    assert trainers.none_is_starting
    assert (await service.get_run("digits-2")).phase is Phase.QUEUED
    await first.finish()
    assert (await trainers.next()).run == "digits-2"


async def test_as_many_runs_train_at_once_as_the_daemon_allows(make_service, trainers):
    service = await make_service(max_concurrent_runs=2)
    for _ in range(3):
        await service.create_run(SPEC, principal="alice")

    assert [(await trainers.next()).run for _ in range(2)] == ["digits", "digits-2"]
    assert trainers.none_is_starting


async def test_a_run_stopped_in_the_queue_never_gets_a_trainer(service, trainer, trainers):
    for _ in range(2):
        await service.create_run(SPEC, principal="alice")

    stopped = await service.stop_run("digits-2", principal="alice")
    await trainer.finish()

    assert stopped.phase is Phase.STOPPED
    assert (await trainers.next()).run == "digits-3"


async def test_a_trainer_that_dies_without_a_word_leaves_the_end_of_its_output(
    service, trainer, trainers
):
    (trainers.folder_of("digits") / LOG_FILE).write_text("loading\nSegmentation fault\n")
    trainer.exit(-11)

    view = await until(service, "digits", Phase.FAILED)

    assert "killed by SIGSEGV" in view.failure.message
    assert view.failure.traceback == "loading\nSegmentation fault"


async def test_a_trainer_says_itself_why_it_failed(service, trainer):
    why = Failure(
        message="the spec cannot be run",
        violations=(FieldViolation(field="data.root", value="/x", expected="a folder"),),
    )
    await trainer.say(Failed(failure=why))
    trainer.exit(1)

    assert (await until(service, "digits", Phase.FAILED)).failure == why


async def test_a_stranger_on_the_socket_is_hung_up_on_and_the_run_trains_on(service, trainer):
    stranger = PlayedTrainer("digits", trainer.link_file, "a guess")

    await stranger.connect()
    await stranger.say(Finished(result=Result(steps=0), stopped=True))

    assert await stranger.is_hung_up_on()
    stranger.exit(0)
    assert (await service.get_run("digits")).phase is Phase.RUNNING


# --- pausing, stopping, deleting ---------------------------------------------------------------


async def test_pausing_returns_once_the_trainer_stands_still(service, trainer):
    pausing = asyncio.create_task(service.pause_run("digits", principal="alice"))
    await trainer.hear(PauseCommand)
    assert not pausing.done()
    await trainer.say(Paused(step=7))

    assert (await pausing).phase is Phase.PAUSED

    resuming = asyncio.create_task(service.resume_run("digits", principal="alice"))
    await trainer.hear(ResumeCommand)
    await trainer.say(Resumed(step=7))
    assert (await resuming).phase is Phase.RUNNING


async def test_a_run_that_starts_can_be_paused_before_its_first_step(service, trainers):
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await until(service, "digits", Phase.STARTING)

    pausing = asyncio.create_task(service.pause_run("digits", principal="alice"))
    await trainer.begin()
    await trainer.hear(PauseCommand)
    await trainer.say(Paused(step=0))

    assert (await pausing).phase is Phase.PAUSED


async def test_a_pause_that_is_on_its_way_is_taken_back_by_resuming(service, trainer):
    pausing = asyncio.create_task(service.pause_run("digits", principal="alice"))
    await trainer.hear(PauseCommand)

    assert (await service.resume_run("digits", principal="alice")).phase is Phase.RUNNING

    await trainer.hear(ResumeCommand)
    await trainer.say(Paused(step=7), Resumed(step=7))
    await pausing
    assert (await until(service, "digits", Phase.RUNNING)).is_paused is False


async def test_stopping_returns_at_once_and_the_trainer_ends_the_run(service, trainer):
    stopping = await service.stop_run("digits", principal="alice")
    await trainer.hear(StopCommand)
    await trainer.finish(stopped=True)

    assert stopping.phase is Phase.STOPPING
    assert (await until(service, "digits", Phase.STOPPED)).result.steps == 100


async def test_a_pause_that_comes_after_a_stop_does_not_take_it_back(service, trainer):
    pausing = asyncio.create_task(service.pause_run("digits", principal="alice"))
    await trainer.hear(PauseCommand)
    await service.stop_run("digits", principal="alice")
    await trainer.say(Paused(step=7), telemetry(7))
    await until_seen(service, "digits", 7)

    assert (await service.get_run("digits")).phase is Phase.STOPPING
    await trainer.finish(stopped=True)
    assert (await pausing).phase is Phase.STOPPED


async def until_seen(service, run, step):
    async for event in service.watch_run(run):
        if event.snapshot is not None and event.snapshot.step >= step:
            return


async def test_a_living_run_is_not_deleted(service, trainer):
    with pytest.raises(FailedPrecondition, match="running; stop it before you delete it"):
        await service.delete_run("digits", principal="alice")


async def test_a_deleted_run_has_no_trainer_that_could_still_write(service, trainer, trainers):
    await trainer.say(Finished(result=Result(steps=100), stopped=False))
    await until(service, "digits", Phase.SUCCEEDED)

    deleting = asyncio.create_task(service.delete_run("digits", principal="alice"))
    await asyncio.wait([deleting], timeout=0.1)
    assert not deleting.done()
    trainer.exit(0)
    await deleting

    assert not trainers.folder_of("digits").exists()
    with pytest.raises(NotFound):
        await service.get_run("digits")


async def test_two_operators_may_stop_the_same_queued_run(service, trainer):
    await service.create_run(SPEC, principal="alice")

    await asyncio.gather(
        service.stop_run("digits-2", principal="alice"),
        service.stop_run("digits-2", principal="bob"),
    )

    assert (await service.get_run("digits-2")).phase is Phase.STOPPED


# --- changing the LR ---------------------------------------------------------------------------


async def test_a_change_is_on_the_disk_when_it_is_answered(service, trainer, tmp_path):
    asking = asyncio.create_task(service.change_learning_rate("digits", HALVE))
    command = await trainer.hear(ChangeCommand)
    made = await trainer.apply(command, revision=1)

    assert (await asking).decision == made
    other_reader = Store(tmp_path / "rheostat.db")
    assert [record.decision for record in other_reader.list_decisions("digits")] == [made]
    other_reader.close()


async def test_a_change_asked_for_while_the_trainer_starts_reaches_it_when_it_is_there(
    service, trainers
):
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    asking = asyncio.create_task(service.change_learning_rate("digits", HALVE))
    await asyncio.sleep(0)

    await trainer.begin()
    await trainer.apply(await trainer.hear(ChangeCommand), revision=1)

    assert (await asking).decision.revision == 1


async def test_the_same_request_while_the_first_is_on_its_way_joins_it(service, trainer):
    asking = [asyncio.create_task(service.change_learning_rate("digits", HALVE)) for _ in range(3)]
    await trainer.apply(await trainer.hear(ChangeCommand), revision=1)

    assert len({(await one).decision.revision for one in asking}) == 1
    stopping = service.stop_run("digits", principal="alice")
    assert (await stopping).phase is Phase.STOPPING
    await trainer.hear(StopCommand)


async def test_whoever_gave_up_waiting_asks_again_and_gets_the_answer(service, trainer):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(service.change_learning_rate("digits", HALVE), 0.05)
    made = await trainer.apply(await trainer.hear(ChangeCommand), revision=1)

    assert (await service.change_learning_rate("digits", HALVE)).decision == made


async def test_whoever_does_not_wait_is_answered_at_once(service, trainer):
    result = await service.change_learning_rate(
        "digits", Change(verb=Verb.SCALE, value=0.5), wait=False
    )

    assert result.decision is None
    command = await trainer.hear(ChangeCommand)
    assert command.change.request_id == result.request_id != ""


@pytest.mark.parametrize(
    "other", [{"value": 0.25}, {"verb": Verb.SET}, {"groups": ("default",)}, {"at_step": 50}]
)
async def test_a_request_id_on_its_way_is_not_for_another_wish(service, trainer, other):
    await service.change_learning_rate("digits", HALVE, wait=False)
    fields = {"verb": Verb.SCALE, "value": 0.5, "request_id": "halve"} | other

    with pytest.raises(FailedPrecondition, match="used for a different change"):
        await service.change_learning_rate("digits", Change(**fields))


@pytest.mark.parametrize("other", [{"value": 0.25}, {"verb": Verb.SET}, {"groups": ("head",)}])
async def test_a_request_id_that_was_applied_is_not_for_another_wish(service, trainer, other):
    asking = asyncio.create_task(service.change_learning_rate("digits", HALVE))
    await trainer.apply(await trainer.hear(ChangeCommand), revision=1)
    await asking
    fields = {"verb": Verb.SCALE, "value": 0.5, "request_id": "halve"} | other

    with pytest.raises(FailedPrecondition, match="used for a different change"):
        await service.change_learning_rate("digits", Change(**fields))


async def test_what_can_never_be_satisfied_does_not_reach_the_trainer(service, trainer):
    nonsense = Change(verb=Verb.SCALE, value=-1.0, groups=("nobody",))

    with pytest.raises(InvalidRequest) as refused:
        await service.change_learning_rate("digits", nonsense)

    assert [one.field for one in refused.value.violations] == ["value", "groups[0]"]
    await service.stop_run("digits", principal="alice")
    await trainer.hear(StopCommand)


async def test_what_the_trainer_refuses_is_raised_as_it_was_meant(service, trainer):
    asking = asyncio.create_task(service.change_learning_rate("digits", HALVE))
    command = await trainer.hear(ChangeCommand)
    await trainer.say(
        Refused(command_id=command.command_id, kind="RevisionConflict", message="look again")
    )

    with pytest.raises(RevisionConflict, match="look again"):
        await asking


async def test_a_change_that_the_run_did_not_live_to_see_is_refused(service, trainer):
    later = Change(verb=Verb.SCALE, value=0.5, at_step=99)
    asking = asyncio.create_task(service.change_learning_rate("digits", later))
    await trainer.hear(ChangeCommand)
    await trainer.say(telemetry(100))
    await trainer.finish()

    with pytest.raises(FailedPrecondition, match="after 100 steps, before that"):
        await asking


# --- what is told ------------------------------------------------------------------------------


async def test_a_slow_watcher_misses_snapshots_but_no_decision_and_sees_the_end(service, trainer):
    watching = service.watch_run("digits", after_revision=0)
    first = await anext(watching)
    for revision in range(1, 251):
        await trainer.say(Decided(decisions=(decision(revision),)), telemetry(revision))
    await trainer.finish()
    await until(service, "digits", Phase.SUCCEEDED)

    events = [first, *await everything(watching)]

    assert [e.decision.revision for e in events if e.decision] == list(range(1, 251))
    assert [e.snapshot.step for e in events if e.snapshot] == [250]
    assert [e.view.phase for e in events if e.view] == [Phase.RUNNING, Phase.SUCCEEDED]
    assert events[-1].view is not None


async def test_a_watcher_from_now_on_hears_no_old_decision(service, trainer):
    await trainer.say(Decided(decisions=(decision(1),)), telemetry(1))
    await until_seen(service, "digits", 1)
    watching = service.watch_run("digits")
    await anext(watching)
    await trainer.say(Decided(decisions=(decision(2),)))
    await trainer.finish()

    told = [e.decision.revision async for e in watching if e.decision]

    assert told == [2]


async def test_an_export_holds_every_step_that_was_reported(service, trainer):
    await trainer.say(telemetry(3, rows(0, 3)), telemetry(5, rows(3, 2)))
    await until_seen(service, "digits", 5)
    early = await everything(service.export_run("digits"))
    await trainer.say(telemetry(9, rows(5, 4)))
    await trainer.finish()
    await until(service, "digits", Phase.SUCCEEDED)
    late = await everything(service.export_run("digits"))

    assert b"".join(batch.train_loss for batch in early) == rows(0, 5).train_loss
    assert b"".join(batch.train_loss for batch in late) == rows(0, 9).train_loss


async def test_a_history_is_told_page_by_page_and_its_chain_holds(service, trainer):
    await trainer.say(Decided(decisions=tuple(decision(one) for one in range(1, 8))), telemetry(1))
    await until_seen(service, "digits", 1)

    pages = [
        await service.list_decisions("digits", after_revision=after, limit=3) for after in (0, 3, 6)
    ]

    assert [len(page) for page in pages] == [3, 3, 1]
    audit.verify([record for page in pages for record in page])


async def test_an_explanation_names_the_decisions_still_in_force(service, trainer):
    snapshot = Snapshot(step=9, revision=3, groups=(), in_force=(1, 3))
    await trainer.say(
        Decided(decisions=(decision(1), decision(2), decision(3))), Telemetry(snapshot=snapshot)
    )
    await until_seen(service, "digits", 9)

    explanation = await service.explain("digits")

    assert (explanation.step, explanation.revision) == (9, 3)
    assert [one.revision for one in explanation.decisions] == [1, 3]


async def test_a_run_that_has_not_taken_a_step_has_nothing_to_explain(service):
    await service.create_run(SPEC, principal="alice")

    with pytest.raises(FailedPrecondition, match="has no LR yet"):
        await service.explain("digits")


async def test_what_nobody_created_is_not_found(service):
    for ask in (service.get_run, service.explain, service.list_decisions):
        with pytest.raises(NotFound, match="no run is named 'nobody'"):
            await ask("nobody")
    for stream in (service.watch_run("nobody"), service.export_run("nobody")):
        with pytest.raises(NotFound):
            await everything(stream)


# --- from daemon to daemon ---------------------------------------------------------------------


async def test_a_drain_asks_first_and_kills_who_does_not_listen_and_the_run_goes_on(
    make_service, trainers
):
    service = await make_service()
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    await until(service, "digits", Phase.RUNNING)
    draining = asyncio.create_task(make_service.drain(service, seconds=0.1))

    await trainer.hear(StopCommand)
    await draining
    service = await make_service(continue_queue=False)

    view = await service.get_run("digits")
    assert view.phase is Phase.QUEUED
    assert view.events[-1].kind == "suspended"
    assert trainers.none_is_starting, "this daemon does not live long enough"
    await service.resume_run("digits", principal="alice")
    assert (await trainers.next()).order.attempt == 2


async def test_the_queue_outlives_the_daemon_and_what_was_put_by_comes_first(
    make_service, trainers
):
    service = await make_service()
    for _ in range(2):
        await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    await until(service, "digits", Phase.RUNNING)
    watching = asyncio.create_task(everything(service.watch_run("digits")))
    draining = asyncio.create_task(make_service.drain(service, seconds=5.0))
    await trainer.hear(StopCommand)
    await trainer.finish(stopped=True)
    await draining
    told = await watching

    await make_service()

    assert told[-1].view.phase is Phase.QUEUED, "watchers are let go"
    assert (await trainers.next()).run == "digits"


async def test_a_run_that_was_being_stopped_is_stopped_though_its_daemon_and_trainer_died(
    make_service, trainers, tmp_path
):
    store = Store(tmp_path / "rheostat.db")
    store.create_run(RunView(name="digits", phase=Phase.STOPPING, spec="{}", pid=4711), "")
    store.close()

    service = await make_service(max_restarts=3)

    assert (await until(service, "digits", Phase.STOPPED)).pid is None
    assert trainers.none_is_starting


async def test_a_daemon_that_ends_with_its_command_leaves_the_queue_to_the_next(
    make_service, trainers
):
    service = await make_service(max_concurrent_runs=0)
    for _ in range(2):
        await service.create_run(SPEC, principal="alice")
    await make_service.drain(service)

    service = await make_service(continue_queue=False)
    stopped = await service.stop_run("digits-2", principal="alice")
    own = await service.create_run("{name: own, train: {steps: 1}}", principal="alice")

    assert (await trainers.next()).run == own.name
    assert (await service.get_run("digits")).phase is Phase.QUEUED
    assert stopped.phase is Phase.STOPPED


async def test_a_run_whose_daemon_and_trainer_died_gets_another_trainer(
    make_service, trainers, tmp_path
):
    store = Store(tmp_path / "rheostat.db")
    store.create_run(RunView(name="digits", phase=Phase.RUNNING, spec="{}", pid=4711), "")
    store.append_decisions("digits", [decision(1), decision(2)])
    store.append_rows("digits", rows(0, 30))
    store.close()

    service = await make_service(max_restarts=3)
    order = (await trainers.next()).order

    assert [one.revision for one in order.decisions] == [1, 2], "they are made again"
    assert (order.checkpoint, order.steps_done) == (None, 30)
    view = await service.get_run("digits")
    assert view.restarts == {"lost": 1}


async def test_a_death_counts_once_however_many_daemons_die_before_the_next_trainer(
    make_service, trainers, tmp_path
):
    store = Store(tmp_path / "rheostat.db")
    store.create_run(RunView(name="digits", phase=Phase.STARTING, spec="{}", attempt=1), "")
    store.save_trainer("digits", "secret", TrackRecord(fruitless=3))
    store.close()

    service = await make_service(max_restarts=3)

    assert (await trainers.next()).order.attempt == 2
    assert not (await service.get_run("digits")).restarts


async def test_a_letter_that_cannot_be_taken_is_not_read_again_after_the_next_trainer(
    make_service, trainers, tmp_path
):
    store = Store(tmp_path / "rheostat.db")
    store.create_run(RunView(name="digits", phase=Phase.RUNNING, spec="{}", pid=4711), "")
    store.close()
    folder = trainers.folder_of("digits")
    folder.mkdir(parents=True)
    finished = Finished(result=Result(steps=100), stopped=False)
    letters.leave(folder, [Decided(decisions=(decision(7),)), finished])

    service = await make_service()
    assert (await until_over(service, "digits")).failure.kind == "BrokenChain"
    await service.resume_run("digits", principal="alice")
    trainer = await trainers.next()

    assert letters.read(folder) == []
    trainer.exit(-9)
    assert (await until_over(service, "digits")).failure.kind == "", "it died of its own death"


async def test_a_change_that_waits_for_its_step_outlives_a_drain_and_its_asker_knows(
    make_service, trainers
):
    service = await make_service()
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    await until(service, "digits", Phase.RUNNING)
    later = msgspec.structs.replace(HALVE, at_step=90)
    asking = asyncio.create_task(service.change_learning_rate("digits", later))
    await trainer.hear(ChangeCommand)
    draining = asyncio.create_task(make_service.drain(service, seconds=5.0))
    await trainer.hear(StopCommand)
    await trainer.finish(stopped=True)
    await draining

    with pytest.raises(DeadlineExceeded, match="waits for its step"):
        await asking
    await make_service()
    trainer = await trainers.next()
    await trainer.begin()
    assert (await trainer.hear(ChangeCommand)).change.request_id == "halve"


async def test_a_change_is_not_refused_that_the_dead_trainer_of_a_run_put_by_may_have_made(
    make_service, trainers
):
    service = await make_service(max_restarts=3)
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    await until(service, "digits", Phase.RUNNING)
    asking = asyncio.create_task(service.change_learning_rate("digits", HALVE))
    await trainer.hear(ChangeCommand)
    trainer.exit(-9)  # what it has decided is in its newest checkpoint, and nowhere else
    await until(service, "digits", Phase.STARTING)
    await make_service.drain(service)

    with pytest.raises(DeadlineExceeded, match="the same request_id asks"):
        await asking


async def test_a_change_that_was_refused_as_the_run_stopped_does_not_come_back_with_it(
    service, trainer, trainers
):
    later = msgspec.structs.replace(HALVE, at_step=90)
    asking = asyncio.create_task(service.change_learning_rate("digits", later))
    await trainer.hear(ChangeCommand)
    await service.stop_run("digits", principal="alice")
    await trainer.hear(StopCommand)
    await trainer.finish(stopped=True)
    with pytest.raises(FailedPrecondition, match="stopped after 0 steps"):
        await asking

    await service.resume_run("digits", principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    await until(service, "digits", Phase.RUNNING)
    await service.stop_run("digits", principal="alice")

    await trainer.hear(StopCommand)  # and no change before it


async def test_a_change_that_was_let_in_is_not_refused_when_its_asker_asks_again(service, trainer):
    later = msgspec.structs.replace(HALVE, at_step=90, expected_revision=0)
    await service.change_learning_rate("digits", later, wait=False)
    command = await trainer.hear(ChangeCommand)
    shorter = msgspec.structs.replace(
        decision(1), verb="horizon", value=None, edit=ScheduleEdit(steps=80)
    )
    await trainer.say(Kept(command_id=command.command_id), Decided(decisions=(shorter,)))
    while (await service.get_run("digits")).steps != 80:
        await asyncio.sleep(0.01)

    asking = asyncio.create_task(service.change_learning_rate("digits", later))
    await asyncio.sleep(0)
    made = await trainer.apply(command, revision=2)

    assert (await asking).decision == made


async def test_a_change_that_was_approved_is_not_held_again_when_its_asker_asks_again(
    make_service, trainers
):
    service = await make_service(approvals=lambda run: Terms())
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    await until(service, "digits", Phase.RUNNING)
    later = msgspec.structs.replace(HALVE, at_step=90, principal="alice")
    asking = asyncio.create_task(service.change_learning_rate("digits", later))
    tried = await trainer.hear(ChangeCommand)
    await trainer.say(Applied(command_id=tried.command_id, decision=decision(1)))
    while not await service.list_held_changes("digits"):
        await asyncio.sleep(0)
    approving = asyncio.create_task(service.approve_change("digits", "halve", principal="bob"))
    command = await trainer.hear(ChangeCommand)

    again = asyncio.create_task(service.change_learning_rate("digits", later))
    await asyncio.sleep(0.1)
    made = await trainer.apply(command, revision=1)

    answers = await asyncio.gather(asking, approving, again)
    assert [one.decision for one in answers] == [made] * 3
    assert await service.list_held_changes("digits") == []


async def test_a_step_beyond_the_runs_end_is_refused(service, trainer):
    never = Change(verb=Verb.SCALE, value=0.5, at_step=10**6)

    with pytest.raises(InvalidRequest, match="at_step = 1000000: a step of the run"):
        await service.change_learning_rate("digits", never)


# --- policies elsewhere ------------------------------------------------------------------------

FAR = Change(verb=Verb.ATTACH, policy=PolicyEdit(policy="far", remote=RemoteTerms()))


async def attach(trainer):
    """Answer an attachment as the trainer does, and return what it was told."""
    command = await trainer.hear(ChangeCommand)
    made = msgspec.structs.replace(
        decision(1, request_id=command.change.request_id),
        verb="attach",
        value=None,
        policy=command.change.policy,
    )
    await trainer.say(
        Decided(decisions=(made,)), Applied(command_id=command.command_id, decision=made)
    )
    return command.change


async def test_whoever_connects_is_a_policy_until_it_leaves(service, trainer):
    answering = asyncio.create_task(attach(trainer))
    async with service.connect_policy("digits", FAR) as session:
        attached = await answering
        await trainer.say(
            Observed(policy="far", observation=Observation(step=3, steps=100, train_loss=1.0)),
            Observed(policy="near", observation=Observation(step=3, steps=100, train_loss=1.0)),
        )
        seen = await anext(session.observations())
        session.answer(3, {"default": 0.5}, 20, "so")
        answered = await trainer.hear(PolicyAnswer)

    gone = await trainer.hear(PolicyVanished)
    assert attached.policy == FAR.policy
    assert seen == Observation(step=3, steps=100, train_loss=1.0)
    assert answered == PolicyAnswer(
        policy="far", step=3, factor={"default": 0.5}, ramp_steps=20, reason="so"
    )
    assert gone == PolicyVanished(policy="far")


async def test_a_name_is_for_one_connection_at_a_time(service, trainer):
    answering = asyncio.create_task(attach(trainer))
    async with service.connect_policy("digits", FAR):
        await answering
        with pytest.raises(FailedPrecondition, match="far is connected to run digits already"):
            async with service.connect_policy("digits", FAR):
                pass

    assert await trainer.hear(PolicyVanished) == PolicyVanished(policy="far")


async def test_a_policy_that_the_trainer_refuses_is_not_connected(service, trainer):
    connecting = asyncio.create_task(service.connect_policy("digits", FAR).__aenter__())
    command = await trainer.hear(ChangeCommand)
    text = "a policy far is attached already; detach it first, or choose another"
    await trainer.say(
        Refused(command_id=command.command_id, kind="FailedPrecondition", message=text)
    )

    with pytest.raises(FailedPrecondition, match=text):
        await connecting
    assert await trainer.hear(PolicyVanished) == PolicyVanished(policy="far")


async def test_whoever_gives_up_connecting_has_vanished_right_after_it_is_attached(
    service, trainer
):
    connecting = asyncio.create_task(service.connect_policy("digits", FAR).__aenter__())
    await trainer.hear(ChangeCommand)

    connecting.cancel()
    await asyncio.wait([connecting])

    assert await trainer.hear(PolicyVanished) == PolicyVanished(policy="far")


async def test_the_end_of_the_run_ends_the_connection(service, trainer):
    answering = asyncio.create_task(attach(trainer))
    async with service.connect_policy("digits", FAR) as session:
        await answering
        await trainer.finish()

        assert await everything(session.observations()) == []


# --- edits and explanations --------------------------------------------------------------------


async def test_a_horizon_is_the_number_of_steps_that_the_run_is_said_to_have(service, trainer):
    wish = Change(verb=Verb.HORIZON, edit=ScheduleEdit(steps=250))
    changing = asyncio.create_task(service.change_learning_rate("digits", wish))
    command = await trainer.hear(ChangeCommand)
    made = msgspec.structs.replace(
        decision(1, request_id=command.change.request_id),
        verb="horizon",
        value=None,
        edit=wish.edit,
    )
    await trainer.say(
        Decided(decisions=(made,)), Applied(command_id=command.command_id, decision=made)
    )
    await changing

    assert (await service.get_run("digits")).steps == 250
    with pytest.raises(InvalidRequest, match="at_step = 250: a step of the run, which has 250"):
        await service.change_learning_rate(
            "digits", Change(verb=Verb.SCALE, value=0.5, at_step=250)
        )


async def test_an_offence_is_forgotten_with_the_steps_that_are_taken_anew(make_service, trainers):
    service = await make_service(max_restarts=1)
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    offences = [Offence(policy="slow", step=step, outcome="slow") for step in (3, 8, 9, 12)]
    made = decision(1)  # at step 10, after the observation of step 9
    await trainer.say(Offended(offences=tuple(offences)), Decided(decisions=(made,)))
    await trainer.hear(Acknowledged)

    trainer.exit(-9)
    successor = await trainers.next()

    assert [one.step for one in successor.order.offences] == [3, 8, 9]


async def test_a_horizon_outlives_trainers_and_daemons(make_service, trainers, tmp_path):
    service = await make_service(max_restarts=1)
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    await until(service, "digits", Phase.RUNNING)
    wish = Change(verb=Verb.HORIZON, edit=ScheduleEdit(steps=250))
    await service.change_learning_rate("digits", wish, wait=False)
    command = await trainer.hear(ChangeCommand)
    made = decision(1, request_id=command.change.request_id)
    made = msgspec.structs.replace(made, verb="horizon", value=None, edit=wish.edit)
    await trainer.say(Decided(decisions=(made,)))
    await trainer.hear(Acknowledged)

    trainer.exit(-9)
    successor = await trainers.next()
    await successor.begin()  # it has not come to that step again, and says what it knows
    await until(service, "digits", Phase.RUNNING)

    assert (await service.get_run("digits")).steps == 250
    await make_service.drain(service)
    with closing(sqlite3.connect(tmp_path / "rheostat.db", isolation_level=None)) as database:
        database.execute("UPDATE runs SET steps = 100")  # as if it was killed too soon for that
    assert (await (await make_service()).get_run("digits")).steps == 250


async def test_a_finished_step_is_explained_though_its_rows_are_not_saved_yet(service, trainer):
    group = GroupState(name="default", learning_rate=9.0, base=9.0, factors={}, operator=0.5)
    told = Components(revision=1, in_force=(1,), groups=(group,))
    batch = msgspec.structs.replace(
        rows(0, 4),
        base={"default": struct.pack("<4d", 0.0, 2.0, 4.0, 6.0)},
        components={
            0: msgspec.json.encode(msgspec.structs.replace(told, in_force=())).decode(),
            2: msgspec.json.encode(told).decode(),
        },
    )
    await trainer.say(Decided(decisions=(decision(1),)), telemetry(4, batch, revision=1))
    async for event in service.watch_run("digits"):
        if event.snapshot is not None and event.snapshot.step == 4:
            break

    before, after = [await service.explain("digits", step) for step in (1, 3)]

    assert (before.step, before.decisions) == (1, ())
    assert [one.revision for one in after.decisions] == [1]
    assert [(one.learning_rate, one.base) for one in after.groups] == [(3.0, 6.0)]


@pytest.mark.parametrize("step", [-1, 4, 10**9])
async def test_a_step_that_is_not_finished_is_not_explained(service, trainer, step):
    await trainer.say(telemetry(4, rows(0, 4)))
    async for event in service.watch_run("digits"):
        if event.snapshot is not None and event.snapshot.step == 4:
            break

    with pytest.raises(InvalidRequest, match=f"step = {step}: a finished step of the run"):
        await service.explain("digits", step)


async def test_a_probe_is_answered_by_the_trainer_and_it_is_told_who_asked(service, trainer):
    asked = asyncio.create_task(
        service.probe_learning_rates(
            "digits", [1e-3, 1e-2, 1e-1, 10.0], steps=2, groups=["head"], principal="bob"
        )
    )
    command = await trainer.hear(ProbeCommand)
    assert (command.steps, command.groups) == (2, ("head",))
    await trainer.say(
        Probed(
            command_id=command.command_id,
            step=40,
            losses=((2.0, 1.9), (2.0, 1.0), (2.0, 1.5), (2.0, float("nan"))),
            used=tuple({"head": lr} for lr in command.learning_rates),
            guardrails=((), (), (), ()),
            seconds=1.25,
        )
    )

    found = await asked
    assert [trial.end_loss for trial in found.trials] == [1.9, 1.0, 1.5, None]
    assert (found.step, found.groups, found.lowest, found.steepest) == (40, ("head",), 1e-2, 1e-2)
    [event] = (await service.get_run("digits")).events
    assert event.kind == "probed"
    assert event.message == (
        "bob tried 4 LRs, 0.001 to 10, for 2 steps each at step 40, in 1.2 s; "
        "the loss was lowest with 0.01"
    )


async def test_a_run_that_does_not_train_is_not_probed(service, trainer):
    with pytest.raises(NotFound):
        await service.probe_learning_rates("nobody", [0.1], steps=2, principal="bob")
    await trainer.say(Paused(step=5))
    await until(service, "digits", Phase.PAUSED)
    with pytest.raises(FailedPrecondition, match="cannot be probed"):
        await service.probe_learning_rates("digits", [0.1], steps=2, principal="bob")


async def test_a_probe_that_cannot_be_is_refused_with_every_mistake(service, trainer):
    with pytest.raises(InvalidRequest) as refused:
        await service.probe_learning_rates(
            "digits", [0.1, -1.0, float("inf")], steps=3334, groups=["tail"], principal="bob"
        )
    assert [(one.field, one.value) for one in refused.value.violations] == [
        ("learning_rates[1]", "-1"),
        ("learning_rates[2]", "inf"),
        ("steps", "3334"),
        ("groups[0]", "tail"),
    ]


# --- trainers that die, and daemons that follow each other -------------------------------------


async def test_the_run_with_the_highest_priority_starts_first_and_of_equals_the_oldest(
    service, trainer, trainers
):
    for name, priority in (("low", -1), ("first", 0), ("second", 0), ("high", 5)):
        await service.create_run(
            f"{{name: {name}, train: {{steps: 1}}}}", principal="alice", priority=priority
        )
    started = []
    await trainer.finish()
    for _ in range(4):
        next_trainer = await trainers.next()
        started.append(next_trainer.run)
        await next_trainer.begin()
        await next_trainer.finish()

    assert started == ["high", "first", "second", "low"]


async def test_a_trainer_that_dies_gets_a_successor_that_is_asked_what_it_was_asked(
    make_service, trainers
):
    service = await make_service(max_restarts=3)
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    await until(service, "digits", Phase.RUNNING)
    later = Change(verb=Verb.SCALE, value=0.25, at_step=70, request_id="later")
    soon = asyncio.create_task(service.change_learning_rate("digits", HALVE))
    waiting = asyncio.create_task(service.change_learning_rate("digits", later))
    for _ in range(2):
        await trainer.hear(ChangeCommand)
    await trainer.say(telemetry(50, rows(0, 50)))
    await until_seen(service, "digits", 50)
    trainer.exit(-9)

    successor = await trainers.next()
    await successor.begin()
    first, second = [await successor.hear(ChangeCommand) for _ in range(2)]
    for revision, command in enumerate((first, second), start=1):
        await successor.apply(command, revision)

    assert (successor.order.attempt, successor.order.steps_done) == (2, 50)
    assert [one.change.request_id for one in (first, second)] == ["halve", "later"]
    assert [(await one).decision.revision for one in (soon, waiting)] == [1, 2]
    assert (await service.get_run("digits")).restarts == {"killed": 1}


async def test_what_was_decided_before_the_trainer_died_is_answered_and_not_asked_again(
    make_service, trainers
):
    service = await make_service(max_restarts=3)
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    await until(service, "digits", Phase.RUNNING)
    asked = asyncio.create_task(service.change_learning_rate("digits", HALVE))
    command = await trainer.hear(ChangeCommand)
    made = decision(1, request_id=command.change.request_id)
    await trainer.say(Decided(decisions=(made,)), telemetry(50, rows(0, 50)))
    await until_seen(service, "digits", 50)
    trainer.exit(-9)  # before it said Applied

    successor = await trainers.next()
    await successor.begin()

    assert (await asked).decision == made
    assert successor.order.decisions == (made,)


async def test_a_change_that_waits_for_its_step_outlives_the_daemon(make_service, trainers):
    service = await make_service()
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    await until(service, "digits", Phase.RUNNING)
    later = Change(verb=Verb.SCALE, value=0.25, at_step=70, request_id="later")
    await service.change_learning_rate("digits", later, wait=False)
    draining = asyncio.create_task(make_service.drain(service, seconds=5.0))
    await trainer.hear(ChangeCommand)
    await trainer.hear(StopCommand)
    await trainer.finish(stopped=True)
    await draining

    service = await make_service()
    successor = await trainers.next()
    await successor.begin()
    command = await successor.hear(ChangeCommand)
    asked_again = asyncio.create_task(service.change_learning_rate("digits", later))
    await successor.apply(command, 1)

    assert command.change.request_id == "later"
    assert (await asked_again).decision.revision == 1


async def test_a_trainer_that_calls_again_is_told_what_is_durable_and_may_repeat_itself(
    service, trainer
):
    await trainer.say(Decided(decisions=(decision(1),)), telemetry(20, rows(0, 20)))
    await until_seen(service, "digits", 20)
    await everything(service.export_run("digits"))  # writes the rows down
    trainer._writer.close()
    trainer._decoder = to_trainer()
    trainer._heard.clear()

    await trainer.connect(revision=2, step=40)
    welcome = await trainer.hear(Welcome)
    repeated = Decided(decisions=(decision(1), decision(2)))
    await trainer.say(repeated, telemetry(40, rows(0, 40), revision=2))
    await until_seen(service, "digits", 40)

    assert (welcome.revision, welcome.next_row) == (1, 20)
    history = await service.list_decisions("digits")
    assert [record.decision.revision for record in history] == [1, 2]
    batches = await everything(service.export_run("digits"))
    assert sum(batch.count for batch in batches) == 40


async def test_a_trainer_with_another_history_than_the_one_on_the_disk_is_ended(service, trainer):
    await trainer.say(Decided(decisions=(decision(1),)))
    await trainer.hear(Acknowledged)
    await trainer.say(Decided(decisions=(decision(1, reason="otherwise"),)))

    view = await until(service, "digits", Phase.FAILED)

    assert view.failure.kind == "BrokenChain"
    assert trainer.exit_code.result() == -9


async def test_a_paused_run_is_paused_again_in_its_next_trainer(make_service, trainers):
    service = await make_service(max_restarts=3)
    await service.create_run(SPEC, principal="alice")
    trainer = await trainers.next()
    await trainer.begin()
    await until(service, "digits", Phase.RUNNING)
    pausing = asyncio.create_task(service.pause_run("digits", principal="alice"))
    await trainer.hear(PauseCommand)
    await trainer.say(Paused(step=7))
    await pausing
    trainer.exit(-9)

    successor = await trainers.next()
    await successor.begin()

    await successor.hear(PauseCommand)
    assert (await service.get_run("digits")).is_paused


async def test_a_stopped_run_is_resumed_at_the_end_of_the_queue(service, trainer, trainers):
    await service.stop_run("digits", principal="alice")
    await trainer.hear(StopCommand)
    await trainer.finish(stopped=True)
    await until(service, "digits", Phase.STOPPED)

    await service.resume_run("digits", principal="alice")
    successor = await trainers.next()
    view = await service.get_run("digits")

    assert (successor.run, successor.order.attempt) == ("digits", 2)
    assert (view.result, view.finished_at) == (None, None)


async def test_a_run_that_has_succeeded_has_nothing_to_resume(service, trainer):
    await trainer.finish()
    await until(service, "digits", Phase.SUCCEEDED)

    with pytest.raises(FailedPrecondition, match="it has ended, so it cannot be resumed"):
        await service.resume_run("digits", principal="alice")


async def test_checkpoints_and_evaluations_are_answered_when_the_trainer_has_them(
    service, trainer, trainers
):
    saving = asyncio.create_task(service.save_checkpoint("digits", principal="alice", pin=True))
    save = await trainer.hear(SaveCommand)
    evaluating = asyncio.create_task(service.evaluate_run("digits", principal="alice"))
    evaluate = await trainer.hear(EvaluateCommand)
    info = CheckpointInfo(
        step=9, revision=0, created_at=1.5e9, reason="asked", pinned=True, bytes=1, path="/x"
    )
    await trainer.say(
        Saved(info=info, seconds=0.5, stalled=0.01, command_id=save.command_id),
        Evaluated(command_id=evaluate.command_id, step=9, validation_loss=0.25),
    )

    assert save.pin
    assert await saving == info
    assert (await evaluating).validation_loss == 0.25
    assert service.checkpoints["digits"] == {"saved": 1}
    assert service.newest_checkpoints["digits"] == info


async def test_a_checkpoint_that_the_disk_did_not_take_is_an_error_and_an_event(service, trainer):
    saving = asyncio.create_task(service.save_checkpoint("digits", principal="alice"))
    save = await trainer.hear(SaveCommand)
    await trainer.say(
        SaveFailed(message="No space left on device", step=9, command_id=save.command_id)
    )

    with pytest.raises(StorageFailed, match="no checkpoint of step 9: No space left"):
        await saving
    [event] = (await service.get_run("digits")).events
    assert event.kind == "checkpoint_failed"
