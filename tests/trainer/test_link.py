"""The trainer's end of the socket, against a real one whose daemon comes and goes."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rheostat.runs.frames import encode, to_daemon
from rheostat.runs.messages import (
    Acknowledged,
    Applied,
    ChangeCommand,
    Decided,
    Finished,
    Hello,
    Message,
    PauseCommand,
    Paused,
    Ready,
    Released,
    StopCommand,
    Telemetry,
    Welcome,
)
from rheostat.runs.records import Result, Snapshot
from rheostat.steering.records import Change, Decision, Verb
from rheostat.trainer.link import RECONNECT_SECONDS, Link

LAST = Finished(result=Result(steps=1), stopped=False)
READY = Ready(steps=10, groups=(), device="cpu")


class Clock:
    """Time that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Daemon:
    """One life of a daemon, which a trainer has found."""

    def __init__(self, folder: Path, name: str) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / name))
        self._listening.listen()
        (folder / "link").write_text(str(folder / name))
        self._decoder = to_daemon()

    def accept(self) -> None:
        self._connection, _ = self._listening.accept()
        self._connection.settimeout(5.0)

    def tell(self, *messages: Message) -> None:
        self._connection.sendall(b"".join(map(encode, messages)))

    def hear(self) -> list[Message]:
        """Return what has been said so far."""
        return list(self._decoder.feed(self._connection.recv(2**20)))

    def hear_all(self) -> list[Message]:
        """Return what is said until the other side hangs up."""
        heard: list[Message] = []
        while data := self._connection.recv(2**16):
            heard += self._decoder.feed(data)
        return heard

    def die(self) -> None:
        self._connection.close()
        self._listening.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def daemons(tmp_path: Path) -> list[Daemon]:
    """Those of the test, the first of them alive."""
    return [Daemon(tmp_path, "first")]


@pytest.fixture
def link(tmp_path: Path, daemons: list[Daemon], clock: Clock) -> Iterator[Link]:
    link = Link(tmp_path / "link", "digits", "secret", clock=clock)
    daemons[0].accept()
    [hello] = daemons[0].hear()
    assert isinstance(hello, Hello)
    assert (hello.run, hello.token, hello.revision) == ("digits", "secret", 0)
    daemons[0].tell(Welcome(revision=0, next_row=0))
    assert link.receive(1.0) == []
    yield link
    for daemon in daemons:
        daemon.die()
    link.close(LAST)


def decided(revision: int, request_id: str = "") -> Decided:
    one = Decision(
        revision=revision, applied_step=7, source="operator", groups=(), request_id=request_id
    )
    return Decided(decisions=(one,))


def test_nothing_but_the_hello_is_said_before_the_welcome(tmp_path: Path, clock: Clock) -> None:
    daemon = Daemon(tmp_path, "first")
    link = Link(tmp_path / "link", "digits", "secret", clock=clock)
    link.send(READY, decided(1))
    daemon.accept()

    assert [type(one) for one in daemon.hear()] == [Hello]
    daemon.tell(Welcome(revision=0, next_row=0))
    link.receive(1.0)
    assert daemon.hear() == [READY, decided(1)]
    daemon.die()
    link.close(LAST)


def test_the_next_daemon_is_told_what_the_one_before_has_not_written_down(
    link: Link, daemons: list[Daemon], clock: Clock, tmp_path: Path
) -> None:
    link.send(READY, decided(1), decided(2))
    daemons[0].tell(Acknowledged(revision=1, next_row=0))
    link.receive(1.0)
    daemons[0].die()
    assert link.receive() == [], "the run goes on"
    link.send(decided(3), Paused(step=7))

    second = Daemon(tmp_path, "second")
    daemons.append(second)
    assert link.receive() == [], "it looks now and then, not at every step"
    clock.now += RECONNECT_SECONDS
    link.receive()
    second.accept()
    [hello] = second.hear()
    second.tell(Welcome(revision=1, next_row=0))
    link.receive(1.0)

    assert isinstance(hello, Hello)
    assert (hello.revision, hello.is_paused) == (3, True)
    told = second.hear()
    assert told[0] == READY
    assert [one.revision for one in told[1].decisions] == [2, 3]  # type: ignore[attr-defined]


def test_a_change_that_is_asked_for_again_is_answered_from_memory(
    link: Link, daemons: list[Daemon]
) -> None:
    link.send(decided(1, request_id="halve"))
    daemons[0].hear()
    change = Change(verb=Verb.SCALE, value=0.5, request_id="halve")
    daemons[0].tell(ChangeCommand(command_id=8, change=change))

    assert link.receive(1.0) == []
    [applied] = daemons[0].hear()
    assert isinstance(applied, Applied)
    assert (applied.command_id, applied.decision.revision) == (8, 1)


def test_a_trainer_with_patience_ends_its_run_when_no_daemon_comes(
    tmp_path: Path, clock: Clock
) -> None:
    link = Link(tmp_path / "link", "digits", "secret", patience=30.0, clock=clock)

    assert link.receive() == []
    clock.now = 31.0
    assert link.receive() == [StopCommand()]


def test_the_last_words_arrive_though_the_daemon_has_just_said_something(
    link: Link, daemons: list[Daemon]
) -> None:
    daemons[0].tell(PauseCommand())  # the trainer has ended and will not read this
    untold: list[list[Message]] = []
    closing = threading.Thread(target=lambda: untold.append(link.close(LAST)))
    closing.start()
    heard = daemons[0].hear()
    daemons[0].tell(Released())
    closing.join()

    assert heard == [LAST]
    assert untold == [[]]


def test_last_words_that_no_daemon_has_written_down_are_handed_back(
    link: Link, daemons: list[Daemon]
) -> None:
    link.send(READY)
    link.send(Telemetry(snapshot=Snapshot(step=8, revision=1, groups=())), decided(1))
    daemons[0].die()

    untold = link.close(LAST)

    # The daemon may have died before it wrote down how many steps and which groups there are.
    assert [type(one) for one in untold] == [Ready, Decided, Telemetry, Finished]


def test_last_words_said_before_the_welcome_are_not_forgotten(tmp_path: Path, clock: Clock) -> None:
    daemon = Daemon(tmp_path, "first")
    link = Link(tmp_path / "link", "digits", "secret", clock=clock)
    daemon.accept()
    daemon.hear()
    daemon.tell(Welcome(revision=0, next_row=0), Released())

    assert link.close(LAST) == []
    assert daemon.hear_all() == [LAST]
    daemon.die()
