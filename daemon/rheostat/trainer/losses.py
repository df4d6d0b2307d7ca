"""The loss: which function it is, and how its value reaches the host."""

import importlib
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as functional
from torch import Tensor

from rheostat.errors import InvalidSpec, Violation

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""(outputs, targets) -> scalar mean loss of the batch."""


def find_loss(name: str) -> LossFunction:
    """Return a function of `torch.nn.functional`, or `package.module:function`.

    Raises:
        InvalidSpec: if there is none.
    """
    module_name, _, attribute = name.rpartition(":")
    try:
        module = importlib.import_module(module_name) if module_name else functional
        found = getattr(module, attribute)
    except (ImportError, AttributeError, ValueError) as error:
        expected = f"a function of torch.nn.functional or package.module:function ({error})"
        raise InvalidSpec([Violation("train.loss", name, expected)]) from None
    if not callable(found):
        raise InvalidSpec([Violation("train.loss", name, "a function of (outputs, targets)")])
    return cast(LossFunction, found)


def for_tokens(loss: LossFunction) -> LossFunction:
    """Return torch's cross-entropy as it is fastest where each token has a target; else the loss.

    Scores (B, C, T) are what torch wants, and a view of the (B, T, C) that a model computes. Over
    rows of C numbers it took 0.7 ms where the view took 1.7.
    """
    if loss is not functional.cross_entropy:
        return loss

    def token_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs.transpose(1, 2).flatten(0, 1), targets.flatten())

    return token_cross_entropy


class LossReader:
    """Brings a loss to the host without letting a GPU run dry.

    `take` starts the copy when the forward pass is queued; `wait` is called when the backward pass
    is queued too, so the device has work while the host waits for the forward pass alone. On the
    CPU there is nothing to wait for.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"
        self._loss: Tensor | None = None
        if self._on_cuda:
            self._host = torch.empty((), dtype=torch.float32, pin_memory=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def take(self, loss: Tensor) -> None:
        """Start to bring over a loss; () scalar on the device."""
        self._loss = loss
        if self._on_cuda:
            self._host.copy_(loss.detach(), non_blocking=True)
            self._copied.record()

    def on_device(self) -> Tensor:
        """Return the loss taken last, () on the device."""
        assert self._loss is not None
        return self._loss.detach()

    def wait(self) -> float:
        """Return the loss taken last."""
        assert self._loss is not None
        if self._on_cuda:
            self._copied.synchronize()
            return float(self._host)
        return self._loss.item()
