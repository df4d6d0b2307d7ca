"""Steering into plain data and back, to the last bit."""

import json
from typing import Any

from rheostat.errors import FailedPrecondition
from rheostat.spec.schedules import ScheduleSpec
from rheostat.steering.group import Group
from rheostat.steering.memory import (
    GroupMemory,
    OperatorMemory,
    PolicyMemory,
    SegmentMemory,
    SteeringMemory,
)
from rheostat.steering.operator import Operator
from rheostat.steering.policies import Attached, AttachedPolicy
from rheostat.steering.records import Decision, PolicyEdit, RollbackEdit
from rheostat.steering.remote import RemotePolicy
from rheostat.steering.segments import CurveMaker, Segment
from rheostat.steering.steering import Steering
from rheostat_policies import Curve


def remember(steering: Steering) -> SteeringMemory:
    """Return what steering remembers, between `settle` and the next `advance`.

    Raises:
        FailedPrecondition: if the state of a policy is not what JSON takes; names the policy.
    """
    return SteeringMemory(
        step=steering.step,
        steps=steering.steps,
        skipped=steering.course.skipped,
        revision=steering.revision,
        learning_rates=tuple(steering.learning_rates),
        groups=tuple(_remember_group(group) for group in steering.groups),
        policies=tuple(_remember_policy(policy) for policy in steering.roster.policies),
        change_times=steering.inbox.pace.memory(),
        interventions=dict(steering.watch.interventions),
        is_bent=steering.watch.is_bent,
        touched_before=steering.watch.touched_before,
    )


def recall(steering: Steering, memory: SteeringMemory) -> None:
    """Bring steering to where a memory was taken.

    Args:
        steering: made from the same spec; wherever it stands.
        memory: of another one, or its own of some steps ago.

    Raises:
        InvalidRequest, InvalidSpec: if a policy or schedule that was added to the run cannot be
            made any more.
        FailedPrecondition: if there are other groups.
    """
    names = [group.name for group in steering.groups]
    known = [group.name for group in memory.groups]
    if names != known:
        raise FailedPrecondition(
            f"the checkpoint is of a run with groups {', '.join(known)}, and this one has "
            f"{', '.join(names)}"
        )
    roster = steering.roster
    by_name = {policy.name: policy for policy in roster.own}
    roster.policies = tuple(_recall_policy(one, steering, by_name) for one in memory.policies)
    for group, one in zip(steering.groups, memory.groups, strict=True):
        _recall_group(group, one, steering.own_curves[group.name], steering.make_curve)
    course = steering.course
    course.step, course.steps, course.skipped = memory.step, memory.steps, memory.skipped
    steering.ledger.revision = memory.revision
    steering.ledger.learning_rates = list(memory.learning_rates)
    steering.inbox.pace.recall(memory.change_times)
    steering.watch.interventions = dict(memory.interventions)
    steering.watch.is_bent = memory.is_bent
    steering.watch.touched_before = memory.touched_before
    steering.resume()


def begin_anew(steering: Steering, memory: SteeringMemory) -> None:
    """Let freshly built steering begin where a memory was taken, with nothing of it but its place
    in the history and in the data.

    The first decision it makes follows the newest one of the memory.
    """
    steering.ledger.revision = memory.revision
    steering.course.skipped = memory.skipped


def roll_back(
    steering: Steering, memory: SteeringMemory, edit: RollbackEdit, **asked: Any
) -> Decision:
    """Bring steering back to where a memory of it was taken, and record that.

    Revisions are counted on. To be called at a settled boundary of a run that is live.

    Args:
        steering: of the run.
        memory: of its own.
        edit: what is recorded of the way back.
        asked: who asked and why, as fields of a `Decision`.

    Raises:
        RheostatError: as `recall`.
    """
    revision, learning_rates = steering.revision, steering.learning_rates
    recall(steering, memory)
    steering.ledger.revision, steering.ledger.learning_rates = revision, learning_rates
    steering.ledger.script.finish()
    return steering.turn(edit, **asked)


def policy_state(steering: Steering, name: str) -> str:
    """Return the state of a policy that runs inside the trainer, as JSON.

    Raises:
        FailedPrecondition: if it is not what JSON takes.
    """
    policy = steering.roster.inside(name)
    return "" if policy is None else _as_json(policy)


