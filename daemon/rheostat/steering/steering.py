"""A run's LR steering: at each step boundary, what the optimizer gets next, and why."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rheostat.errors import RheostatError
from rheostat.steering.changing import Changing
from rheostat.steering.course import Course
from rheostat.steering.following import Following
from rheostat.steering.group import Group
from rheostat.steering.inbox import Inbox
from rheostat.steering.ledger import Ledger
from rheostat.steering.operator import Term
from rheostat.steering.policies import CHANGED, Attached, Extras, Measurement, Wish
from rheostat.steering.records import (
    Change,
    Components,
    Decision,
    GroupState,
    RollbackEdit,
    Verb,
)
from rheostat.steering.roster import PolicyMaker, Roster
from rheostat.steering.script import GUARDRAIL, OPERATOR, ROLLBACK, Script
from rheostat.steering.segments import CurveMaker
from rheostat.steering.watching import GuardrailWatch
from rheostat_policies import Action

_NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change."""

    ticket: int
    """The number it was submitted under."""
    result: Decision | RheostatError | None
    """None where it waits for its `at_step`; what it becomes is another outcome, later."""


class Steering:
    """The one place where an LR is decided.

    Call `advance` once before every optimizer step, then `submit` for each change and `answer` for
    each remote policy's answer that has arrived; after `settle`, `learning_rates` holds what to
    write. Data of step k and requests that arrive during it act at step k + 1.

    Args:
        groups: in the order of the optimizer's.
        policies: those of the spec.
        clock: seconds since the epoch.
        steps: planned optimizer steps.
        make_curve: makes the curve of a group for a schedule edit.
        make_policy: makes a policy that is attached while the run trains.
        max_changes_per_minute: of operators; None is any number.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        policies: Sequence[Attached],
        clock: Callable[[], float],
        *,
        steps: int,
        make_curve: CurveMaker,
        make_policy: PolicyMaker,
        max_changes_per_minute: int | None = None,
    ) -> None:
        self.groups = tuple(groups)
        self.course = Course(steps)
        names = tuple(group.name for group in self.groups)
        self.roster = Roster(policies, names, make_policy)
        self.bases: list[float] = [math.nan] * len(names)
        """The schedule's LR of each group at `step`."""
        self.components: Components | None = None
        """How the LRs come about; the same object while nothing but the schedule moves them."""
        self.moves_momentum = False
        """Whether some schedule moves a momentum."""
        self.ledger = Ledger(names, clock)
        self.inbox = Inbox(names, max_changes_per_minute)
        self.watch = GuardrailWatch(self.groups, self.ledger)
        parts = (self.groups, self.roster, self.ledger, self.watch, self.course)
        self._following = Following(*parts)
        self._changing = Changing(*parts, self._following, self.inbox, make_curve)
        self.make_curve = make_curve
        self.own_curves = {group.name: group.curve for group in self.groups}
        """Those of the spec, by group."""
        self._names = names
        self._outcomes: list[Outcome] = []
        self._next_rates: list[float] = []
        self._next_expiry: float = _NEVER
        self._has_begun = False
        for group in self.groups:
            for policy in policies:
                group.admit(policy.name, policy.is_shadow, revision=0)
        self._look_ahead()

    @property
    def step(self) -> int:
        """Index of the step whose LRs are decided; -1 before the first."""
        return self.course.step

    @property
    def steps(self) -> int:
        """Planned optimizer steps; a `horizon` changes it."""
        return self.course.steps

    @property
    def learning_rates(self) -> list[float]:
        """LR of each group at `step`, in the order of the groups."""
        return self.ledger.learning_rates

    @learning_rates.setter
    def learning_rates(self, learning_rates: list[float]) -> None:
        self.ledger.learning_rates = learning_rates

    @property
    def revision(self) -> int:
        """Revision of the newest decision; 0 before the first."""
        return self.ledger.revision

    @property
    def interventions(self) -> dict[str, int]:
        """Group-steps that each guardrail has bent."""
        return self.watch.interventions

    @property
    def awaits_something(self) -> bool:
        """Whether some change waits for its step, or some override for its end."""
        return self._next_expiry < _NEVER or self.inbox.is_waiting

    def follow(self, script: Script) -> None:
        """Let nothing be decided but what stands in a script, in the steps that it covers.

        Raises:
            RheostatError: if what stands there of the step begun cannot be done again.
        """
        self.ledger.script = script
        if self.step >= 0:
            self._redo()

    def is_live(self) -> bool:
        """Whether something new may be decided at the step begun."""
        return not self.ledger.script.covers(self.course.step)

    def advance(
        self,
        step: int,
        measured: Measurement | None,
        extras: Extras = (),
        acted: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        """Begin a step: move schedules and ramps, ask the policies, carry out what is due.

        Args:
            step: index of the optimizer step about to run.
            measured: the data of the step before, or of an earlier one; None when there is none.
            extras: what policies `observe` beyond it, as an `Observation` ends.
            acted: LRs and bases of the step that `measured` is of; None for the step before.

        Raises:
            RheostatError: if what the script says of this step cannot be done again.
        """
        course = self.course
        course.step = step
        policies = self.roster.policies
        asks = measured is not None and bool(policies)
        if asks:
            lrs, bases_then = (self.ledger.learning_rates, self.bases) if acted is None else acted
            used = dict(zip(self._names, lrs, strict=True))
            base = dict(zip(self._names, bases_then, strict=True))
        next_rates, bases, has_moved = [], [], False
        for group in self.groups:
            if group.touched:
                self.watch.count(group.touched)
            has_moved = has_moved or group.is_moving
            next_rates.append(group.begin(step))
            bases.append(group.base)
            if group.touched:
                self.watch.is_bent = True
        self._next_rates, self.bases, course.has_moved = next_rates, bases, has_moved
        if not self._has_begun:
            self._has_begun = True
            self.ledger.learning_rates = next_rates
        if asks and measured is not None:
            self._following.ask(measured, used, base, extras)
        if has_moved:
            self._following.show_factors(policies)
        if step >= self._next_expiry:
            self._expire()
        for ticket, change in self.inbox.due(step):
            self._attempt(ticket, change)
        if self.ledger.script.covers(step):
            self._redo()

    def submit(self, ticket: int, change: Change) -> None:
        """Carry out a change at the step begun, or keep it until its `at_step`.

        The outcome comes with `settle` of the step that it acts on. Whoever asks again, because the
        one who asked before him is gone, joins what is on its way.
        """
        if self._joins(ticket, change):
            return
        waits = change.at_step is not None and change.at_step > self.step and not change.dry_run
        try:
            self.inbox.check(change, self.revision)
            if waits:
                self._changing.rehearse(change)
        except RheostatError as error:
            self._outcomes.append(Outcome(ticket, error))
            return
        if waits and change.at_step is not None:
            self.inbox.keep(ticket, change, change.at_step)
            self._outcomes.append(Outcome(ticket, None))
        else:
            self._attempt(ticket, change)

    def answer(self, policy: str, step: int, action: Action) -> None:
        """Take a remote policy's answer to the observation of a step; it acts on the step begun.

        An answer from nobody, or one that comes too late, changes nothing.
        """
        self._following.answer(policy, step, action)

    def vanish(self, policy: str) -> None:
        """Note that a remote policy is gone: its factor stays for a while, then relaxes to 1."""
        self._following.vanish(policy)

    def mend(self, measured: Measurement, extras: Extras = ()) -> None:
        """Ask the policies that can mend it about a loss that is not finite, at the step begun.

        What they want is found by `take_wanted`.
        """
        if self.is_live():
            used = dict(zip(self._names, self.ledger.learning_rates, strict=True))
            base = dict(zip(self._names, self.bases, strict=True))
            self._following.mend(measured, used, base, extras)

    def take_wanted(self) -> tuple[str, Wish] | None:
        """Return the policy that wants to go back to a checkpoint, and its wish; None for nobody.

        Its factor is for later, by `follow`.
        """
        wanted, self._following.wanted = self._following.wanted, None
        return wanted

    def follow_policy(self, name: str, wish: Wish) -> None:
        """Let the factors of a policy inside the trainer go where it wants them, at this step."""
        self._following.follow(name, wish)

    def turn(self, edit: RollbackEdit, **asked: Any) -> Decision:
        """Record that the run has gone back to the step begun, and go on as is recorded.

        Args:
            edit: what is recorded.
            asked: who asked and why, as fields of a `Decision`.
        """
        self.course.skipped += edit.skip
        policy = self.roster.inside(edit.policy)
        if policy is not None:
            policy.state = json.loads(edit.state)
            policy.record.answered(CHANGED, 0.0)
        return self.ledger.decide(
            self.step, self.groups, ROLLBACK, verb=ROLLBACK, rollback=edit, **asked
        )

    def add(self, changes: Sequence[Change]) -> list[RheostatError]:
        """Make changes that belong to what was just done, however soon after others they come.

        Returns:
            Why some could not be made.
        """
        results = [self._changing.add(change) for change in changes]
        self._look_ahead()
        return [one for one in results if isinstance(one, RheostatError)]

    def patience(self) -> float:
        """Return the seconds that the step begun may still wait for policies in lockstep."""
        return max((policy.patience for policy in self.roster.remotes), default=0.0)

    def settle(self) -> tuple[list[Decision], list[Outcome]]:
        """End the boundary: fix the LRs of the step and return what was decided since the last."""
        ledger, course = self.ledger, self.course
        if self.watch.is_bent or ledger.decisions:
            self.watch.look(course.step)
        has_decided = bool(ledger.decisions)
        decisions, outcomes = ledger.take(), self._outcomes
        if has_decided or outcomes:
            self._outcomes = []
            self._next_rates = [group.learning_rate for group in self.groups]
            self.bases = [group.base for group in self.groups]
        if has_decided or course.has_moved or self.components is None:
            course.has_moved = False
            self.components = Components(
                revision=self.revision, in_force=self.revisions_in_force(), groups=self.states()
            )
        ledger.learning_rates = self._next_rates
        return decisions, outcomes

    def resume(self) -> None:
        """Take up a boundary that was settled when it was remembered, with everything recalled."""
        self._has_begun = True
        self.components = None
        self._next_rates = [group.learning_rate for group in self.groups]
        self.bases = [group.base for group in self.groups]
        self._look_ahead()

    def states(self) -> tuple[GroupState, ...]:
        """Return the components of every group's LR at the step begun."""
        return tuple(group.state() for group in self.groups)

    def revisions_in_force(self) -> tuple[int, ...]:
        """Return the decisions that still act on some group's LR, oldest first."""
        return tuple(sorted({one for group in self.groups for one in group.revisions()}))

    def _joins(self, ticket: int, change: Change) -> bool:
        """Answer a request that waits already, or was done at this very boundary."""
        asked = change.request_id
        if not asked or change.dry_run:
            return False
        made = next((one for one in self.ledger.decisions if one.request_id == asked), None)
        if made is None and not self.inbox.holds(ticket, change):
            return False
        self._outcomes.append(Outcome(ticket, made))
        return True

    def _attempt(self, ticket: int, change: Change) -> None:
        self._outcomes.append(Outcome(ticket, self._changing.attempt(change)))
        self._look_ahead()

    def _redo(self) -> None:
        """Do what the script says of the step begun and nobody has done by himself."""
        ledger, step = self.ledger, self.step
        while (told := ledger.script.next(self.revision + 1, step)) is not None:
            if told.rollback is not None:
                self._turn_again(told, told.rollback)
            elif told.source == OPERATOR:
                self._changing.redo(told)
                self._look_ahead()
            elif told.source == GUARDRAIL:
                ledger.decisions.clear()
                self.watch.look(step)
            else:
                self._following.redo(told)
            if self.revision < told.revision:
                ledger.script.differ(step, f"decision {told.revision} did not come about")
                ledger.record(told)

    def _turn_again(self, told: Decision, edit: RollbackEdit) -> None:
        """Go on from where the run had gone back to: what was undone is not done at all."""
        if self.revision != edit.to_revision:
            self.ledger.script.differ(self.step, f"revision {self.revision} was reached otherwise")
        self.ledger.revision = told.revision - 1
        self.turn(
            edit,
            principal=told.principal,
            reason=told.reason,
            request_id=told.request_id,
            requested_at=told.requested_at,
        )

    def _look_ahead(self) -> None:
        """See what the schedules and operators that are now in force will want."""
        self.moves_momentum = any(group.curve.momentum for group in self.groups)
        expiries = [group.operator.next_expiry() for group in self.groups]
        self._next_expiry = min((step for step in expiries if step is not None), default=_NEVER)

    def _expire(self) -> None:
        for group in self.groups:
            for wish in group.operator.expire(self.step):
                group.move_to(self.step)
                group.compose()
                verb = wish.verb.value if isinstance(wish, Term) else Verb.HOLD.value
                reason = f"the {verb} of revision {wish.revision} has expired"
                self.ledger.decide(self.step, [group], "expiry", verb=verb, reason=reason)
        self._look_ahead()
