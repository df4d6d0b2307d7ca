"""What policies want, and how the factors of the groups follow."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rheostat.steering.course import Course
from rheostat.steering.group import Group
from rheostat.steering.guardrails import COOL_DOWN_STEPS
from rheostat.steering.ledger import Ledger
from rheostat.steering.policies import (
    CHANGED,
    Attached,
    AttachedPolicy,
    Conduct,
    Extras,
    Measurement,
    Wish,
)
from rheostat.steering.records import Decision, PolicyWish
from rheostat.steering.remote import RemotePolicy
from rheostat.steering.roster import Roster
from rheostat.steering.script import POLICY_PREFIX
from rheostat.steering.watching import GuardrailWatch
from rheostat_policies import Action


class Following:
    """Asks the policies of a run, and sends each one's factors where it wants them.

    Where the script says what they had decided, they are asked so that they remember what they
    saw, and what they had decided happens.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        roster: Roster,
        ledger: Ledger,
        watch: GuardrailWatch,
        course: Course,
    ) -> None:
        self._groups = groups
        self._roster = roster
        self._ledger = ledger
        self._watch = watch
        self._course = course
        self.wanted: tuple[str, Wish] | None = None
        """The policy that wants to go back, and all of its wish; the first of a boundary."""

    def ask(
        self,
        measured: Measurement,
        learning_rate: Mapping[str, float],
        base: Mapping[str, float],
        extras: Extras,
    ) -> None:
        """Ask every policy, and follow; the arguments are those of `Attached.ask`."""
        is_covered = self._ledger.script.covers(self._course.step)
        for policy in self._roster.policies:
            if is_covered:
                wish = self._ask_again(policy, measured, learning_rate, base, extras)
            else:
                wish = policy.ask(measured, learning_rate, base, extras)
            if wish is not None:
                self._follow(policy, wish)
            elif policy.record.is_benched or policy.relaxes_at is not None:
                self._look_after()

    def mend(
        self,
        measured: Measurement,
        learning_rate: Mapping[str, float],
        base: Mapping[str, float],
        extras: Extras,
    ) -> None:
        """Ask who can mend a loss that is not finite, until one wants to go back."""
        for policy in self._roster.policies:
            if not isinstance(policy, AttachedPolicy) or not policy.mends_non_finite:
                continue
            wish = policy.ask(measured, learning_rate, base, extras)
            if wish is not None and wish.restore is not None and not policy.is_shadow:
                self.wanted = policy.name, wish
                return

    def follow(self, name: str, wish: Wish) -> None:
        """Let the factors of a policy inside the trainer go where it wants them."""
        policy = self._roster.inside(name)
        if policy is not None:
            self._follow(policy, wish)

    def answer(self, policy: str, step: int, action: Action) -> None:
        """Take a remote policy's answer to the observation of a step."""
        remote = self._roster.remote(policy)
        if remote is not None and (wish := remote.answer(step, action)) is not None:
            self._follow(remote, wish)

    def vanish(self, policy: str) -> None:
        """Note that a remote policy is gone: its factor stays for a while, then relaxes to 1."""
        remote = self._roster.remote(policy)
        if remote is None or not remote.is_connected:
            return
        remote.vanish(self._course.step)
        steps = remote.terms.relax_steps
        then = f"relaxes to 1 over {steps} steps from step {remote.relaxes_at} on"
        reason = f"it is gone; its factor {then if steps else 'stays'}"
        self._decide(self._groups, policy, verb="vanish", reason=reason)
        self._look_after()

    def redo(self, told: Decision) -> None:
        """Do again what a remote policy had decided, or what had been decided about it."""
        name = told.source.removeprefix(POLICY_PREFIX)
        remote = self._roster.remote(name)
        if remote is None:
            # A policy inside has been asked, but for what acts as soon as the run has gone back.
            if told.wish is not None:
                self.follow(name, _wish_of(told.wish, told.reason))
            return
        if told.wish is not None:
            remote.record.outcomes[CHANGED] += 1
            self._follow(remote, _wish_of(told.wish, told.reason))
        elif told.verb == "vanish":
            self.vanish(name)
        elif told.verb == "bench":
            remote.record.is_benched = True
            self._look_after()

    def show_factors(self, policies: Sequence[Attached]) -> None:
        """Show some policies where their factors are now."""
        for policy in policies:
            policy.factors = {group.name: group.factors[policy.name] for group in self._groups}

    def _ask_again(
        self,
        policy: Attached,
        measured: Measurement,
        learning_rate: Mapping[str, float],
        base: Mapping[str, float],
        extras: Extras,
    ) -> Wish | None:
        """Ask a policy what it was asked before, and return what it had wanted."""
        script, step = self._ledger.script, self._course.step
        wish = None
        if offence := script.offence(policy.name, measured[0]):
            policy.record.offended(offence.outcome, offence.reason)
        elif not isinstance(policy, RemotePolicy):
            with _untimed(policy.record):
                wish = policy.ask(measured, learning_rate, base, extras)
        told = script.next(self._ledger.revision + 1, step)
        if told is not None and told.source == POLICY_PREFIX + policy.name:
            if told.verb == "bench":
                policy.record.is_benched = True
            if told.wish is None or isinstance(policy, RemotePolicy):
                return None
            had = _wish_of(told.wish, told.reason)
            if wish is None or replace(wish, restore=None) != had:
                script.differ(step, f"policy {policy.name} would decide otherwise")
            return had
        wants = wish is not None and (self._warm(wish) or wish.restore is not None)
        if wants and not policy.is_shadow:
            script.differ(step, f"policy {policy.name} would decide otherwise")
            return None
        return wish

    def _warm(self, wish: Wish) -> list[Group]:
        """Return the groups a wish is for that do not cool down."""
        step = self._course.step
        return [one for one in self._groups if one.name in wish.factors and step >= one.cool_at()]

    def _follow(self, policy: Attached, wish: Wish) -> None:
        """Let a policy's factors go where it wants them; in shadow that changes no LR."""
        if wish.restore is not None and not policy.is_shadow:
            self.wanted = self.wanted or (policy.name, wish)
            return
        step = self._course.step
        groups = []
        for group in self._groups:
            if group.name not in wish.factors:
                continue
            if not policy.is_shadow and step < group.cool_at():
                self._watch.count((COOL_DOWN_STEPS,))
                continue
            groups.append(group)
        if not groups:
            return
        self._aim(policy, groups, wish)
        if policy.is_shadow:
            return
        for group in groups:
            group.changed_at = step
        values = {wish.factors[group.name] for group in groups}
        value = values.pop() if len(values) == 1 else None
        asked = PolicyWish(factors=dict(wish.factors), ramp_steps=wish.ramp_steps)
        self._decide(groups, policy.name, value=value, reason=wish.reason, wish=asked)

    def _aim(self, policy: Attached, groups: Sequence[Group], wish: Wish) -> None:
        """Send a policy's factors of some groups where they are wished."""
        for group in groups:
            revision = self._ledger.revision + 1
            factor = wish.factors[group.name]
            group.aim(policy.name, factor, wish.ramp_steps, self._course.step, revision)
            group.compose()
        self.show_factors([policy])
        self._course.has_moved = True

    def _look_after(self) -> None:
        """Record who was benched, and let the factors of who is long gone relax."""
        for policy in self._roster.newly_benched():
            reason = (
                f"benched after offences in a row, the newest: {policy.record.last_failure}; "
                "its factor stays"
            )
            self._decide(self._groups, policy.name, verb="bench", reason=reason)
        for remote in self._roster.remotes:
            if remote.relaxes_at is not None and self._course.step >= remote.relaxes_at:
                remote.relaxes_at = None
                names = (group.name for group in self._groups)
                home = Wish(dict.fromkeys(names, 1.0), remote.terms.relax_steps, "")
                # Whatever cools down: this lets go, and nobody would ask again.
                self._aim(remote, self._groups, home)
                reason = f"it has not come back: to 1 over {home.ramp_steps} steps"
                self._decide(self._groups, remote.name, verb="relax", value=1.0, reason=reason)

    def _decide(self, groups: Sequence[Group], policy: str, **fields: object) -> None:
        self._ledger.decide(self._course.step, groups, POLICY_PREFIX + policy, **fields)


def _wish_of(wish: PolicyWish, reason: str) -> Wish:
    return Wish(wish.factors, wish.ramp_steps, reason)


@contextmanager
def _untimed(record: Conduct) -> Iterator[None]:
    """Let a policy take its time in the block: by the clock, it is judged once."""
    before, record.slow_after = record.slow_after, math.inf
    try:
        yield
    finally:
        record.slow_after = before
