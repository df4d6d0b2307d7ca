"""What has been asked of a trainer and not been answered yet."""

import asyncio
import itertools
import secrets
from asyncio import Future
from collections.abc import Callable
from typing import Any

import msgspec

from rheostat.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    ResourceExhausted,
    RheostatError,
)
from rheostat.runs.messages import (
    ChangeCommand,
    EvaluateCommand,
    ProbeCommand,
    RollbackCommand,
    SaveCommand,
)
from rheostat.steering.inbox import MAX_PENDING_CHANGES
from rheostat.steering.records import Change, Decision, Verb

_AGAIN = "the same request_id asks for it again"

Command = ChangeCommand | SaveCommand | RollbackCommand | EvaluateCommand | ProbeCommand


class Errand:
    """A command on its way to the trainer and back; to that trainer's successor, if it dies."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.answer: Future[Any] = asyncio.get_running_loop().create_future()
        self.decision: Decision | None = None
        """What a change became, once that is durable; its answer follows with the state."""
        # Whoever did not wait never asks for the error; asyncio must not complain of that.
        self.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())

    @property
    def change(self) -> Change | None:
        """The change that is asked for; None where it is something else."""
        return self.command.change if isinstance(self.command, ChangeCommand) else None

    @property
    def request_id(self) -> str:
        """The key that its decision will have; empty where none is made of it."""
        if isinstance(self.command, RollbackCommand):
            return self.command.request_id
        change = self.change
        return "" if change is None or change.dry_run else change.request_id


class Errands:
    """Those of one run, in the order they were asked."""

    def __init__(self) -> None:
        self._errands: dict[int, Errand] = {}
        # A trainer may still hold what the daemon before has asked, under a number of that one's.
        self._numbers = itertools.count(secrets.randbits(48))

    def ask(self, command: Callable[[int], Command]) -> Errand:
        """Take an errand.

        Args:
            command: makes the command, given its number.
        """
        number = next(self._numbers)
        errand = self._errands[number] = Errand(command(number))
        return errand

    def ask_for(self, change: Change) -> tuple[Errand, bool]:
        """Take a change, or join the same request that is on its way; say whether it is new.

        Raises:
            FailedPrecondition, ResourceExhausted: if its request_id is on its way for another
                wish, or too many changes wait.
        """
        if (errand := self.join(change)) is not None:
            return errand, False
        return self.ask(lambda number: ChangeCommand(command_id=number, change=change)), True

    def join(self, change: Change) -> Errand | None:
        """Return the same request that is on its way; None where there is none, and room for it.

        Raises:
            FailedPrecondition, ResourceExhausted: as `ask_for`.
        """
        for errand in self._errands.values():
            known = errand.change
            if known is None or known.dry_run != change.dry_run:
                continue
            if known.request_id == change.request_id:
                if not is_same_request(known, change):
                    raise request_id_is_used(change.request_id)
                return errand
        if len(self._errands) >= MAX_PENDING_CHANGES:
            raise ResourceExhausted(
                f"{MAX_PENDING_CHANGES} changes of the run wait for their step already"
            )
        return None

    def admit(self, number: int) -> Change | None:
        """Note that the trainer has let a change in, which then waits for its step.

        Returns:
            The change as it is to be asked for again: whether anybody had changed the run since its
            asker looked was decided with that.
        """
        errand = self.find(number)
        if errand is None or not isinstance(errand.command, ChangeCommand):
            return None
        change = msgspec.structs.replace(errand.command.change, expected_revision=None)
        errand.command = ChangeCommand(command_id=number, change=change)
        return change

    def find(self, number: int) -> Errand | None:
        """Return the errand of a number; None where it was answered or never asked."""
        return self._errands.get(number)

    def attaching(self) -> set[str]:
        """Return the names of the policies whose attaching is on its way."""
        changes = (errand.change for errand in self._errands.values())
        edits = (one.policy for one in changes if one is not None and one.verb == Verb.ATTACH)
        return {edit.policy for edit in edits if edit is not None}

    def find_request(self, request_id: str) -> Errand | None:
        """Return the errand that will have a decision with this key, None where there is none."""
        asked = (one for one in self._errands.values() if one.request_id == request_id)
        return next(asked, None)

    def answer(self, number: int, result: object) -> Errand | None:
        """Give an errand's answer, or its error, to whoever waits for it."""
        errand = self._errands.pop(number, None)
        if errand is not None and not errand.answer.done():
            if isinstance(result, RheostatError):
                errand.answer.set_exception(result)
            else:
                errand.answer.set_result(result)
        return errand

    def note(self, decision: Decision) -> None:
        """Take a decision that has become durable: what it answers must not be asked again."""
        for errand in self._errands.values():
            if decision.request_id and errand.request_id == decision.request_id:
                errand.decision = decision

    def unanswered(self) -> list[Command]:
        """Return what a trainer that has just called must be asked, and answer what is known."""
        for number, errand in list(self._errands.items()):
            if errand.decision is not None:
                self.answer(number, errand.decision)
        return [errand.command for errand in self._errands.values()]

    def postpone(self, why: str) -> None:
        """Answer all that may have been decided, or will be: not now, and not that it is refused.

        What waits for its step is on the disk. The rest may be in a checkpoint whose trainer died
        before it could tell.
        """
        self.unanswered()
        for number, errand in list(self._errands.items()):
            if errand.request_id:
                waits = errand.change is not None and errand.change.at_step is not None
                what = "the change waits for its step" if waits else "it may have been made"
                self.answer(number, DeadlineExceeded(f"{why}; {what}, and {_AGAIN}"))

    def refuse(self, why: str) -> None:
        """Answer everything with what is known, else with a refusal."""
        self.unanswered()
        for number in list(self._errands):
            self.answer(number, FailedPrecondition(why))


def is_same_request(first: Change, second: Change) -> bool:
    """Whether two changes with one request_id ask for the same thing."""
    wish = (
        "verb",
        "value",
        "edit",
        "policy",
        "steps",
        "groups",
        "at_step",
        "expires_after_steps",
    )
    return all(getattr(first, field) == getattr(second, field) for field in wish)


def request_id_is_used(request_id: str) -> FailedPrecondition:
    """Return the error for a request_id that came with another wish before."""
    return FailedPrecondition(
        f"request_id {request_id!r} was used for a different change of this run; "
        "a new wish needs a new request_id"
    )
