"""The trainer's end of the socket to its daemon: it never waits, except when the run is paused."""

import select
import socket

from rheostat.runs.frames import Decoder, encode, to_trainer
from rheostat.runs.messages import Hello, Message, ToTrainer, Unacknowledged

CONGESTED_BYTES = 64 * 2**20
"""Unsent bytes above which step rows are dropped rather than kept: a daemon that has stopped
reading must not fill the trainer's memory."""
_CHUNK = 2**16


class LinkLost(Exception):
    """The daemon has closed the connection or is gone."""


class Link:
    """A framed, typed, non-blocking connection.

    Sending appends to a buffer and hands the kernel what it takes; receiving returns what has
    arrived. One poll system call per step tells whether there is anything to do.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._decoder: Decoder[ToTrainer] = to_trainer()
        self._unsent = bytearray()

    def hello(self, run: str, token: str, pid: int) -> None:
        """Say who is calling; the first message of the connection."""
        self.send(Hello(run=run, token=token, pid=pid))

    @property
    def is_congested(self) -> bool:
        """Whether the daemon has not been reading for long."""
        return len(self._unsent) > CONGESTED_BYTES

    def send(self, *messages: Message) -> None:
        """Send messages in order, now or as soon as the kernel takes them."""
        for message in messages:
            self._unsent += encode(message)
        self._flush()

    def receive(self, timeout: float = 0.0) -> list[ToTrainer]:
        """Return what has arrived, waiting up to `timeout` seconds for the first.

        Raises:
            LinkLost: if the daemon is gone.
        """
        if self._unsent:
            self._flush()
        if not self._poll.poll(timeout * 1000.0):
            return []
        received: list[ToTrainer] = []
        while True:
            try:
                data = self._socket.recv(_CHUNK)
            except BlockingIOError:
                return received
            except OSError as error:
                raise LinkLost(str(error)) from error
            if not data:
                raise LinkLost("the daemon closed the connection")
            received += self._decoder.feed(data)
            if len(data) < _CHUNK:
                return received

    def unacknowledged(self) -> Unacknowledged:
        """Return that everything is taken for written down once it is sent."""
        return Unacknowledged()

    def send_again(self, told: Unacknowledged) -> None:
        """Send what another trainer of the run has told."""

    def close(self) -> None:
        """Send what is left, wait until the daemon has it all, and hang up.

        What the daemon still sends is read and dropped: closing a socket with something unread in
        it would take back what the daemon has not read yet.
        """
        try:
            self._socket.settimeout(10.0)
            self._socket.sendall(self._unsent)
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv(_CHUNK):
                pass
        except OSError:
            pass  # the daemon is gone; its log has our output
        self._socket.close()

    def _flush(self) -> None:
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            return
        except OSError as error:
            raise LinkLost(str(error)) from error