def _remember_group(group: Group) -> GroupMemory:
    segment, operator = group.segment, group.operator
    schedule = segment.schedule
    return GroupMemory(
        name=group.name,
        segment=SegmentMemory(
            schedule=None if schedule is None else schedule.model_dump(mode="json"),
            steps=segment.steps,
            origin=segment.origin,
            level=segment.level,
            reference=segment.reference,
            rewarmings=segment.rewarmings,
            since=segment.since,
            revisions=segment.revisions,
        ),
        operator=OperatorMemory(
            settled=operator.settled,
            settled_revisions=tuple(operator.settled_revisions),
            terms=tuple(operator.terms),
            hold=operator.hold,
            value=operator.value,
            is_moving=operator.is_moving,
        ),
        factors=dict(group.factors),
        shadows=tuple(sorted(group.shadows)),
        leaving=tuple(sorted(group.leaving)),
        factor_motions=dict(group.factor_motions),
        factor_revisions=dict(group.factor_revisions),
        gain=group.gain,
        is_moving=group.is_moving,
        base=group.base,
        learning_rate=group.learning_rate,
        momentum=group.momentum,
        touched=group.touched,
        previous=group.previous,
        changed_at=group.changed_at,
        guardrails=group.guardrails.memory(),
    )


def _recall_group(group: Group, memory: GroupMemory, curve: Curve, make_curve: CurveMaker) -> None:
    kept = memory.segment
    schedule = None if kept.schedule is None else ScheduleSpec.model_validate(kept.schedule)
    if kept.steps is not None:
        curve = make_curve(group.name, schedule, kept.steps)
    segment = Segment(
        curve=curve,
        schedule=schedule,
        steps=kept.steps,
        origin=kept.origin,
        level=kept.level,
        reference=kept.reference,
        rewarmings=kept.rewarmings,
        since=kept.since,
        revisions=kept.revisions,
    )
    group.segment, group.curve = segment, segment.as_curve()
    _recall_operator(group.operator, memory.operator)
    group.factors = dict(memory.factors)
    group.shadows, group.leaving = set(memory.shadows), set(memory.leaving)
    group.factor_motions = dict(memory.factor_motions)
    group.factor_revisions = dict(memory.factor_revisions)
    group.gain, group.is_moving = memory.gain, memory.is_moving
    group.base, group.learning_rate = memory.base, memory.learning_rate
    group.momentum, group.touched = memory.momentum, memory.touched
    group.previous, group.changed_at = memory.previous, memory.changed_at
    group.guardrails.recall(memory.guardrails)


def _recall_operator(operator: Operator, memory: OperatorMemory) -> None:
    operator.settled = memory.settled
    operator.settled_revisions.clear()
    operator.settled_revisions.extend(memory.settled_revisions)
    operator.terms = list(memory.terms)
    operator.hold = memory.hold
    operator.value, operator.is_moving = memory.value, memory.is_moving


def _remember_policy(policy: Attached) -> PolicyMemory:
    record = policy.record
    remote = policy if isinstance(policy, RemotePolicy) else None
    inside = policy if isinstance(policy, AttachedPolicy) else None
    return PolicyMemory(
        name=policy.name,
        edit=None if inside is None else inside.edit,
        remote=None if remote is None else remote.terms,
        is_shadow=policy.is_shadow,
        factors=dict(policy.factors),
        state="" if inside is None else _as_json(inside),
        is_connected=remote is None or remote.is_connected,
        relaxes_at=policy.relaxes_at,
        outcomes=dict(record.outcomes),
        last_failure=record.last_failure,
        is_benched=record.is_benched,
        is_told_benched=record.is_told_benched,
        in_a_row=record.in_a_row,
        probe=None if inside is None else inside.probe,
    )


def _as_json(policy: AttachedPolicy) -> str:
    """Return a policy's state as text: whatever it does with the state later, this stays."""
    try:
        return json.dumps(policy.state)
    except (TypeError, ValueError) as error:
        raise FailedPrecondition(
            f"the state of policy {policy.name} is not what json.dumps takes, so it cannot be "
            f"kept: {error}"
        ) from error


def _recall_policy(
    memory: PolicyMemory, steering: Steering, by_name: dict[str, Attached]
) -> Attached:
    if memory.remote is not None:
        policy = steering.roster.make(PolicyEdit(policy=memory.name, remote=memory.remote))
    elif memory.edit is not None:
        policy = steering.roster.make(memory.edit)
    else:
        policy = by_name[memory.name]
    policy.is_shadow = memory.is_shadow
    policy.factors = dict(memory.factors)
    policy.relaxes_at = memory.relaxes_at
    if isinstance(policy, RemotePolicy):
        policy.is_connected = memory.is_connected
    elif isinstance(policy, AttachedPolicy):
        policy.state, policy.probe = json.loads(memory.state), memory.probe
    record = policy.record
    record.outcomes = dict(memory.outcomes)
    record.last_failure = memory.last_failure
    record.is_benched, record.is_told_benched = memory.is_benched, memory.is_told_benched
    record.in_a_row = memory.in_a_row
    return policy
