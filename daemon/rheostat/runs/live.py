"""A run in the memory of the daemon: its newest view, and everyone who waits for news of it."""

import asyncio
import secrets
from asyncio import Event, Future
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.runs.errands import Command, Errand, Errands
from rheostat.runs.histogram import Histogram
from rheostat.runs.messages import (
    Hello,
    Message,
    PauseCommand,
    PolicyVanished,
    ResumeCommand,
    StopCommand,
)
from rheostat.runs.records import Failure, Phase, RunView, Snapshot, StepRows
from rheostat.runs.restarting import TrackRecord
from rheostat.steering.records import Change, Decision, DecisionRecord, Verb
from rheostat_policies import Observation

if TYPE_CHECKING:
    from rheostat.runs.sessions import PolicySession

REMEMBERED_REQUESTS = 10_000
RECENT_DECISIONS = 256
CHECKPOINT_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Upper bounds of the durations of checkpoints, in seconds."""


class LiveRun:
    """One run of this daemon's life, from its creation until it is deleted.

    Views and snapshots are replaced, never changed, so readers take what is there and need no
    lock. Everything happens on the daemon's event loop.
    """

    def __init__(self, view: RunView, token: str = "", record: TrackRecord | None = None) -> None:
        self.view = view
        self.token = token or secrets.token_urlsafe(32)
        """What its trainers prove themselves with."""
        self.record = record or TrackRecord()
        """How its trainers have fared."""
        self.news = Event()
        """Set at the next change, then replaced by a fresh one."""
        self.turn = Event()
        """The same for changes of more than the snapshot."""
        self.watchers = 0
        """How many watch it now."""
        self.recent: deque[DecisionRecord] = deque(maxlen=RECENT_DECISIONS)
        """The newest decisions, so that many watchers need no look at the disk."""
        self.durations = Histogram()
        self.changes: dict[str, int] = {}
        """Number of decisions by source."""
        self.checkpoint: CheckpointInfo | None = None
        """The newest that is known of."""
        self.checkpoints: dict[str, int] = {}
        """Number of attempts to take one, by outcome."""
        self.checkpoint_durations = Histogram(CHECKPOINT_BUCKETS)
        self.unsaved_rows: list[StepRows] = []
        self.next_row = 0
        """The first step whose row is not durable."""
        self._requests: OrderedDict[str, None] = OrderedDict()
        self._forgets_requests = view.revision > 0
        self.policy_durations: dict[str, Histogram] = {}
        """Seconds that answers took, by policy."""
        self.sessions: dict[str, PolicySession] = {}
        """Remote policies that are connected, by name."""
        self.errands = Errands()
        """What its trainer has been asked and has not answered."""
        self.is_put_by = False
        """Whether this daemon has nothing more to do with it, though it has not ended."""
        self.is_only_watched = False
        """Whether this daemon, which does not live long, starts no trainer for it and ends none."""
        self.is_suspending = False
        """Whether its trainer is to end so that the next daemon can go on with the run."""
        self.heard_at = 0.0
        """When its trainer last said something, in seconds of the event loop's clock."""
        self.first_step = 0
        """Where its present trainer began."""
        self.has_stepped = False
        """Whether that one has finished a step of its own."""
        self.failure: Failure | None = None
        """What its present trainer said it died of."""
        self._send: Callable[[Message], None] | None = None
        self._outbox: list[Message] = []
        self._has_told_state = False
        self._has_turned = False
        self._phase_waiters: list[tuple[frozenset[Phase], Future[RunView]]] = []

    @property
    def is_connected(self) -> bool:
        """Whether its trainer is there to be told something."""
        return self._send is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to the run in this daemon's life."""
        return self.is_put_by or self.view.phase.is_final

    @property
    def step(self) -> int:
        """Number of finished steps, as far as anybody here knows."""
        return self.view.snapshot.step if self.view.snapshot else 0

    def update(self, **fields: Any) -> RunView:
        """Replace fields of the view and wake everyone who waits for news.

        A run that is stopping can only end: that it has begun or paused comes too late by then.
        """
        if self.view.phase is Phase.STOPPING and not fields.get("phase", Phase.STOPPING).is_final:
            fields["phase"] = Phase.STOPPING
        self.view = msgspec.structs.replace(self.view, **fields)
        for wanted, waiter in self._phase_waiters:
            if not waiter.done() and (self.view.phase in wanted or self.is_over):
                waiter.set_result(self.view)
        self._phase_waiters = [one for one in self._phase_waiters if not one[1].done()]
        self.news.set()
        self.news = Event()
        if fields.keys() != {"snapshot"}:
            self.turn.set()
            self.turn = Event()
        return self.view

    def see(self, snapshot: Snapshot) -> None:
        """Take the newest snapshot."""
        self.has_stepped = self.has_stepped or snapshot.step > self.first_step
        if not self._has_told_state:
            self._has_told_state = True
            # A policy that came through the daemon before this one is gone with it.
            connected = {policy.name for policy in snapshot.policies if policy.connected}
            for name in sorted(connected - set(self.sessions)):
                self.tell(PolicyVanished(policy=name))
        if self._has_turned:
            self._has_turned = False
            # What was attached since the checkpoint is so no more.
            known = {policy.name for policy in snapshot.policies} | self.errands.attaching()
            for name in set(self.sessions) - known:
                self.hang_up(name)
        self.update(snapshot=snapshot)

    def begin(self, first_step: int) -> None:
        """Note that another trainer is at work.

        Args:
            first_step: where it begins.
        """
        self.first_step = first_step
        self.has_stepped = False
        self.failure = None

    def suspend(self) -> None:
        """Ask the trainer to end so that another daemon can go on with the run."""
        self.is_suspending = True
        self.order(StopCommand())
        self.update()

    def let_go(self) -> None:
        """Let everybody go who waits for the run: it goes on in the next daemon's life."""
        self.is_put_by = True
        self.update()
        self.end_pending()

    async def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the run is to be stopped or put by."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self.is_suspending and self.view.phase is not Phase.STOPPING:
            left = until - loop.time()
            if left <= 0:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), left)

    def count_checkpoint(self, outcome: str) -> None:
        """Count an attempt to take a checkpoint, or to use one."""
        self.checkpoints[outcome] = self.checkpoints.get(outcome, 0) + 1

    async def reach(self, *phases: Phase) -> RunView:
        """Wait until the run is in one of some phases, or over."""
        if self.view.phase in phases or self.is_over:
            return self.view
        waiter: Future[RunView] = asyncio.get_running_loop().create_future()
        self._phase_waiters.append((frozenset(phases), waiter))
        return await waiter

    def connect(self, send: Callable[[Message], None], hello: Hello) -> None:
        """Take the trainer's connection, and tell it everything that it may not know."""
        self._send = send
        self._has_told_state = False
        outbox, self._outbox = self._outbox, []
        for message in (*outbox, *self.errands.unanswered()):
            send(message)
        if self.view.phase is Phase.STOPPING or self.is_suspending:
            send(StopCommand())
        elif hello.is_paused != self.view.is_paused:
            send(PauseCommand() if self.view.is_paused else ResumeCommand())

    def disconnect(self) -> None:
        """Forget the trainer's connection."""
        self._send = None

    def tell(self, message: Message) -> None:
        """Send a message to the trainer, as soon as it is there."""
        if self._send is None:
            self._outbox.append(message)
        else:
            self._send(message)

    def order(self, message: Message) -> None:
        """Send what `connect` would work out by itself for a trainer that is not there."""
        if self._send is not None:
            self._send(message)

    def ask(self, change: Change) -> Errand:
        """Send a change to the trainer, or join the same request that is on its way."""
        errand, is_new = self.errands.ask_for(change)
        if is_new:
            self.order(errand.command)
        return errand

    def command(self, make: Callable[[int], Command]) -> Errand:
        """Send another command to the trainer.

        Args:
            make: makes it, given its number.
        """
        errand = self.errands.ask(make)
        self.order(errand.command)
        return errand

    def hear(self, policy: str, observation: Observation) -> None:
        """Pass an observation on to the remote policy that it is for, if it is still there."""
        if policy in self.sessions:
            self.sessions[policy].tell(observation)

    def time_policies(self, durations: Mapping[str, bytes]) -> None:
        """Take how long policies took for their newest answers."""
        for policy, seconds in durations.items():
            self.policy_durations.setdefault(policy, Histogram()).observe_many(seconds)

    def note(self, record: DecisionRecord) -> None:
        """Take a decision that has been written down."""
        decision = record.decision
        self.recent.append(record)
        self.errands.note(decision)
        if decision.rollback is not None:
            self._turn(decision.rollback.to_step)
        if decision.verb == Verb.DETACH and decision.policy is not None:
            self.hang_up(decision.policy.policy)
        self.changes[decision.source] = self.changes.get(decision.source, 0) + 1
        if decision.request_id:
            self._requests[decision.request_id] = None
            if len(self._requests) > REMEMBERED_REQUESTS:
                self._requests.popitem(last=False)
                self._forgets_requests = True

    def is_new(self, request_id: str) -> bool:
        """Whether no decision can have this request_id, without a look at the disk.

        Only the ids are remembered, and the newest of them: the decisions would be megabytes, and
        whoever asks twice can wait for the disk.
        """
        return request_id not in self._requests and not self._forgets_requests

    def _turn(self, step: int) -> None:
        """Note that the run has gone back to a step."""
        self.next_row = min(self.next_row, step)
        # Progress is now to get beyond it; and what is attached, the next snapshot tells.
        self.record = TrackRecord(reached=min(self.record.reached, step))
        self._has_told_state = False
        self._has_turned = True

    def hang_up(self, policy: str) -> None:
        """End the session of a remote policy, if there is one."""
        if policy in self.sessions:
            self.sessions[policy].close()

    def end_pending(self) -> None:
        """Refuse what the run did not live to do, and let its remote policies go.

        Of one that is put by, nobody knows yet whether its trainer lived to do it.
        """
        for policy in self.sessions:
            self.hang_up(policy)
        name, phase, step = self.view.name, str(self.view.phase), self.step
        if self.is_put_by:
            phase = "is put by"
            self.errands.postpone(f"run {name} {phase} after {step} steps and goes on later")
        self.errands.refuse(f"run {name} {phase} after {step} steps, before that could be done")


def is_answered_by(change: Change, decision: Decision, groups: Sequence[str]) -> bool:
    """Whether a decision can be what a change became, in a run with these groups."""
    wanted = set(change.groups or groups)
    became = (decision.verb, decision.value, decision.edit, decision.policy)
    asked = (change.verb.value, change.value, change.edit, change.policy)
    return became == asked and {group.name for group in decision.groups} == wanted
