"""The trainer's end of the socket to its daemon: it never waits, except when the run is paused."""

import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

from rheostat.runs.frames import BrokenFrame, Decoder, encode, to_trainer
from rheostat.runs.messages import (
    Acknowledged,
    Applied,
    ChangeCommand,
    Decided,
    Hello,
    Message,
    Offended,
    Paused,
    Ready,
    Released,
    Resumed,
    RollbackCommand,
    StopCommand,
    Telemetry,
    ToTrainer,
    Unacknowledged,
    Welcome,
)
from rheostat.trainer.outstanding import MAX_ROW_BYTES, Outstanding

CONGESTED_BYTES = 2 * MAX_ROW_BYTES
"""Unsent bytes above which the daemon counts as gone: one that has stopped reading must not fill
the trainer's memory."""
RECONNECT_SECONDS = 1.0
LAST_WORDS_SECONDS = 10.0
_CHUNK = 2**16


class Link:
    """A framed, typed, non-blocking connection that survives the daemon.

    Sending appends to a buffer and hands the kernel what it takes; receiving returns what has
    arrived. One poll system call per step tells whether there is anything to do. While no daemon
    answers, the trainer trains on: decisions and rows are kept, and at a step boundary now and then
    the link looks for the next daemon, whose socket a file of the state directory names. That one
    says what it has on its disk, and is sent the rest.

    Args:
        link_file: holds the path of the present daemon's socket.
        run: whose trainer is calling.
        token: the secret that proves it.
        patience: seconds without any daemon after which the run is to end in order, as if it had
            been told to stop; None is never.
        clock: seconds that only go forward.
        pid: process id of the trainer; None is this process's.
    """

    def __init__(
        self,
        link_file: Path,
        run: str,
        token: str,
        *,
        patience: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        pid: int | None = None,
    ) -> None:
        self._pid = os.getpid() if pid is None else pid
        self._link_file = link_file
        self._run, self._token = run, token
        self._patience = patience
        self._clock = clock
        self._outstanding = Outstanding()
        self._ready: Ready | None = None
        self._is_paused = False
        self._last: Message | None = None
        self._is_released = False
        self._socket: socket.socket | None = None
        self._is_welcome = False
        self._poll = select.poll()
        self._decoder: Decoder[ToTrainer] = to_trainer()
        self._unsent = bytearray()
        self._lost_at = clock()
        self._next_try = self._lost_at
        self._connect()

    @property
    def is_congested(self) -> bool:
        """Whether nobody is there to read what is of no use later."""
        return not self._is_welcome

    @property
    def outstanding(self) -> Outstanding:
        """What is not durable yet."""
        return self._outstanding

    def send(self, *messages: Message) -> None:
        """Send messages in order, now or as soon as the kernel takes them.

        What must not be lost is kept until it is durable; the rest is dropped while no daemon is
        there to hear it.
        """
        for message in messages:
            self._keep(message)
            if self._is_welcome:
                self._unsent += encode(message)
        self._flush()

    def receive(self, timeout: float = 0.0) -> list[ToTrainer]:
        """Return what has arrived, waiting up to `timeout` seconds for the first."""
        if self._socket is None and not self._find_daemon(timeout):
            return self._give_up()
        if self._unsent:
            self._flush()
        if self._socket is None or not self._poll.poll(timeout * 1000.0):
            return self._give_up()
        heard: list[ToTrainer] = []
        for message in self._read(self._socket):
            self._take(message, heard)
        return heard

    def unacknowledged(self) -> Unacknowledged:
        """Return what is not known to be written down yet, for a checkpoint to hold."""
        return self._outstanding.unacknowledged()

    def close(self, last: Message) -> list[Message]:
        """Send the trainer's last words, wait until they are durable, and hang up.

        Returns:
            What no daemon has taken, in order, the last words at the end; empty where all is well.
        """
        self._last = last
        self.send(last)
        deadline = self._clock() + LAST_WORDS_SECONDS
        while self._socket is not None and not self._is_released:
            seconds = deadline - self._clock()
            if seconds <= 0:
                break
            if self._poll.poll(seconds * 1000.0):
                for message in self._read(self._socket):
                    self._take(message, [])
            self._flush()
        self._lose()
        if self._is_released:
            return []
        return [*self._standing(), *self._outstanding.owed(), last]

    def _standing(self) -> list[Message]:
        """Return what every daemon must hear first, whatever the one before it has heard."""
        return [] if self._ready is None else [self._ready]

    def _keep(self, message: Message) -> None:
        match message:
            case Decided() | Offended() | Telemetry():
                self._outstanding.keep(message)
            case Ready():
                self._ready = message
            case Paused():
                self._is_paused = True
            case Resumed():
                self._is_paused = False

    def _take(self, message: ToTrainer, heard: list[ToTrainer]) -> None:
        """See to what is the link's own business, and pass on the rest."""
        match message:
            case Welcome():
                self._outstanding.acknowledge(message.revision, message.next_row)
                self._is_welcome = True
                last = [] if self._last is None else [self._last]
                for one in (*self._standing(), *self._outstanding.owed(), *last):
                    self._unsent += encode(one)
                self._flush()
            case Acknowledged():
                self._outstanding.acknowledge(message.revision, message.next_row)
            case Released():
                self._is_released = True
            case ChangeCommand() | RollbackCommand():
                decision = self._outstanding.answer_to(_request_of(message))
                if decision is None:
                    heard.append(message)
                else:
                    self.send(Applied(command_id=message.command_id, decision=decision))
            case _:
                heard.append(message)

    def _read(self, connection: socket.socket) -> list[ToTrainer]:
        received: list[ToTrainer] = []
        try:
            while True:
                data = connection.recv(_CHUNK)
                if not data:
                    self._lose()
                    return received
                received += self._decoder.feed(data)
                if len(data) < _CHUNK:
                    return received
        except BlockingIOError:
            return received
        except (OSError, BrokenFrame):
            self._lose()
            return received

    def _find_daemon(self, timeout: float) -> bool:
        """Look for a daemon if it is time to; return whether one is there."""
        wait = self._next_try - self._clock()
        if wait > 0:
            if timeout > 0:
                time.sleep(min(timeout, wait))
            return False
        self._connect()
        return self._socket is not None

    def _connect(self) -> None:
        self._next_try = self._clock() + RECONNECT_SECONDS
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A daemon that hangs with a full backlog must not make the trainer hang.
        connection.setblocking(False)
        try:
            connection.connect(self._link_file.read_text())
        except (OSError, ValueError):
            connection.close()
            return
        self._socket = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._decoder = to_trainer()
        outstanding = self._outstanding
        hello = Hello(
            run=self._run,
            token=self._token,
            pid=self._pid,
            revision=outstanding.revision,
            step=outstanding.snapshot.step if outstanding.snapshot else 0,
            is_paused=self._is_paused,
            lost_rows=outstanding.lost_rows,
        )
        self._unsent = bytearray(encode(hello))
        self._flush()

    def _lose(self) -> None:
        if self._socket is None:
            return
        self._socket.close()
        self._socket = None
        if self._is_welcome:
            self._lost_at = self._clock()
        self._is_welcome = False
        self._unsent.clear()
        self._next_try = self._clock() + RECONNECT_SECONDS

    def _give_up(self) -> list[ToTrainer]:
        """Return the order to stop, once no daemon has been there for too long."""
        if self._patience is None or self._is_welcome:
            return []
        return [StopCommand()] if self._clock() - self._lost_at >= self._patience else []

    def _flush(self) -> None:
        try:
            while self._socket is not None and self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            if len(self._unsent) > CONGESTED_BYTES:
                self._lose()
        except OSError:
            self._lose()


def _request_of(command: ChangeCommand | RollbackCommand) -> str:
    """Return the idempotency key of what is to be recorded; empty where nothing is."""
    if isinstance(command, RollbackCommand):
        return command.request_id
    return "" if command.change.dry_run else command.change.request_id
