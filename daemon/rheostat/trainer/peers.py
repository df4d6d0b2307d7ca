"""Whom the loop tells of its steps, and who may tell it what to do."""

from typing import Protocol

from rheostat.runs.messages import Message, ToTrainer, Unacknowledged


class Peer(Protocol):
    """The other side of a run: its daemon, over a `Link`, or nobody."""

    @property
    def is_congested(self) -> bool:
        """Whether nobody is there to read what is of no use later."""
        ...

    def send(self, *messages: Message) -> None:
        """Send messages in order, without waiting."""
        ...

    def receive(self, timeout: float = 0.0) -> list[ToTrainer]:
        """Return what has arrived, waiting up to `timeout` seconds for the first."""
        ...

    def unacknowledged(self) -> Unacknowledged:
        """Return what was sent and may not be written down yet, for a checkpoint to hold."""
        ...


class Nobody:
    """The other side of a run that is stepped from within its own process."""

    is_congested = True

    def send(self, *messages: Message) -> None:
        """Say it to the wind."""

    def receive(self, timeout: float = 0.0) -> list[ToTrainer]:
        """Return that nobody has asked for anything."""
        return []

    def unacknowledged(self) -> Unacknowledged:
        """Return that nobody waits for anything."""
        return Unacknowledged()
