"""What a run's history means for its resource: the newest decision, and what others did."""

from collections.abc import Collection, Mapping

import msgspec

from rheostat.cluster.declared_policies import state_after, wish_for
from rheostat.cluster.names import REQUESTS
from rheostat.cluster.reported import Acted
from rheostat.spec.models import PolicySpec
from rheostat.steering.records import Decision, Verb

REMEMBERED_CHANGES = 32
"""Operators' changes that are kept; as many as a run's snapshot names."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A run's history so far, as far as its resource tells it."""

    last: Decision | None = None
    foreign: tuple[Decision, ...] = ()
    """Operators' changes that did not come from the resource, oldest first."""


def request_prefix(uid: str) -> str:
    """Return what every request id begins with that comes from a resource."""
    return f"{REQUESTS}{uid}"


def continued(story: Story, decision: Decision, uid: str) -> Story:
    """Return the story with the next decision of the run.

    Args:
        story: until now.
        decision: the one after it.
        uid: of the resource.
    """
    foreign = story.foreign
    is_ours = decision.request_id.startswith(request_prefix(uid))
    if decision.source == "operator" and not is_ours:
        foreign = (*foreign, decision)[-REMEMBERED_CHANGES:]
    return Story(last=decision, foreign=foreign)


def drift(
    story: Story,
    acted: Acted,
    own: Mapping[str, PolicySpec],
    *,
    seen: int,
    in_force: Collection[int],
) -> Decision | None:
    """Return the newest foreign change that a resource says nothing of; None where there is none.

    Args:
        story: the run's history.
        acted: what the resource said last; changes before that were taken into account.
        own: the policies that the run began with, by name.
        seen: revision up to which `in_force` is known.
        in_force: revisions of the decisions that still act.
    """
    judged: set[str] = set()
    for decision in reversed(story.foreign):
        if decision.policy is not None:
            name = decision.policy.policy
            # Of several changes of a policy only the last says how it takes part now.
            drifts = name not in judged and _moves_policy(decision, acted, own)
            if state_after(decision) is not None:
                judged.add(name)
        else:
            is_acting = decision.revision > seen or decision.revision in in_force
            drifts = _moves_lr(decision, acted, is_acting)
        if drifts:
            return decision
    return None


def _moves_policy(decision: Decision, acted: Acted, own: Mapping[str, PolicySpec]) -> bool:
    assert decision.policy is not None
    name = decision.policy.policy
    if decision.revision <= acted.policy_revisions.get(name, 0):
        return False
    return state_after(decision) not in (None, wish_for(name, acted.policies, own).state)


def _moves_lr(decision: Decision, acted: Acted, is_acting: bool) -> bool:
    if decision.edit is not None:
        return is_acting and decision.revision > acted.schedule_revision
    declared = acted.learning_rate
    for group in decision.groups:
        is_later = decision.revision > acted.revisions.get(group.name, 0)
        is_declared = declared is not None and declared.wish_for(group.name) is not None
        takes_away = decision.verb == Verb.RELEASE and is_declared
        if is_later and (is_acting or takes_away):
            return True
    return False
