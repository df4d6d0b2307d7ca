"""What rules, `head`, `layer_decay` and `tiers` want: parameters, by name, and on which terms."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.groups import GroupSpec, HeadPreset, LayerDecayPreset, TiersPreset
from rheostat.trainer.groups.layers import BEFORE_THE_FIRST, find_positions
from rheostat.trainer.groups.records import Place, Terms

PlacingEntry = GroupSpec | HeadPreset | LayerDecayPreset | TiersPreset


@dataclass(frozen=True, slots=True)
class Claim:
    """A place and the parameters it wants; it gets those that no earlier claim has."""

    place: Place
    names: tuple[str, ...]


def make_claims(entry: PlacingEntry, path: str, names: Sequence[str]) -> list[Claim]:
    """Return what an entry wants of a model, in the order its groups are shown in.

    Args:
        entry: one of the spec's `groups`.
        path: where it stands in the spec, for errors.
        names: of all parameters of the model, trainable or not.

    Raises:
        InvalidSpec: if the entry does not fit the model's layers.
    """
    match entry:
        case LayerDecayPreset():
            return _layer_decay(entry, path, names)
        case TiersPreset():
            return _tiers(entry, path, names)
        case HeadPreset():
            terms = Terms(
                lr=entry.lr,
                args=entry.args,
                schedule=entry.schedule,
                schedule_path=_schedule_path(entry, path),
            )
            place = Place(name="head", terms=terms)
        case GroupSpec():
            terms = Terms(
                lr=entry.lr,
                lr_scale=entry.lr_scale,
                args=entry.args,
                optimizer=entry.optimizer,
                optimizer_path="optimizer" if entry.optimizer is None else f"{path}.optimizer",
                schedule=entry.schedule,
                schedule_path=_schedule_path(entry, path),
            )
            place = Place(name=entry.name, terms=terms)
    pattern = re.compile(entry.match)
    return [Claim(place, tuple(name for name in names if pattern.search(name)))]


def _schedule_path(entry: GroupSpec | HeadPreset, path: str) -> str:
    return "schedule" if entry.schedule is None else f"{path}.schedule"


def _layer_decay(entry: LayerDecayPreset, path: str, names: Sequence[str]) -> list[Claim]:
    """Claim everything: a group per layer, and the head as the last."""
    positions = find_positions(names, entry, path)
    layers = [
        tuple(name for name in names if positions.get(name) == position)
        for position in sorted(set(positions.values()))
    ]
    head = tuple(name for name in names if name not in positions)
    if head:
        layers.append(head)
    last = len(layers) - 1
    return [
        Claim(
            Place(
                name=f"layer_{layer}",
                terms=Terms(lr_scale=max(entry.min_scale, entry.decay ** (last - layer))),
            ),
            wanted,
        )
        for layer, wanted in enumerate(layers)
    ]


def _tiers(entry: TiersPreset, path: str, names: Sequence[str]) -> list[Claim]:
    """Claim stem, layers and tail, and nothing else."""
    positions = find_positions(names, entry, path)
    starts = [(tier.first_layer,) for tier in entry.tiers]
    ends = [*starts[1:], None]
    _check_every_tier_has_layers(entry, path, set(positions.values()) - {BEFORE_THE_FIRST})
    claims = []
    for index, (tier, start, end) in enumerate(zip(entry.tiers, starts, ends, strict=True)):
        wanted = tuple(
            name
            for name, position in positions.items()
            if (start <= position and (end is None or position < end))
            or (index == 0 and position == BEFORE_THE_FIRST)
        )
        claims.append(Claim(Place(name=tier.name, terms=Terms(lr_scale=tier.lr_scale)), wanted))
    return claims


def _check_every_tier_has_layers(
    entry: TiersPreset, path: str, layers: set[tuple[int, ...]]
) -> None:
    first, last = min(layers)[0], max(layers)[0]
    ends = [*(tier.first_layer for tier in entry.tiers[1:]), last + 1]
    violations = [
        Violation(
            f"{path}.tiers[{index}].first_layer",
            str(tier.first_layer),
            f"the first of some layers of the model, which are {first} to {last}",
        )
        for index, (tier, end) in enumerate(zip(entry.tiers, ends, strict=True))
        if not any(tier.first_layer <= layer[0] < end for layer in layers)
    ]
    if violations:
        raise InvalidSpec(violations)
