"""Nested Python values with tensors in them, as JSON and named tensors, and back.

An optimizer's state is such a tree: dictionaries by number, tuples, lists of tensors and nothing.
Every container is tagged, so that all of these come back as what they were. No pickle: what is
none of these kinds is refused.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rheostat.errors import FailedPrecondition

_PLAIN = frozenset({bool, int, float, str, type(None)})


class Unsavable(FailedPrecondition):
    """Something in the run is of a kind that a checkpoint cannot hold; the message names it."""


def flatten(tree: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Return a tree as what JSON takes (NaN and infinities included), and collect its tensors.

    Args:
        tree: of dictionaries with names or numbers for keys, lists, tuples, numbers, texts, None
            and dense tensors.
        path: what it is called; the names of tensors begin with it.
        tensors: takes the tensors by name; they are not copied.

    Raises:
        Unsavable: if there is anything else in it; names the path.
    """
    kind = type(tree)
    if kind in _PLAIN:
        return tree
    if isinstance(tree, Tensor):
        if tree.layout is not torch.strided:
            raise Unsavable(f"{path} is a tensor of layout {tree.layout}; only dense ones are kept")
        tensors[path] = tree.detach() if tree.requires_grad else tree
        return {"tensor": path, "on": "cpu" if tree.device.type == "cpu" else "device"}
    if kind is dict or isinstance(tree, Mapping):
        pairs = []
        for key, one in tree.items():
            if type(key) not in (str, int):
                raise Unsavable(f"{path} has the key {key!r}; only names and numbers are kept")
            is_plain = type(one) in _PLAIN
            pairs.append([key, one if is_plain else flatten(one, f"{path}.{key}", tensors)])
        return {"dict": pairs}
    if kind is list or kind is tuple:
        if _PLAIN.issuperset(map(type, tree)):  # a random generator has 624 numbers
            return {kind.__name__: list(tree)}
        items = [flatten(one, f"{path}.{index}", tensors) for index, one in enumerate(tree)]
        return {kind.__name__: items}
    name = f"{kind.__module__}.{kind.__qualname__}"
    raise Unsavable(f"{path} is a {name}, which is neither a tensor nor plain data")


def unflatten(plain: Any, tensors: Mapping[str, Tensor], device: torch.device) -> Any:
    """Return the tree that `flatten` was given.

    Args:
        plain: what it returned.
        tensors: what it collected.
        device: where those go that were not on the CPU.
    """
    if not isinstance(plain, dict):
        return plain
    [(kind, value)] = [(key, plain[key]) for key in plain if key != "on"]
    if kind == "tensor":
        found = tensors[value]
        return found if plain["on"] == "cpu" else found.to(device)
    if kind == "dict":
        return {key: unflatten(one, tensors, device) for key, one in value}
    items = [unflatten(one, tensors, device) for one in value]
    return tuple(items) if kind == "tuple" else items
