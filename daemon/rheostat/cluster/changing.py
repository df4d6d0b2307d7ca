"""From what is declared to the changes that bring it about.

The LR takes no detour on its way: a new value is laid down first, beneath a hold if somebody holds
the group, and then the hold is lifted. So changes come in rounds, each worked out from how the
groups stand after the one before, until none is needed.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from rheostat.cluster.declaration import LearningRateDeclaration, Wish
from rheostat.errors import InvalidRequest, Violation
from rheostat.steering.records import Change, GroupState, Verb

_NOTHING = LearningRateDeclaration()
_RELEASE = Wish(Verb.RELEASE, None)


def new_wishes(
    declared: LearningRateDeclaration | None,
    before: LearningRateDeclaration | None,
    groups: Iterable[str],
) -> dict[str, Wish | None]:
    """Return what is wanted of each group of which something else was wanted before.

    Args:
        declared: what the resource says now.
        before: what it said when it was last carried out.
        groups: names of the run's groups.

    Returns:
        Wishes by group; None is the LR that schedule and policies give.

    Raises:
        InvalidRequest: if a group is named that the run does not have.
    """
    now, then = declared or _NOTHING, before or _NOTHING
    names = list(groups)
    expected = f"one of the run's groups ({', '.join(names)})"
    unknown = [
        Violation(f"spec.learningRate.groups.{name}", "", expected)
        for name in now.groups
        if name not in names
    ]
    if unknown:
        raise InvalidRequest(unknown)
    return {name: now.wish_for(name) for name in names if now.wish_for(name) != then.wish_for(name)}


def next_changes(
    wishes: Mapping[str, Wish | None], groups: Sequence[GroupState], laid: Collection[str] = ()
) -> list[Change]:
    """Return the changes of the next round, one for all groups that need the same.

    Args:
        wishes: what is wanted, by group; other groups are left alone.
        groups: how the groups stand.
        laid: names of the groups whose value was laid down in an earlier round.
    """
    alike: dict[Wish, list[str]] = {}
    for group in groups:
        if group.name not in wishes:
            continue
        step = _next_step(wishes[group.name], group, is_laid=group.name in laid)
        if step is not None:
            alike.setdefault(step, []).append(group.name)
    return [
        Change(verb=step.verb, value=step.value, groups=tuple(names))
        for step, names in alike.items()
    ]


def _next_step(wish: Wish | None, group: GroupState, *, is_laid: bool) -> Wish | None:
    is_held = group.hold is not None
    if wish is None:
        return _RELEASE if is_held or group.operator != 1 else None
    if is_laid or _is_scaled(wish, group):
        return _RELEASE if is_held and wish.verb is not Verb.HOLD else None
    if wish.verb is Verb.HOLD:
        return wish
    if group.operator == 0:
        return _RELEASE  # no factor leads away from 0
    if wish.verb is Verb.SCALE:
        # What operators did so far is one factor, and a scale multiplies it.
        assert wish.value is not None
        return Wish(Verb.SCALE, wish.value / group.operator)
    return wish


def _is_scaled(wish: Wish, group: GroupState) -> bool:
    return (
        wish.verb is Verb.SCALE
        and wish.value is not None
        and math.isclose(group.operator, wish.value, rel_tol=1e-9)
    )
