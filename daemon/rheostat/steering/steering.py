"""A run's LR steering: at each step boundary, what the optimizer gets next, and why."""

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from rheostat.errors import FailedPrecondition, InvalidRequest, RheostatError, Violation
from rheostat.steering.group import Group
from rheostat.steering.guardrails import COOL_DOWN_STEPS
from rheostat.steering.inbox import Inbox
from rheostat.steering.ledger import Ledger
from rheostat.steering.operator import Term
from rheostat.steering.policies import Attached, Extras, Measurement, Wish
from rheostat.steering.records import (
    POLICY_VERBS,
    Change,
    Components,
    Decision,
    GroupState,
    Verb,
)
from rheostat.steering.roster import PolicyMaker, Roster
from rheostat.steering.segments import CurveMaker
from rheostat.steering.verbs import Prepared, prepare
from rheostat.steering.watching import GuardrailWatch
from rheostat_policies import Action

_NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change."""

    ticket: int
    """The number it was submitted under."""
    result: Decision | RheostatError


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
        self.steps = steps
        """Planned optimizer steps; a `horizon` changes it."""
        self.step = -1
        """Index of the step whose LRs are decided; -1 before the first."""
        names = tuple(group.name for group in self.groups)
        self.roster = Roster(policies, names, make_policy)
        self.bases: list[float] = [math.nan] * len(names)
        """The schedule's LR of each group at `step`."""
        self.components: Components | None = None
        """How the LRs come about; the same object while nothing but the schedule moves them."""
        self.moves_momentum = any(group.curve.momentum for group in self.groups)
        """Whether some schedule moves a momentum."""
        self._names = names
        self._make_curve = make_curve
        self._ledger = Ledger(names, clock)
        self._inbox = Inbox(names, max_changes_per_minute)
        self._outcomes: list[Outcome] = []
        self._next_rates: list[float] = []
        self._next_expiry: float = _NEVER
        self._has_begun = False
        self._has_moved = False
        self._watch = GuardrailWatch(self.groups, self._ledger)
        for group in self.groups:
            for policy in policies:
                group.admit(policy.name, policy.is_shadow, revision=0)

    @property
    def learning_rates(self) -> list[float]:
        """LR of each group at `step`, in the order of the groups."""
        return self._ledger.learning_rates

    @learning_rates.setter
    def learning_rates(self, learning_rates: list[float]) -> None:
        self._ledger.learning_rates = learning_rates

    @property
    def revision(self) -> int:
        """Revision of the newest decision; 0 before the first."""
        return self._ledger.revision

    @property
    def interventions(self) -> dict[str, int]:
        """Group-steps that each guardrail has bent."""
        return self._watch.interventions

    def advance(self, step: int, measured: Measurement | None, extras: Extras = ()) -> None:
        """Begin a step: move schedules and ramps, ask the policies, carry out what is due.

        Args:
            step: index of the optimizer step about to run.
            measured: the data of the step before; None when there is none.
            extras: what policies `observe` beyond it, as an `Observation` ends.
        """
        self.step = step
        policies = self.roster.policies
        asks = measured is not None and bool(policies)
        if asks:
            used = dict(zip(self._names, self._ledger.learning_rates, strict=True))
            base = dict(zip(self._names, self.bases, strict=True))
        next_rates, bases, has_moved = [], [], False
        for group in self.groups:
            if group.touched:
                self._watch.count(group.touched)
            has_moved = has_moved or group.is_moving
            next_rates.append(group.begin(step))
            bases.append(group.base)
            if group.touched:
                self._watch.is_bent = True
        self._next_rates, self.bases, self._has_moved = next_rates, bases, has_moved
        if not self._has_begun:
            self._has_begun = True
            self._ledger.learning_rates = next_rates
        if asks and measured is not None:
            for policy in policies:
                if (wish := policy.ask(measured, used, base, extras)) is not None:
                    self._follow(policy, wish)
                elif policy.record.is_benched or policy.relaxes_at is not None:
                    self._look_after_policies()
        if has_moved:
            self._show_factors(policies)
        if step >= self._next_expiry:
            self._expire()
        for ticket, change in self._inbox.due(step):
            self._outcomes.append(Outcome(ticket, self._attempt(change)))

    def submit(self, ticket: int, change: Change) -> None:
        """Carry out a change at the step begun, or keep it until its `at_step`.

        The outcome comes with `settle` of the step that it acts on.
        """
        waits = change.at_step is not None and change.at_step > self.step and not change.dry_run
        try:
            self._inbox.check(change, self.revision)
            if waits:
                # To refuse now what could never be; what cannot be now may be possible then.
                with suppress(FailedPrecondition):
                    self._prepare(change, self._meant(change))
        except RheostatError as error:
            self._outcomes.append(Outcome(ticket, error))
            return
        if waits and change.at_step is not None:
            self._inbox.keep(ticket, change, change.at_step)
        else:
            self._outcomes.append(Outcome(ticket, self._attempt(change)))

    def answer(self, policy: str, step: int, action: Action) -> None:
        """Take a remote policy's answer to the observation of a step; it acts on the step begun.

        An answer from nobody, or one that comes too late, changes nothing.
        """
        remote = self.roster.remote(policy)
        if remote is not None and (wish := remote.answer(step, action)) is not None:
            self._follow(remote, wish)

    def vanish(self, policy: str) -> None:
        """Note that a remote policy is gone: its factor stays for a while, then relaxes to 1."""
        remote = self.roster.remote(policy)
        if remote is None or not remote.is_connected:
            return
        remote.vanish(self.step)
        steps = remote.terms.relax_steps
        then = f"relaxes to 1 over {steps} steps from step {remote.relaxes_at} on"
        reason = f"it is gone; its factor {then if steps else 'stays'}"
        self._decide(self.groups, f"policy:{policy}", verb="vanish", reason=reason)
        self._look_after_policies()

    def patience(self) -> float:
        """Return the seconds that the step begun may still wait for policies in lockstep."""
        return max((policy.patience for policy in self.roster.remotes), default=0.0)

    def settle(self) -> tuple[list[Decision], list[Outcome]]:
        """End the boundary: fix the LRs of the step and return what was decided since the last."""
        if self._watch.is_bent or self._ledger.decisions:
            self._watch.look(self.step)
        decisions, outcomes = self._ledger.take(), self._outcomes
        if decisions or outcomes:
            self._outcomes = []
            self._next_rates = [group.learning_rate for group in self.groups]
            self.bases = [group.base for group in self.groups]
        if decisions or self._has_moved or self.components is None:
            self._has_moved = False
            self.components = Components(
                revision=self.revision, in_force=self.revisions_in_force(), groups=self.states()
            )
        self._ledger.learning_rates = self._next_rates
        return decisions, outcomes

    def states(self) -> tuple[GroupState, ...]:
        """Return the components of every group's LR at the step begun."""
        return tuple(group.state() for group in self.groups)

    def revisions_in_force(self) -> tuple[int, ...]:
        """Return the decisions that still act on some group's LR, oldest first."""
        return tuple(sorted({one for group in self.groups for one in group.revisions()}))

    def _meant(self, change: Change) -> list[Group]:
        return [group for group in self.groups if not change.groups or group.name in change.groups]

    def _attempt(self, change: Change) -> Decision | RheostatError:
        """Carry out a change now, for all its groups or for none; a dry run on copies of them."""
        groups = self._meant(change)
        if change.dry_run:
            groups = copy.deepcopy(groups)
        now = self._ledger.now()
        try:
            self._inbox.admit(change, groups, self.step, now)
            commit, ready = self._prepare(change, groups)
        except RheostatError as error:
            return error
        for group, one in zip(groups, ready, strict=True):
            one.apply()
            group.move_to(self.step)
            group.compose()
        bent = {group.name: one.bent for group, one in zip(groups, ready, strict=True)}
        decision = Decision(
            revision=self.revision + 1,
            applied_step=self.step,
            source="operator",
            groups=self._ledger.describe(groups, bent),
            verb=change.verb.value,
            value=change.value,
            principal=change.principal,
            approved_by=change.approved_by,
            reason=change.reason,
            request_id=change.request_id,
            time=now,
            requested_at=change.requested_at,
            edit=change.edit,
            policy=change.policy,
        )
        if change.dry_run:
            return decision
        commit()
        self.moves_momentum = any(group.curve.momentum for group in self.groups)
        for group, one in zip(groups, ready, strict=True):
            if change.verb not in POLICY_VERBS:
                group.changed_at = self.step
            self._watch.count(one.bent)
        self._show_factors(self.roster.policies)
        self._schedule_expiry()
        self._inbox.note(now)
        return self._ledger.record(decision)

    def _prepare(
        self, change: Change, groups: Sequence[Group]
    ) -> tuple[Callable[[], None], list[Prepared]]:
        """Work out what a change does to the run as a whole and to each group."""
        steps, commit = self.steps, _nothing
        if change.verb is Verb.HORIZON:
            commit = self._prepare_horizon(change)
        elif change.policy is not None:
            commit = self.roster.prepare(change.verb, change.policy)
        ready = [
            prepare(
                change,
                group,
                step=self.step,
                steps=steps,
                revision=self.revision + 1,
                make_curve=self._make_curve,
            )
            for group in groups
        ]
        return commit, ready

    def _prepare_horizon(self, change: Change) -> Callable[[], None]:
        assert change.edit is not None
        assert change.edit.steps is not None
        steps = change.edit.steps
        if steps <= self.step:
            expected = f"more than the {self.step} steps that are done; to end the run now, stop it"
            raise InvalidRequest([Violation("steps", str(steps), expected)])
        if change.at_step is not None and steps <= change.at_step:
            expected = f"more than the {change.at_step} steps that are done by at_step"
            raise InvalidRequest([Violation("steps", str(steps), expected)])
        return lambda: setattr(self, "steps", steps)

    def _follow(self, policy: Attached, wish: Wish) -> None:
        """Let a policy's factors go where it wants them; in shadow that changes no LR."""
        groups = []
        for group in self.groups:
            if group.name not in wish.factors:
                continue
            if not policy.is_shadow and self.step < group.cool_at():
                self._watch.count((COOL_DOWN_STEPS,))
                continue
            groups.append(group)
        if not groups:
            return
        self._aim(policy, groups, wish)
        if policy.is_shadow:
            return
        for group in groups:
            group.changed_at = self.step
        values = {wish.factors[group.name] for group in groups}
        value = values.pop() if len(values) == 1 else None
        self._decide(groups, f"policy:{policy.name}", value=value, reason=wish.reason)

    def _aim(self, policy: Attached, groups: Sequence[Group], wish: Wish) -> None:
        """Send a policy's factors of some groups where they are wished."""
        for group in groups:
            revision = self.revision + 1
            group.aim(policy.name, wish.factors[group.name], wish.ramp_steps, self.step, revision)
            group.compose()
        self._show_factors([policy])
        self._has_moved = True

    def _look_after_policies(self) -> None:
        """Record who was benched, and let the factors of who is long gone relax."""
        for policy in self.roster.newly_benched():
            reason = (
                f"benched after offences in a row, the newest: {policy.record.last_failure}; "
                "its factor stays"
            )
            self._decide(self.groups, f"policy:{policy.name}", verb="bench", reason=reason)
        for remote in self.roster.remotes:
            if remote.relaxes_at is not None and self.step >= remote.relaxes_at:
                remote.relaxes_at = None
                home = Wish(dict.fromkeys(self._names, 1.0), remote.terms.relax_steps, "")
                # Whatever cools down: this lets go, and nobody would ask again.
                self._aim(remote, self.groups, home)
                reason = f"it has not come back: to 1 over {home.ramp_steps} steps"
                source = f"policy:{remote.name}"
                self._decide(self.groups, source, verb="relax", value=1.0, reason=reason)

    def _show_factors(self, policies: Sequence[Attached]) -> None:
        """Show some policies where their factors are now."""
        for policy in policies:
            policy.factors = {group.name: group.factors[policy.name] for group in self.groups}

    def _expire(self) -> None:
        for group in self.groups:
            for wish in group.operator.expire(self.step):
                group.move_to(self.step)
                group.compose()
                verb = wish.verb.value if isinstance(wish, Term) else Verb.HOLD.value
                reason = f"the {verb} of revision {wish.revision} has expired"
                self._decide([group], "expiry", verb=verb, reason=reason)
        self._schedule_expiry()

    def _schedule_expiry(self) -> None:
        expiries = [group.operator.next_expiry() for group in self.groups]
        self._next_expiry = min((step for step in expiries if step is not None), default=_NEVER)

    def _decide(self, groups: Sequence[Group], source: str, **fields: object) -> Decision:
        return self._ledger.decide(self.step, groups, source, **fields)


def _nothing() -> None:
    """Commit a change that is done once its groups have followed it."""
