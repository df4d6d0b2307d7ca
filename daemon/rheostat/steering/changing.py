"""What operators ask for, carried out for all the groups it is for or for none."""

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress

from rheostat.errors import FailedPrecondition, InvalidRequest, RheostatError, Violation
from rheostat.steering.course import Course
from rheostat.steering.following import Following
from rheostat.steering.group import Group
from rheostat.steering.inbox import Inbox
from rheostat.steering.ledger import Ledger
from rheostat.steering.records import POLICY_VERBS, Change, Decision, Verb
from rheostat.steering.roster import Roster
from rheostat.steering.script import OPERATOR, change_of
from rheostat.steering.segments import CurveMaker
from rheostat.steering.verbs import Prepared, prepare
from rheostat.steering.watching import GuardrailWatch


class Changing:
    """Carries out changes at the step begun."""

    def __init__(
        self,
        groups: Sequence[Group],
        roster: Roster,
        ledger: Ledger,
        watch: GuardrailWatch,
        course: Course,
        following: Following,
        inbox: Inbox,
        make_curve: CurveMaker,
    ) -> None:
        self._groups = groups
        self._roster = roster
        self._ledger = ledger
        self._watch = watch
        self._course = course
        self._following = following
        self._inbox = inbox
        self._make_curve = make_curve

    def rehearse(self, change: Change) -> None:
        """Refuse now what could never be; what cannot be now may be possible then.

        Raises:
            RheostatError: saying why.
        """
        with suppress(FailedPrecondition):
            self._prepare(change, self._meant(change))

    def attempt(self, change: Change) -> Decision | RheostatError:
        """Carry out a change now, for all its groups or for none; a dry run on copies of them."""
        groups = self._meant(change)
        if change.dry_run:
            groups = copy.deepcopy(groups)
        try:
            self._inbox.admit(change, groups, self._course.step, self._ledger.now())
            return self._carry_out(change, groups)
        except RheostatError as error:
            return error

    def add(self, change: Change) -> Decision | RheostatError:
        """Carry out a change that belongs to something else, and need not wait its turn."""
        try:
            return self._carry_out(change, self._meant(change))
        except RheostatError as error:
            return error

    def redo(self, told: Decision) -> None:
        """Carry out again what an operator had asked for and got.

        Raises:
            RheostatError: if that cannot be any more, saying why.
        """
        change = change_of(told)
        groups = self._meant(change)
        if change.verb is Verb.ENGAGE and change.policy is not None:
            # What a policy in shadow had answered over the network is written down nowhere else.
            for group, had in zip(groups, told.groups, strict=True):
                group.factors[change.policy.policy] = had.factors[change.policy.policy]
        self._carry_out(change, groups)

    def _meant(self, change: Change) -> list[Group]:
        return [one for one in self._groups if not change.groups or one.name in change.groups]

    def _carry_out(self, change: Change, groups: Sequence[Group]) -> Decision:
        step, now = self._course.step, self._ledger.now()
        commit, ready = self._prepare(change, groups)
        for group, one in zip(groups, ready, strict=True):
            one.apply()
            group.move_to(step)
            group.compose()
        bent = {group.name: one.bent for group, one in zip(groups, ready, strict=True)}
        decision = Decision(
            revision=self._ledger.revision + 1,
            applied_step=step,
            source=OPERATOR,
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
            steps=change.steps,
            expires_after_steps=change.expires_after_steps,
        )
        if change.dry_run:
            return decision
        commit()
        for group, one in zip(groups, ready, strict=True):
            if change.verb not in POLICY_VERBS:
                group.changed_at = step
            self._watch.count(one.bent)
        self._following.show_factors(self._roster.policies)
        self._inbox.note(now)
        return self._ledger.record(decision)

    def _prepare(
        self, change: Change, groups: Sequence[Group]
    ) -> tuple[Callable[[], None], list[Prepared]]:
        """Work out what a change does to the run as a whole and to each group."""
        steps, commit = self._course.steps, _nothing
        if change.verb is Verb.HORIZON:
            commit = self._prepare_horizon(change)
        elif change.policy is not None:
            commit = self._roster.prepare(change.verb, change.policy)
        ready = [
            prepare(
                change,
                group,
                step=self._course.step,
                steps=steps,
                revision=self._ledger.revision + 1,
                make_curve=self._make_curve,
            )
            for group in groups
        ]
        return commit, ready

    def _prepare_horizon(self, change: Change) -> Callable[[], None]:
        assert change.edit is not None
        assert change.edit.steps is not None
        steps, course = change.edit.steps, self._course
        if steps <= course.step:
            done = course.step
            expected = f"more than the {done} steps that are done; to end the run now, stop it"
            raise InvalidRequest([Violation("steps", str(steps), expected)])
        if change.at_step is not None and steps <= change.at_step:
            expected = f"more than the {change.at_step} steps that are done by at_step"
            raise InvalidRequest([Violation("steps", str(steps), expected)])
        return lambda: setattr(course, "steps", steps)


def _nothing() -> None:
    """Commit a change that is done once its groups have followed it."""
