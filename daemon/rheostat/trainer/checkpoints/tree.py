"""A nested state as tensors and JSON, and back, with every bit and every type.

What JSON cannot say is an object with one key that begins with `$`: a tensor is
`{"$tensor": name}`, a tuple `{"$tuple": [...]}`, a dict whose keys are not all strings
`{"$items": [[key, value], ...]}`.
"""

from typing import Any

from torch import Tensor

Tensors = dict[str, Tensor]


def split(state: Any) -> tuple[Tensors, Any]:
    """Return the tensors of a state by name, and the rest as JSON can hold it.

    Tensors are cloned to the host, so that the state may change as soon as this returns.

    Raises:
        TypeError: if the state holds what cannot be written, with its place.
    """
    tensors: Tensors = {}
    return tensors, _plain(state, "", tensors)


def join(tensors: Tensors, plain: Any) -> Any:
    """Return the state that `split` took apart."""
    match plain:
        case {"$tensor": name}:
            return tensors[name]
        case {"$tuple": items}:
            return tuple(join(tensors, one) for one in items)
        case {"$items": items}:
            return {join(tensors, key): join(tensors, value) for key, value in items}
        case dict():
            return {key: join(tensors, value) for key, value in plain.items()}
        case list():
            return [join(tensors, one) for one in plain]
        case _:
            return plain


def _plain(value: Any, place: str, tensors: Tensors) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Tensor():
            name = place or "state"
            while name in tensors:  # {"a.b": ...} beside {"a": {"b": ...}}
                name += "'"
            # A copy even of what is on the host already: the loop goes on while this is written.
            tensors[name] = value.detach().to("cpu", copy=True).contiguous()
            return {"$tensor": name}
        case tuple():
            return {"$tuple": [_plain(one, f"{place}.{i}", tensors) for i, one in enumerate(value)]}
        case list():
            return [_plain(one, f"{place}.{i}", tensors) for i, one in enumerate(value)]
        case dict() if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _plain(one, _inside(place, key), tensors) for key, one in value.items()}
        case dict():
            return {
                "$items": [
                    [_plain(key, f"{place}.{i}.key", tensors), _plain(one, f"{place}.{i}", tensors)]
                    for i, (key, one) in enumerate(value.items())
                ]
            }
        case _:
            raise TypeError(f"{place} is a {type(value).__name__}, which a checkpoint cannot hold")


def _inside(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
