"""The loop at its step boundaries: the test is the daemon, and says when the next step may run."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rheostat.runs.frames import encode, to_daemon
from rheostat.runs.messages import (
    Applied,
    ChangeCommand,
    Decided,
    Finished,
    Message,
    PauseCommand,
    Paused,
    Refused,
    ResumeCommand,
    Resumed,
    StopCommand,
    Telemetry,
    Welcome,
)
from rheostat.runs.records import Result
from rheostat.spec.models import Spec
from rheostat.steering.records import Change, Verb
from rheostat.trainer.building import build
from rheostat.trainer.learning import NonFiniteLoss
from rheostat.trainer.link import RECONNECT_SECONDS, Link
from rheostat.trainer.loop import Loop
from rheostat.trainer.ranks import Alone

STEPS = 60
PEAK = 0.1
M = TypeVar("M", bound=Message)


class Daemon:
    """The other end of the link: what the loop has said, and what it is told."""

    def __init__(self, folder: Path) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / "link.sock"))
        self._listening.listen()
        (folder / "link").write_text(str(folder / "link.sock"))
        self.link = Link(folder / "link", "run", "secret")
        self._decoder = to_daemon()
        self._heard: list[Message] = []
        self._tickets = 0
        self.accept()
        self.link.receive(1.0)

    def accept(self, *, revision: int = 0, next_row: int = 0) -> None:
        """Take the trainer's call, and say what is written down."""
        self._connection, _ = self._listening.accept()
        self._connection.setblocking(False)
        self.tell(Welcome(revision=revision, next_row=next_row))

    def tell(self, *messages: Message) -> None:
        self._connection.sendall(b"".join(map(encode, messages)))

    def ask(self, verb: Verb, value: float | None = None, **fields: Any) -> None:
        self._tickets += 1
        change = Change(verb=verb, value=value, **fields)
        self.tell(ChangeCommand(command_id=self._tickets, change=change))

    def heard(self) -> list[Message]:
        """Return everything the loop has said."""
        try:
            while data := self._connection.recv(2**20):
                self._heard += self._decoder.feed(data)
        except BlockingIOError:
            pass
        return self._heard

    def all(self, kind: type[M]) -> list[M]:
        return [one for one in self.heard() if isinstance(one, kind)]

    def column(self, name: str, group: str = "default") -> list[float]:
        """Return one value for every step that was reported."""
        values: list[float] = []
        for message in self.all(Telemetry):
            if message.rows is not None:
                packed = getattr(message.rows, name)
                packed = packed[group] if isinstance(packed, dict) else packed
                values += struct.unpack(f"<{message.rows.count}d", packed)
        return values

    def hang_up(self) -> None:
        self._connection.close()

    def close(self) -> None:
        self._connection.close()
        self.link.close(Finished(result=Result(steps=0), stopped=True))
        self._listening.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.close()


def a_loop(daemon: Daemon, **sections: Any) -> Loop:
    spec = {
        "model": {"name": "mlp", "args": {"hidden": [8]}},
        "optimizer": {"name": "SGD", "lr": PEAK, "args": {"momentum": 0.9}},
        "train": {"steps": STEPS, "device": "cpu"},
    }
    return Loop(build(Spec.model_validate(spec | sections), "run"), daemon.link, Alone())


def learning_rate(loop: Loop) -> float:
    """Return the LR that stands in the optimizer."""
    return float(loop.parts.optimizer.param_groups[0]["lr"])


def test_the_learning_rate_that_is_reported_is_the_one_that_stood_in_the_optimizer(
    daemon: Daemon,
) -> None:
    schedule = {"name": "OneCycleLR", "args": {}}
    loop = a_loop(daemon, schedule=schedule, policies=[{"name": "loss_spike"}])
    used, momenta = [], []

    for step in range(STEPS):
        if step == 20:
            daemon.ask(Verb.SCALE, 0.5)
        loop.advance(1)
        used.append(learning_rate(loop))
        momenta.append(loop.parts.optimizer.param_groups[0]["momentum"])
    loop.report()

    assert daemon.column("learning_rate") == used
    assert daemon.column("momentum") == momenta
    curve = loop.parts.steering.groups[0].curve.learning_rate
    assert used[:20] == [curve(step) for step in range(20)]
    assert used[20:] == [curve(step) * 0.5 for step in range(20, STEPS)]


def test_a_request_that_arrives_during_a_step_acts_at_the_next(daemon: Daemon) -> None:
    loop = a_loop(daemon)
    loop.advance(5)

    daemon.ask(Verb.SCALE, 0.5)
    loop.advance(1)

    [decided] = daemon.all(Decided)
    assert [one.applied_step for one in decided.decisions] == [5]
    assert learning_rate(loop) == PEAK * 0.5


def test_whoever_gets_an_answer_finds_it_in_the_history_and_in_the_state(daemon: Daemon) -> None:
    loop = a_loop(daemon)
    loop.advance(2)
    before = len(daemon.heard())

    daemon.ask(Verb.SCALE, 0.5)
    loop.advance(1)

    decided, telemetry, applied = daemon.heard()[before:]
    assert isinstance(decided, Decided)
    assert isinstance(telemetry, Telemetry)
    assert isinstance(applied, Applied)
    assert decided.decisions == (applied.decision,)
    assert (telemetry.snapshot.revision, telemetry.snapshot.step) == (1, 2)
    assert telemetry.snapshot.groups[0].learning_rate == PEAK * 0.5


