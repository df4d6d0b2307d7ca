"""Whom the loop tells of its steps, and who may tell it what to do."""

from typing import Protocol

from rheostat.runs.messages import Message, ToTrainer, Unacknowledged


class Peer(Protocol):
    """The other side of a run: its daemon, over a `Link`, or nobody."""

    @property
    def is_congested(self) -> bool:
        """Whether the other side has not been reading for long."""
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

    def send_again(self, told: Unacknowledged) -> None:
        """Send what another trainer of the run has told, where it is not written down yet."""
        ...


class Nobody:
    """The other side of a run that is stepped from within its own process."""

    is_congested = True  # so that rows are not kept for a reader who never comes

    def send(self, *messages: Message) -> None:
        """Say it to the wind."""

    def receive(self, timeout: float = 0.0) -> list[ToTrainer]:
        """Return that nobody has asked for anything."""
        return []

    def unacknowledged(self) -> Unacknowledged:
        """Return that nobody waits for anything."""
        return Unacknowledged()

    def send_again(self, told: Unacknowledged) -> None:
        """Say it to the wind."""
