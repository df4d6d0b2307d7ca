"""JSON merge patches (RFC 7396): the smallest that turns one document into another."""

from collections.abc import Mapping
from typing import Any


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the patch from one mapping to another; empty where they are equal.

    Neither may hold null, which in a patch means that a key goes away.
    """
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if value == before:
            continue
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            value = merge_patch(before, value)
        patch[key] = value
    return patch