def test_requests_that_arrive_together_are_carried_out_in_their_order(daemon: Daemon) -> None:
    loop = a_loop(daemon)
    for value in (0.5, 0.25, 4.0):
        daemon.ask(Verb.SCALE, value)

    loop.advance(1)

    decisions = [one.decision for one in daemon.all(Applied)]
    assert [one.revision for one in decisions] == [1, 2, 3]
    assert [one.value for one in decisions] == [0.5, 0.25, 4.0]
    for earlier, later in pairwise(decisions):
        assert later.groups[0].old == earlier.groups[0].new
    assert learning_rate(loop) == PEAK * 0.5


def test_a_refused_request_is_answered_and_the_step_runs(daemon: Daemon) -> None:
    loop = a_loop(daemon)
    daemon.ask(Verb.SCALE, -1.0)
    daemon.ask(Verb.SCALE, 0.5, expected_revision=7)

    loop.advance(1)

    nonsense, conflict = daemon.all(Refused)
    assert (nonsense.kind, nonsense.violations[0].field) == ("InvalidRequest", "value")
    assert (conflict.kind, conflict.command_id) == ("RevisionConflict", 2)
    assert (loop.step, learning_rate(loop)) == (1, PEAK)


def test_a_paused_loop_answers_changes_and_goes_on_where_it_stood(daemon: Daemon) -> None:
    loop = a_loop(daemon)
    loop.advance(3)
    daemon.tell(PauseCommand())
    daemon.ask(Verb.HOLD, 0.01)
    daemon.tell(ResumeCommand())

    loop.advance(1)

    assert [one.step for one in daemon.all(Paused)] == [3]
    assert [one.decision.applied_step for one in daemon.all(Applied)] == [3]
    assert [one.step for one in daemon.all(Resumed)] == [3]
    assert (loop.step, learning_rate(loop)) == (4, 0.01)


def test_a_stop_ends_the_run_validated_and_with_every_step_reported(daemon: Daemon) -> None:
    loop = a_loop(daemon)
    loop.advance(7)
    daemon.tell(PauseCommand(), StopCommand())

    result = loop.run()

    assert loop.is_stopped
    assert result.steps == 7
    assert result.validation_accuracy is not None
    assert result.train_loss == daemon.column("train_loss")[-1]
    assert len(daemon.column("train_loss")) == 7


def test_a_run_validates_at_its_cadence_and_once_at_its_end(daemon: Daemon) -> None:
    loop = a_loop(daemon, evaluate={"every": 25})

    result = loop.run()

    validated = {
        step: loss
        for message in daemon.all(Telemetry)
        if message.rows is not None
        for step, loss in message.rows.validation_loss.items()
    }
    assert list(validated) == [25, 50, STEPS]
    assert validated[STEPS] == result.validation_loss
    assert daemon.all(Telemetry)[-1].snapshot.validation_step == STEPS
    assert not loop.is_stopped


def test_a_run_does_not_depend_on_how_often_somebody_looks(daemon: Daemon) -> None:
    in_one_go = a_loop(daemon)
    in_one_go.advance(30)
    in_one_go.report()
    first = daemon.column("train_loss")

    step_by_step = a_loop(daemon)
    for _ in range(30):
        step_by_step.advance(1)
        step_by_step.report()

    assert daemon.column("train_loss") == first + first


def test_a_loss_that_is_not_finite_leaves_the_steps_before_it_to_be_told(daemon: Daemon) -> None:
    loop = a_loop(daemon, optimizer={"name": "SGD", "lr": 1e-3}, guardrails={"max_lr": 1e30})
    loop.advance(4)
    daemon.ask(Verb.HOLD, 1e30)

    with pytest.raises(NonFiniteLoss):
        loop.run()
    loop.report()

    assert loop.step < STEPS
    assert len(daemon.column("train_loss")) == loop.step


def test_a_loop_whose_daemon_is_gone_trains_on_to_its_end(daemon: Daemon) -> None:
    loop = a_loop(daemon)
    loop.advance(1)

    daemon.hang_up()
    result = loop.run()

    assert result.steps == STEPS
    steps = [
        step
        for message in daemon.link.outstanding.owed()
        if isinstance(message, Telemetry) and message.rows is not None
        for step in range(message.rows.first_step, message.rows.first_step + message.rows.count)
    ]
    assert steps == list(range(STEPS)), "every row is kept for the next daemon"


def test_a_paused_loop_whose_daemon_is_gone_waits_for_the_next(daemon: Daemon) -> None:
    loop = a_loop(daemon)
    daemon.tell(PauseCommand())
    daemon.hang_up()

    def come_back() -> None:
        time.sleep(RECONNECT_SECONDS)
        daemon.accept()
        daemon.tell(ResumeCommand())

    coming = threading.Thread(target=come_back)
    coming.start()
    result = loop.run()
    coming.join()

    assert result.steps == STEPS
    assert daemon.all(Resumed)[-1].step == 0
