"""What must hold between fields: looked at in the document itself.

Pydantic's own model validators run only on sections without any other mistake. These see every
section, so that a spec with two mistakes is told of both at once; where a value is of a wrong type
they leave it to the models.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from rheostat.errors import Violation
from rheostat.spec.groups import PRESETS
from rheostat.spec.models import DataSpec
from rheostat.spec.wording import did_you_mean, written

DEFAULT_GROUP = "default"
"""Name of the group of all parameters that no rule matches."""


def broken_rules(document: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield a violation for each rule between fields that the document breaks."""
    yield from _length(document.get("train"))
    yield from _shares(document.get("train"), document.get("data"))
    yield from _groups(_mappings(document.get("groups")))
    yield from _policies(_mappings(document.get("policies")))
    yield from _bounds(document.get("guardrails"))


def _length(train: Any) -> Iterator[Violation]:
    if not isinstance(train, Mapping):
        return
    given = [key for key in ("steps", "epochs") if train.get(key) is not None]
    if len(given) != 1:
        value = " and ".join(f"{key}={written(train[key])}" for key in given)
        yield Violation("train", value, "give the length of the run as either steps or epochs")


def _shares(train: Any, data: Any) -> Iterator[Violation]:
    """Yield a violation where a batch has not a sample for each process."""
    if not isinstance(train, Mapping) or not (data is None or isinstance(data, Mapping)):
        return
    counts = [train.get(key, 1) for key in ("processes", "nodes")]
    processes = math.prod(one for one in counts if _is_number(one))
    batch_size = (data or {}).get("batch_size", DataSpec.model_fields["batch_size"].default)
    if _is_number(batch_size) and 0 < batch_size < processes:
        expected = f"at least {written(processes)}, a sample for each process of every node"
        yield Violation("data.batch_size", written(batch_size), expected)
    if train.get("parallel") == "fsdp" and train.get("precision") == "float16":
        expected = "bfloat16 with train.parallel: fsdp, whose parts overflow one by one"
        yield Violation("train.precision", "float16", expected)
    least, most = train.get("min_nodes"), train.get("nodes", 1)
    if _is_number(least) and _is_number(most) and least > most:
        expected = f"at most train.nodes, which is {written(most)}"
        yield Violation("train.min_nodes", written(least), expected)


def _groups(groups: list[tuple[int, Mapping[str, Any]]]) -> Iterator[Violation]:
    names: list[Any] = []
    for index, group in groups:
        path = f"groups[{index}]"
        if "preset" in group and group["preset"] not in PRESETS:
            preset = str(group["preset"])
            expected = f"unknown preset, {did_you_mean(preset, PRESETS)}"
            yield Violation(f"{path}.preset", written(group["preset"]), expected)
        tiers = _mappings(group.get("tiers"))
        named = [(path, group), *((f"{path}.tiers[{one}]", tier) for one, tier in tiers)]
        for where, one in named:
            yield from _group_name(f"{where}.name", one.get("name"), names)
        yield from _descending_tiers(path, tiers)
        if group.get("lr") is not None and group.get("lr_scale", 1) != 1:
            value = written(group["lr_scale"])
            yield Violation(f"{path}.lr_scale", value, "either lr or lr_scale, not both")
        optimizer = group.get("optimizer")
        own = optimizer.get("lr") if isinstance(optimizer, Mapping) else None
        if group.get("lr") is not None and own is not None:
            expected = "either the group's lr or its optimizer's, not both"
            yield Violation(f"{path}.optimizer.lr", written(own), expected)


def _group_name(path: str, name: Any, names: list[Any]) -> Iterator[Violation]:
    """Yield what is wrong with a name, and add it to those that are taken."""
    if name == DEFAULT_GROUP:
        expected = "another name; this is the group of what no rule matches"
        yield Violation(path, DEFAULT_GROUP, expected)
    elif isinstance(name, str) and name in names:
        yield Violation(path, name, "a name that no other group has")
    names.append(name)


def _descending_tiers(path: str, tiers: list[tuple[int, Mapping[str, Any]]]) -> Iterator[Violation]:
    before: float = -1
    for index, tier in tiers:
        first = tier.get("first_layer")
        if not _is_number(first):
            continue
        if first <= before:
            expected = f"more than the tier before, whose first layer is {before}"
            yield Violation(f"{path}.tiers[{index}].first_layer", written(first), expected)
        before = first


def _policies(policies: list[tuple[int, Mapping[str, Any]]]) -> Iterator[Violation]:
    names: list[Any] = []
    for index, policy in policies:
        name = policy.get("name")
        if isinstance(name, str) and name in names:
            yield Violation(f"policies[{index}].name", name, "a policy that is not yet in the list")
        names.append(name)


def _bounds(guardrails: Any) -> Iterator[Violation]:
    if not isinstance(guardrails, Mapping):
        return
    low, high = guardrails.get("min_lr"), guardrails.get("max_lr")
    if _is_number(low) and _is_number(high) and low > high:
        yield Violation("guardrails.min_lr", written(low), f"at most max_lr, which is {high}")


def _mappings(entries: Any) -> list[tuple[int, Mapping[str, Any]]]:
    """Return the well-formed entries of a list, each with its index."""
    if not isinstance(entries, list):
        return []
    return [(index, entry) for index, entry in enumerate(entries) if isinstance(entry, Mapping)]


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
