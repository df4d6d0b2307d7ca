"""From the entries of a spec to the param groups of a model."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch import nn

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.groups import GroupEntry, GroupSpec, HeadPreset, Modifier, TiersPreset
from rheostat.spec.rules import DEFAULT_GROUP
from rheostat.trainer.groups.merging import Piece, merge
from rheostat.trainer.groups.modifiers import SUFFIXES, ModifyingEntry, applies, modified
from rheostat.trainer.groups.places import PlacingEntry, make_claims
from rheostat.trainer.groups.records import ParamGroup, Place

Parameters = Mapping[str, nn.Parameter]
Placed = list[tuple[Place, Parameters]]
"""Places in the order their groups are shown in, each with what it got."""

MAX_NAMES_TOLD = 40


def make_groups(model: nn.Module, entries: Sequence[GroupEntry]) -> tuple[ParamGroup, ...]:
    """Put every trainable parameter into exactly one group.

    Rules, `head`, `layer_decay` and `tiers` are asked in order, and the first that wants a
    parameter has it; what none wants is the group `default`, which comes last. Then the other
    presets, in order, change the terms of some, which become groups beside the rest of their
    place; and groups on equal terms become one.

    Raises:
        InvalidSpec: if an entry takes or changes nothing, if `tiers` is there and a parameter is
            in no entry, if two groups have one name, or the model has nothing to train.
    """
    trainable = {name: one for name, one in model.named_parameters() if one.requires_grad}
    if not trainable:
        raise InvalidSpec([Violation("model.name", "", "a model with trainable parameters")])
    placed = _place(trainable, [name for name, _ in model.named_parameters()], entries)
    modifiers = [
        (f"groups[{index}]", entry)
        for index, entry in enumerate(entries)
        if isinstance(entry, Modifier)
    ]
    _refuse(_repeated(place.name for place, _ in placed))
    _refuse(_idle_modifiers(modifiers, placed))
    groups = merge([piece for place, taken in placed for piece in _split(place, taken, modifiers)])
    _refuse(_repeated(group.name for group in groups))
    return groups


def _refuse(violations: Iterable[Violation]) -> None:
    found = list(violations)
    if found:
        raise InvalidSpec(found)


def _place(trainable: Parameters, names: Sequence[str], entries: Sequence[GroupEntry]) -> Placed:
    """Give each parameter to the first entry that wants it, and the rest to `default`."""
    free = dict(trainable)
    placed: Placed = []
    violations: list[Violation] = []
    tiers = None
    for index, entry in enumerate(entries):
        if isinstance(entry, Modifier):
            continue
        path = f"groups[{index}]"
        if isinstance(entry, TiersPreset):
            tiers = path
        try:
            claims = make_claims(entry, path, names)
        except InvalidSpec as error:
            violations += error.violations
            continue
        got: Placed = []
        for claim in claims:
            taken = {name: free.pop(name) for name in claim.names if name in free}
            if taken:
                got.append((claim.place, taken))
        if not got:
            violations.append(_idle(entry, path, trainable, free))
        placed += got
    if tiers is not None and free and not violations:
        expected = (
            f"beside it an entry for each of the other parameters; in no group: {_some(free)}"
        )
        violations.append(Violation(f"{tiers}.preset", "tiers", expected))
    _refuse(violations)
    if free:
        placed.append((Place(name=DEFAULT_GROUP), free))
    return placed


def _idle(entry: PlacingEntry, path: str, trainable: Parameters, free: Parameters) -> Violation:
    """Say why an entry got nothing."""
    if not free:
        why = "an entry further up: those before it take every parameter"
    else:
        why = f"a regular expression that takes at least one parameter (free are: {_some(free, 8)})"
    if isinstance(entry, GroupSpec | HeadPreset):
        return Violation(f"{path}.match", entry.match, why)
    return Violation(f"{path}.preset", entry.preset, why)


def _repeated(names: Iterable[str]) -> Iterator[Violation]:
    for name, count in Counter(names).items():
        if count > 1:
            expected = "names that differ; presets name groups head, layer_0, <group>.no_decay, ..."
            yield Violation("groups", name, expected)


def _idle_modifiers(
    modifiers: Sequence[tuple[str, ModifyingEntry]], placed: Placed
) -> Iterator[Violation]:
    """Yield a violation for each preset that changes nothing or names a group there is not."""
    known = [place.name for place, _ in placed]
    for path, entry in modifiers:
        strangers = [name for name in entry.groups if name not in known]
        for name in strangers:
            expected = f"one of the groups ({', '.join(known)})"
            yield Violation(f"{path}.groups[{entry.groups.index(name)}]", name, expected)
        if not strangers and not any(
            applies(entry, place, name, one)
            for place, taken in placed
            for name, one in taken.items()
        ):
            yield Violation(f"{path}.preset", entry.preset, "a preset that changes some parameter")


def _split(
    place: Place, taken: Parameters, modifiers: Sequence[tuple[str, ModifyingEntry]]
) -> Iterator[Piece]:
    """Yield the parameters of a place by the presets that change them; the unchanged come first."""
    changed_by: dict[tuple[int, ...], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in taken.items():
        changes = tuple(
            index
            for index, (_, entry) in enumerate(modifiers)
            if applies(entry, place, name, parameter)
        )
        changed_by.setdefault(changes, []).append((name, parameter))
    for changes in sorted(changed_by):
        suffix, terms = "", place.terms
        for path, entry in (modifiers[index] for index in changes):
            suffix += f".{SUFFIXES[type(entry)]}"
            terms = modified(terms, entry, path)
        parameters = tuple(changed_by[changes])
        group = ParamGroup(name=place.name + suffix, parameters=parameters, terms=terms)
        yield Piece(place=place, suffix=suffix, group=group)


def _some(names: Parameters, most: int = MAX_NAMES_TOLD) -> str:
    shown = ", ".join(list(names)[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
