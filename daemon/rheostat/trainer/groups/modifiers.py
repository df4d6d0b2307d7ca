"""What `no_decay_1d` and `muon_2d` change of the parameters that others have placed."""

import re
from dataclasses import replace

from torch import nn

from rheostat.spec.groups import MuonPreset, NoDecayPreset
from rheostat.trainer.groups.records import Place, Terms

ModifyingEntry = NoDecayPreset | MuonPreset

SUFFIXES: dict[type[ModifyingEntry], str] = {NoDecayPreset: "no_decay", MuonPreset: "muon"}
"""What the name of a group says of the presets that changed it."""


def applies(entry: ModifyingEntry, place: Place, name: str, parameter: nn.Parameter) -> bool:
    """Whether a preset changes the terms of a parameter in its place."""
    if entry.groups and place.name not in entry.groups:
        return False
    match entry:
        case NoDecayPreset():
            is_bias = name.rpartition(".")[2] == "bias"
            is_named = entry.also is not None and re.search(entry.also, name) is not None
            wanted = parameter.ndim <= 1 or is_bias or is_named
            return wanted and place.terms.args.get("weight_decay") != 0
        case MuonPreset():
            is_excluded = entry.exclude is not None and re.search(entry.exclude, name) is not None
            return parameter.ndim == 2 and not is_excluded and place.terms.optimizer is None


def modified(terms: Terms, entry: ModifyingEntry, path: str) -> Terms:
    """Return terms as a preset changes them.

    Args:
        terms: what was said before.
        entry: the preset.
        path: where it stands in the spec, for errors.
    """
    match entry:
        case NoDecayPreset():
            return replace(terms, args={**terms.args, "weight_decay": 0.0})
        case MuonPreset():
            return replace(terms, optimizer=entry.optimizer, optimizer_path=path)
