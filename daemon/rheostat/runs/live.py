"""A run in the memory of the daemon: its newest view, and everyone who waits for news of it."""

import asyncio
import secrets
from asyncio import Event, Future
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from rheostat.errors import FailedPrecondition, ResourceExhausted, RheostatError
from rheostat.runs.histogram import Histogram
from rheostat.runs.messages import ChangeCommand, Message
from rheostat.runs.records import Failure, Phase, RunView, Snapshot, StepRows
from rheostat.steering.inbox import MAX_PENDING_CHANGES
from rheostat.steering.records import Change, Decision, Verb
from rheostat_policies import Observation

if TYPE_CHECKING:
    from rheostat.runs.sessions import PolicySession

REMEMBERED_REQUESTS = 10_000


class PendingChange:
    """A change on its way to the trainer and back."""

    def __init__(self, command_id: int, change: Change) -> None:
        self.command_id = command_id
        self.change = change
        self.answer: Future[Decision] = asyncio.get_running_loop().create_future()
        # Whoever did not wait never asks for the error; asyncio must not complain of that.
        self.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())


class LiveRun:
    """One run of this daemon's life, from its creation until it is deleted.

    Views and snapshots are replaced, never changed, so readers take what is there and need no
    lock. Everything happens on the daemon's event loop.
    """

    def __init__(self, view: RunView) -> None:
        self.view = view
        self.token = secrets.token_urlsafe(32)
        """What the trainer proves itself with."""
        self.news = Event()
        """Set at the next change, then replaced by a fresh one."""
        self.durations = Histogram()
        self.changes: dict[str, int] = {}
        """Number of decisions by source."""
        self.unsaved_rows: list[StepRows] = []
        self.decided: OrderedDict[str, Decision] = OrderedDict()
        """The newest decisions by request_id, so that a new request needs no look at the disk."""
        self.is_ended_by_trainer = False
        """Whether the trainer said how the run ended."""
        self.forgets_requests = view.revision > 0
        """Whether there are older ones than in `decided`, which only the store knows."""
        self.policy_durations: dict[str, Histogram] = {}
        """Seconds that answers took, by policy."""
        self.sessions: dict[str, PolicySession] = {}
        """Remote policies that are connected, by name."""
        self.broken: Failure | None = None
        """Why the daemon itself ended the run; None where it did not."""
        self._send: Callable[[Message], None] | None = None
        self._outbox: list[Message] = []
        self._pending: dict[int, PendingChange] = {}
        self._phase_waiters: list[tuple[frozenset[Phase], Future[RunView]]] = []
        self._next_command = 1

    def update(self, **fields: Any) -> RunView:
        """Replace fields of the view and wake everyone who waits for news.

        A run that is stopping can only end: that it has begun or paused comes too late by then.
        """
        if self.view.phase is Phase.STOPPING and not fields.get("phase", Phase.STOPPING).is_final:
            fields["phase"] = Phase.STOPPING
        self.view = msgspec.structs.replace(self.view, **fields)
        for wanted, waiter in self._phase_waiters:
            if not waiter.done() and (self.view.phase in wanted or self.view.phase.is_final):
                waiter.set_result(self.view)
        self._phase_waiters = [one for one in self._phase_waiters if not one[1].done()]
        self.news.set()
        self.news = Event()
        return self.view

    def see(self, snapshot: Snapshot) -> None:
        """Take the newest snapshot."""
        self.update(snapshot=snapshot)

    async def reach(self, *phases: Phase) -> RunView:
        """Wait until the run is in one of some phases, or over."""
        if self.view.phase in phases or self.view.phase.is_final:
            return self.view
        waiter: Future[RunView] = asyncio.get_running_loop().create_future()
        self._phase_waiters.append((frozenset(phases), waiter))
        return await waiter

    def connect(self, send: Callable[[Message], None]) -> None:
        """Take the trainer's connection and send what has waited for it."""
        self._send = send
        for message in self._outbox:
            send(message)
        self._outbox.clear()

    def disconnect(self) -> None:
        """Forget the trainer's connection."""
        self._send = None

    def tell(self, message: Message) -> None:
        """Send a message to the trainer, as soon as it is there."""
        if self._send is None:
            self._outbox.append(message)
        else:
            self._send(message)

    def ask(self, change: Change) -> PendingChange:
        """Send a change to the trainer, or join the same request that is on its way."""
        for pending in self._pending.values():
            asked = (pending.change.request_id, pending.change.dry_run)
            if asked == (change.request_id, change.dry_run):
                if not is_same_request(pending.change, change):
                    raise request_id_is_used(change.request_id)
                return pending
        if len(self._pending) >= MAX_PENDING_CHANGES:
            raise ResourceExhausted(
                f"{MAX_PENDING_CHANGES} changes of run {self.view.name} wait for their step already"
            )
        pending = PendingChange(self._next_command, change)
        self._next_command += 1
        self._pending[pending.command_id] = pending
        self.tell(ChangeCommand(command_id=pending.command_id, change=change))
        return pending

    def hear(self, policy: str, observation: Observation) -> None:
        """Pass an observation on to the remote policy that it is for, if it is still there."""
        if policy in self.sessions:
            self.sessions[policy].tell(observation)

    def time_policies(self, durations: Mapping[str, bytes]) -> None:
        """Take how long policies took for their newest answers."""
        for policy, seconds in durations.items():
            self.policy_durations.setdefault(policy, Histogram()).observe_many(seconds)

    def note(self, decision: Decision) -> None:
        """Take a decision that has been written down."""
        if decision.verb == Verb.DETACH and decision.policy is not None:
            self.hang_up(decision.policy.policy)
        self.changes[decision.source] = self.changes.get(decision.source, 0) + 1
        if decision.request_id:
            self.decided[decision.request_id] = decision
            if len(self.decided) > REMEMBERED_REQUESTS:
                self.decided.popitem(last=False)
                self.forgets_requests = True

    def answer(self, command_id: int, result: Decision | RheostatError) -> None:
        """Give a change's answer to whoever waits for it."""
        pending = self._pending.pop(command_id, None)
        if pending is None or pending.answer.done():
            return
        if isinstance(result, Decision):
            pending.answer.set_result(result)
        else:
            pending.answer.set_exception(result)

    def hang_up(self, policy: str) -> None:
        """End the session of a remote policy, if there is one."""
        if policy in self.sessions:
            self.sessions[policy].close()

    def end_pending(self) -> None:
        """Refuse what the run did not live to apply, and let its remote policies go."""
        for policy in self.sessions:
            self.hang_up(policy)
        step = self.view.snapshot.step if self.view.snapshot else 0
        name, phase = self.view.name, self.view.phase
        for command_id in list(self._pending):
            text = f"run {name} {phase} after {step} steps, before the change could be applied"
            self.answer(command_id, FailedPrecondition(text))


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


def is_answered_by(change: Change, decision: Decision, groups: Sequence[str]) -> bool:
    """Whether a decision can be what a change became, in a run with these groups."""
    wanted = set(change.groups or groups)
    became = (decision.verb, decision.value, decision.edit, decision.policy)
    asked = (change.verb.value, change.value, change.edit, change.policy)
    return became == asked and {group.name for group in decision.groups} == wanted


def request_id_is_used(request_id: str) -> FailedPrecondition:
    """Return the error for a request_id that came with another wish before."""
    return FailedPrecondition(
        f"request_id {request_id!r} was used for a different change of this run; "
        "a new wish needs a new request_id"
    )
