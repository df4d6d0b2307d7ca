"""A run's LR steering: at each step boundary, what the optimizer gets next, and why."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from rheostat.errors import RheostatError
from rheostat.steering.group import Group
from rheostat.steering.guardrails import COOL_DOWN_STEPS
from rheostat.steering.inbox import Inbox
from rheostat.steering.operator import Term
from rheostat.steering.policies import AttachedPolicy, Measurement, Wish
from rheostat.steering.records import Change, Decision, GroupChange, GroupState, Verb
from rheostat.steering.verbs import prepare

_NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change."""

    ticket: int
    """The number it was submitted under."""
    result: Decision | RheostatError


class Steering:
    """The one place where an LR is decided.

    Call `advance` once before every optimizer step, then `submit` for each change that has arrived;
    `learning_rates` then holds what to write. Data of step k and requests that arrive during it act
    at step k + 1.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        policies: Sequence[AttachedPolicy],
        clock: Callable[[], float],
        max_changes_per_minute: int | None = None,
    ) -> None:
        self.groups = tuple(groups)
        self.policies = tuple(policies)
        self.observes = frozenset(name for policy in policies for name in policy.observes)
        """Costly fields of an `Observation` that some policy needs at every step."""
        self.step = -1
        """Index of the step whose LRs are decided; -1 before the first."""
        self.revision = 0
        self.learning_rates: list[float] = [math.nan] * len(self.groups)
        """LR of each group at `step`, in the order of the groups."""
        self.interventions: dict[str, int] = {}
        """Group-steps that each guardrail has bent."""
        self._names = tuple(group.name for group in self.groups)
        self._clock = clock
        self._inbox = Inbox(self._names, max_changes_per_minute)
        self._next_expiry: float = _NEVER
        self._has_begun = False
        self._decisions: list[Decision] = []
        self._outcomes: list[Outcome] = []
        self._next_rates: list[float] = []
        self._is_bent = False
        self._touched_before: tuple[tuple[str, ...], ...] = ((),) * len(self.groups)

    def advance(
        self, step: int, measured: Measurement | None, extras: Sequence[float | None] = ()
    ) -> None:
        """Begin a step: move schedules and ramps, ask the policies, carry out what is due.

        Args:
            step: index of the optimizer step about to run.
            measured: the data of the step before; None when there is none.
            extras: what policies `observe` beyond it, as an `Observation` ends.
        """
        self.step = step
        asks = measured is not None and bool(self.policies)
        if asks:
            used = dict(zip(self._names, self.learning_rates, strict=True))
            base = {group.name: group.base for group in self.groups}
        next_rates, has_moved = [], False
        for group in self.groups:
            if group.touched:
                self._count(group.touched)
            has_moved = has_moved or group.is_moving
            next_rates.append(group.begin(step))
            self._is_bent = self._is_bent or bool(group.touched)
        self._next_rates = next_rates
        if has_moved:
            self._refresh_factors()
        if not self._has_begun:
            self._has_begun = True
            self.learning_rates = next_rates
        if asks and measured is not None:
            for policy in self.policies:
                if (wish := policy.ask(measured, used, base, extras)) is not None:
                    self._follow(policy, wish)
        if step >= self._next_expiry:
            self._expire()
        for ticket, change in self._inbox.due(step):
            self._outcomes.append(Outcome(ticket, self._attempt(change)))

    def submit(self, ticket: int, change: Change) -> None:
        """Carry out a change at the step begun, or keep it until its `at_step`.

        The outcome comes with `settle` of the step that it acts on.
        """
        try:
            self._inbox.check(change, self.revision)
        except RheostatError as error:
            self._outcomes.append(Outcome(ticket, error))
            return
        if change.at_step is not None and change.at_step > self.step and not change.dry_run:
            self._inbox.keep(ticket, change, change.at_step)
        else:
            self._outcomes.append(Outcome(ticket, self._attempt(change)))

    def settle(self) -> tuple[list[Decision], list[Outcome]]:
        """End the boundary: fix the LRs of the step and return what was decided since the last."""
        if self._is_bent or self._decisions:
            self._watch_guardrails()
        decisions, outcomes = self._decisions, self._outcomes
        if decisions or outcomes:
            self._decisions, self._outcomes = [], []
            self._next_rates = [group.learning_rate for group in self.groups]
        self.learning_rates = self._next_rates
        return decisions, outcomes

    def states(self) -> tuple[GroupState, ...]:
        """Return the components of every group's LR at the step begun."""
        return tuple(group.state() for group in self.groups)

    def revisions_in_force(self) -> tuple[int, ...]:
        """Return the decisions that still act on some group's LR, oldest first."""
        acting: set[int] = set()
        for group in self.groups:
            acting |= group.operator.revisions()
            acting |= {
                revision
                for policy, revision in group.factor_revisions.items()
                if group.factors[policy] != 1.0
            }
        return tuple(sorted(acting))

    def _attempt(self, change: Change) -> Decision | RheostatError:
        """Carry out a change now, for all its groups or for none; a dry run on copies of them."""
        groups = [
            group for group in self.groups if not change.groups or group.name in change.groups
        ]
        if change.dry_run:
            groups = copy.deepcopy(groups)
        revision, now = self.revision + 1, self._clock()
        try:
            self._inbox.admit(change, groups, self.step, now)
            ready = [prepare(change, group, self.step, revision) for group in groups]
        except RheostatError as error:
            return error
        for group, one in zip(groups, ready, strict=True):
            one.apply()
            group.move_to(self.step)
            group.compose()
        bent = {group.name: one.bent for group, one in zip(groups, ready, strict=True)}
        decision = Decision(
            revision=revision,
            applied_step=self.step,
            source="operator",
            groups=self._describe(groups, bent),
            verb=change.verb.value,
            value=change.value,
            principal=change.principal,
            reason=change.reason,
            request_id=change.request_id,
            time=now,
            requested_at=change.requested_at,
        )
        if change.dry_run:
            return decision
        for group, one in zip(groups, ready, strict=True):
            group.changed_at = self.step
            self._count(one.bent)
        self._schedule_expiry()
        self._inbox.note(now)
        return self._record(decision)

    def _refresh_factors(self) -> None:
        """Show each policy where its factors are now."""
        for policy in self.policies:
            policy.factors = {group.name: group.factors[policy.name] for group in self.groups}

    def _count(self, rules: Sequence[str]) -> None:
        for rule in rules:
            self.interventions[rule] = self.interventions.get(rule, 0) + 1

    def _follow(self, policy: AttachedPolicy, wish: Wish) -> None:
        revision = self.revision + 1
        groups = []
        for group in self.groups:
            if group.name not in wish.factors:
                continue
            if self.step < group.cool_at():
                self._count((COOL_DOWN_STEPS,))
                continue
            group.aim(policy.name, wish.factors[group.name], wish.ramp_steps, self.step, revision)
            group.compose()
            group.changed_at = self.step
            groups.append(group)
        if not groups:
            return
        self._refresh_factors()
        values = {wish.factors[group.name] for group in groups}
        value = values.pop() if len(values) == 1 else None
        self._decide(groups, f"policy:{policy.name}", value=value, reason=wish.reason)

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

    def _watch_guardrails(self) -> None:
        """Notice that guardrails bend the LRs otherwise than at the step before."""
        touched = tuple(group.touched for group in self.groups)
        if touched != self._touched_before and not self._decisions:
            self._record_guardrails()
        self._touched_before = touched
        self._is_bent = any(touched)

    def _record_guardrails(self) -> None:
        """Record that a guardrail began or ceased to bend an LR that nobody else changed."""
        changed = [
            group
            for group, before in zip(self.groups, self._touched_before, strict=True)
            if group.touched != before
        ]
        acting = sorted({rule for group in changed for rule in group.touched})
        reason = f"bent by {', '.join(acting)}" if acting else "no guardrail binds any more"
        self._decide(changed, "guardrail", reason=reason)

    def _decide(self, groups: Sequence[Group], source: str, **fields: Any) -> Decision:
        """Record what has just been done to some groups."""
        return self._record(
            Decision(
                revision=self.revision + 1,
                applied_step=self.step,
                source=source,
                groups=self._describe(groups),
                time=self._clock(),
                **fields,
            )
        )

    def _describe(
        self, groups: Sequence[Group], bent: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    ) -> tuple[GroupChange, ...]:
        """Describe the way of some groups from the LR they had to the one they have."""
        old = dict(zip(self._names, self.learning_rates, strict=True))
        return tuple(
            group.change_from(old[group.name], bent.get(group.name, ())) for group in groups
        )

    def _record(self, decision: Decision) -> Decision:
        """Keep a decision, and take its LRs as the old ones of the next."""
        new = {change.name: change.new for change in decision.groups}
        # A new list: whoever holds the old one keeps the old LRs.
        self.learning_rates = [
            new.get(name, lr) for name, lr in zip(self._names, self.learning_rates, strict=True)
        ]
        self.revision = decision.revision
        self._decisions.append(decision)
        return decision
