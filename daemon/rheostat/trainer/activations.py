"""Modules that forget their activations and compute them again in the backward pass."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from rheostat.errors import InvalidSpec, Violation

_CONTAINERS = (nn.ModuleDict, nn.ModuleList)
"""Modules that are never called themselves."""


def forget_activations(model: nn.Module, patterns: Sequence[str]) -> None:
    """Wrap the calls of the outermost modules whose names are found.

    Gradients, dropout and buffers are what they are without it, to the last bit; names of modules
    and parameters stay. Without gradients, as in a validation, nothing is different.

    Args:
        model: changed in place.
        patterns: regular expressions, searched in the names of modules.

    Raises:
        InvalidSpec: if one finds no module.
    """
    names = [name for name, one in model.named_modules() if name and not _is_container(one)]
    found: list[str] = []
    for index, pattern in enumerate(patterns):
        matching = [name for name in names if re.search(pattern, name)]
        if not matching:
            path = f"train.activation_checkpointing[{index}]"
            expected = f"a regular expression of the model's modules ({_some(names)})"
            raise InvalidSpec([Violation(path, pattern, expected)])
        found += matching
    for name in dict.fromkeys(found):
        if not any(name.startswith(f"{other}.") for other in found):
            module = model.get_submodule(name)
            module.forward = _forgetful(module)


def _forgetful(module: nn.Module) -> Callable[..., Any]:
    forward = module.forward

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _own_buffers(module)

    def forgetful(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        if torch.compiler.is_compiling():
            # The compiler computes again what it likes, and updates buffers once by itself.
            return checkpoint(forward, *args, use_reentrant=False, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)

    return forgetful


@contextmanager
def _own_buffers(module: nn.Module) -> Iterator[None]:
    """Let a second pass update copies of the buffers: a running mean must not move twice."""
    kept = [(one, dict(one._buffers)) for one in module.modules() if one._buffers]
    for one, buffers in kept:
        one._buffers.update(
            {name: buffer if buffer is None else buffer.clone() for name, buffer in buffers.items()}
        )
    try:
        yield
    finally:
        for one, buffers in kept:
            one._buffers.update(buffers)


def _is_container(module: nn.Module) -> bool:
    return isinstance(module, _CONTAINERS)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return f"{shown}, ..." if len(names) > 8 else shown
