"""Going back to a checkpoint within a living run."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rheostat.errors import FailedPrecondition, RheostatError
from rheostat.runs.messages import Applied, Message, RollbackCommand, Warned
from rheostat.steering.policies import Wish
from rheostat.steering.records import Change, Decision, RollbackEdit, ScheduleEdit, Verb
from rheostat.steering.remembering import policy_state, roll_back
from rheostat.trainer.building import Parts
from rheostat.trainer.checkpoints.restoring import (
    generators_of,
    progress_of,
    restore_tensors,
    steering_of,
)
from rheostat.trainer.checkpoints.saver import Saver
from rheostat.trainer.checkpoints.state import State
from rheostat.trainer.generators import recall_generators
from rheostat.trainer.progress import Progress
from rheostat.trainer.ranks import Ranks
from rheostat.trainer.refusals import refusal

UNRESTORED = "unrestored"
"""Outcome of an answer that wanted to go back where that could not be done."""

Equip = Callable[[State], None]


class Returning:
    """Brings a run back, all but its history.

    Every method is for a settled boundary of which everything is told, and leaves one to settle
    again, at another step.

    Args:
        parts: of the run.
        progress: of the run; changed in place.
        saver: of its checkpoints; None where none are taken.
        ranks: the processes that train it.
        equip: makes what looks at the training anew, for a state.
    """

    def __init__(
        self,
        parts: Parts,
        progress: Progress,
        saver: Saver | None,
        ranks: Ranks,
        equip: Equip,
    ) -> None:
        self._parts = parts
        self._progress = progress
        self._saver = saver
        self._ranks = ranks
        self._equip = equip

    def obey(self, command: RollbackCommand) -> list[Message]:
        """Go back as an operator wants it, and return the answer."""
        step, back = command.step, command.back_steps
        until = step if back is None else self._progress.step - back
        state = None if self._saver is None else self._saver.find(until)
        if state is None:
            which = "" if until is None else f" of step {until} or before"
            error = FailedPrecondition(f"the run has no good checkpoint{which} to go back to")
            return [refusal(command.command_id, error)]
        edit = self._edit(state, command.skip)
        decision = self._go_back(
            state,
            edit,
            principal=command.principal,
            reason=command.reason,
            request_id=command.request_id,
            requested_at=command.requested_at,
        )
        refused = self._parts.steering.add(changes_after(command, decision))
        # Last of all: whatever was made just now may have drawn from them.
        recall_generators(generators_of(state))
        warnings = [Warned(text=f"the run went back, and then: {one}") for one in refused]
        return [Applied(command_id=command.command_id, decision=decision), *warnings]

    def follow(self, policy: str, wish: Wish, *, bad_batches: int = 0) -> str:
        """Go back as a policy wants it, and let its factor act there; here if it cannot be done.

        Args:
            policy: its name.
            wish: that of it.
            bad_batches: batches of steps that were begun and not finished.

        Returns:
            Why it could not be done; empty where it was.
        """
        steering, restore = self._parts.steering, wish.restore
        assert restore is not None
        until = self._progress.step - restore.back_steps
        saver = self._saver
        state = None if saver is None else saver.find(until, else_oldest=True, repeatable=True)
        problem = ""
        if state is None:
            problem = "there is no good checkpoint to go back to"
        else:
            try:
                kept = policy_state(steering, policy)
            except RheostatError as error:
                problem = str(error)
        if state is not None and not problem:
            seen = self._progress.step + steering.course.skipped + bad_batches
            skip = seen - state.step - steering_of(state).skipped + restore.skip_beyond
            edit = self._edit(state, skip, policy=policy, kept=kept)
            self._go_back(state, edit, reason=wish.reason)
        elif (known := steering.roster.inside(policy)) is not None:
            outcomes = known.record.outcomes
            outcomes[UNRESTORED] = outcomes.get(UNRESTORED, 0) + 1
            known.record.last_failure = problem
        steering.follow_policy(policy, replace(wish, restore=None))
        if state is not None and not problem:
            recall_generators(generators_of(state))
        return problem

    def _edit(self, state: State, skip: int, policy: str = "", kept: str = "") -> RollbackEdit:
        return RollbackEdit(
            from_step=self._progress.step,
            to_step=state.step,
            to_revision=state.revision,
            steps=steering_of(state).steps,
            skip=skip,
            policy=policy,
            state=kept,
        )

    def _go_back(self, state: State, edit: RollbackEdit, **asked: Any) -> Decision:
        assert self._saver is not None
        parts, progress = self._parts, self._progress
        restore_tensors(parts, state)
        self._ranks.spread(state)
        before = progress_of(state)
        for name in before.__struct_fields__:
            setattr(progress, name, getattr(before, name))
        decision = roll_back(parts.steering, steering_of(state), edit, **asked)
        self._saver.go_back(edit.to_step, decision.revision)
        self._equip(state)
        return decision


def changes_after(command: RollbackCommand, decision: Decision) -> list[Change]:
    """Return what is to be done to the LR after it."""
    told = f"after rollback {decision.revision}"
    asked: Any = {"principal": command.principal, "requested_at": command.requested_at}
    changes = []
    if command.scale is not None:
        changes.append(Change(verb=Verb.SCALE, value=command.scale, reason=told, **asked))
    if command.rewarm_steps:
        edit = ScheduleEdit(steps=command.rewarm_steps)
        changes.append(Change(verb=Verb.REWARM, edit=edit, reason=told, **asked))
    return changes
