"""Optimizers that are made without importing a compiler that nobody has asked for.

torch keeps some methods of `Optimizer` from being traced by `torch.compile`. Their wrapper imports
the compiler when one of them is first called, by the optimizer's own constructor: a second of CPU
time and 100 MB in every trainer, and in whatever checks a spec. Where nothing has been compiled in
this process there is nothing to keep them from.
"""

import sys
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

_COMPILER = "torch._dynamo"
_KEPT = "__dynamo_disable"
"""Where torch's wrapper remembers the method that tracing is kept from (`torch._compile`)."""


def spare_compiler() -> None:
    """Tell torch's wrappers that the methods may be called as they are.

    Nothing is changed where the compiler is imported already. Where it is imported later, these
    methods are traced if compiled code calls them; ours calls none of them.
    """
    if _COMPILER in sys.modules:
        return
    for method in vars(Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None and _imports_compiler(method) and not hasattr(plain, _KEPT):
            setattr(plain, _KEPT, plain)


def _imports_compiler(method: Callable[..., Any]) -> bool:
    code = getattr(method, "__code__", None)
    return code is not None and _KEPT in code.co_consts
