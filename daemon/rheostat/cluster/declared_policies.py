"""The policies of a run, as a TrainingRun declares them, and the changes that bring them about.

What is declared of a policy is a state, by its name. A policy of which nothing is said is as the
run's own spec has it: attached, in shadow, or not there.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import Field

from rheostat.cluster.declared import Declared, PluginArgs, Reason
from rheostat.spec.models import PolicySpec
from rheostat.steering.records import Change, Decision, PolicyEdit, PolicyStatus, Verb


class PolicyState(StrEnum):
    """How a policy takes part in a run."""

    ATTACHED = "attached"
    """It decides, and its factor acts."""
    SHADOW = "shadow"
    """It decides without effect."""
    DETACHED = "detached"
    """It is not there."""


class PolicyDeclaration(Declared):
    """What is wanted of one policy."""

    state: PolicyState = Field(
        default=PolicyState.ATTACHED, description="whether it acts, decides in shadow, or is gone"
    )
    args: PluginArgs | None = Field(
        default=None, description="as in a spec; those of spec.run by default, else its own"
    )
    ramp_steps: int = Field(
        default=1, ge=1, description="steps in which its factor goes to 1 when it is detached"
    )
    reason: Reason = ""


class PolicyWish(NamedTuple):
    """What is wanted of one policy, after all that is said of it."""

    state: PolicyState
    args: dict[str, Any]
    ramp_steps: int = 1


def wish_for(
    policy: str, declared: Mapping[str, PolicyDeclaration], own: Mapping[str, PolicySpec]
) -> PolicyWish:
    """Return what is wanted of a policy.

    Args:
        policy: its name.
        declared: what the resource says, by name.
        own: the policies that the run began with, by name.
    """
    spec = own.get(policy)
    args = spec.args if spec is not None else {}
    if policy in declared:
        said = declared[policy]
        return PolicyWish(said.state, args if said.args is None else said.args, said.ramp_steps)
    if spec is None:
        return PolicyWish(PolicyState.DETACHED, args)
    return PolicyWish(PolicyState.SHADOW if spec.shadow else PolicyState.ATTACHED, args)


def new_policy_wishes(
    declared: Mapping[str, PolicyDeclaration],
    before: Mapping[str, PolicyDeclaration],
    own: Mapping[str, PolicySpec],
) -> tuple[dict[str, PolicyWish], set[str]]:
    """Return what is wanted of policies of which something else was wanted before.

    Args:
        declared: what the resource says now.
        before: what it said when it was last carried out.
        own: the policies that the run began with.

    Returns:
        Wishes by name, and the names of those that were attached with other arguments.
    """
    wishes, outdated = {}, set()
    for name in sorted({*declared, *before}):
        now, then = wish_for(name, declared, own), wish_for(name, before, own)
        if (now.state, now.args) == (then.state, then.args):
            continue
        wishes[name] = now
        if now.args != then.args and PolicyState.DETACHED not in (now.state, then.state):
            outdated.add(name)
    return wishes, outdated


def next_policy_changes(
    wishes: Mapping[str, PolicyWish], statuses: Iterable[PolicyStatus], outdated: Iterable[str] = ()
) -> Iterator[Change]:
    """Yield the changes of the next round, at most one for each policy.

    Args:
        wishes: what is wanted, by name; other policies are left alone.
        statuses: how the run's policies stand.
        outdated: names of those that must be attached anew.
    """
    attached = {status.name: status for status in statuses}
    for name, wish in wishes.items():
        status = attached.get(name)
        is_wanted = wish.state is not PolicyState.DETACHED
        in_shadow = wish.state is PolicyState.SHADOW
        if status is None:
            if is_wanted:
                edit = PolicyEdit(policy=name, args=json.dumps(wish.args), shadow=in_shadow)
                yield Change(verb=Verb.ATTACH, policy=edit)
        elif not is_wanted or name in outdated:
            edit = PolicyEdit(policy=name, ramp_steps=wish.ramp_steps)
            yield Change(verb=Verb.DETACH, policy=edit)
        elif status.shadow != in_shadow:
            verb = Verb.SHADOW if in_shadow else Verb.ENGAGE
            yield Change(verb=verb, policy=PolicyEdit(policy=name))


def state_after(decision: Decision) -> PolicyState | None:
    """Return how a policy takes part after a decision about it; None where that did not change."""
    assert decision.policy is not None
    match decision.verb:
        case Verb.ATTACH:
            return PolicyState.SHADOW if decision.policy.shadow else PolicyState.ATTACHED
        case Verb.DETACH:
            return PolicyState.DETACHED
        case Verb.SHADOW:
            return PolicyState.SHADOW
        case Verb.ENGAGE:
            return PolicyState.ATTACHED
        case _:
            return None
