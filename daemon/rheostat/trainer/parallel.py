"""How the processes of a run work on one model together, as its `Learner` sees it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rheostat.trainer.data.records import IGNORED
from rheostat.trainer.losses import LossReader

Forward = Callable[..., Any]


class Reader(Protocol):
    """Brings losses to the host; see `LossReader`."""

    def take(self, loss: Tensor) -> None:
        """Start to bring over a loss; () on the device."""
        ...

    def wait(self) -> float:
        """Return the loss taken last."""
        ...

    def on_device(self) -> Tensor:
        """Return it, () on the device, without waiting where the device can."""
        ...


class Parallel(Protocol):
    """A model that several processes train, each on its share of every batch."""

    is_alone: bool
    """Whether there is one process, and so nothing to share."""
    is_sharded: bool
    """Whether each process has a part of every parameter only."""
    unmeasured: frozenset[str]
    """Fields of an `Observation` that are not measured this way."""

    def prepare(self, model: nn.Module) -> None:
        """Make a model ready to be trained together, before anything is made of its parameters."""
        ...

    def wrap(self, model: nn.Module) -> Forward:
        """Return what computes the model's outputs; its gradients become those of all shares."""
        ...

    def accumulating(self, *, is_last: bool) -> AbstractContextManager[object]:
        """Return the surroundings of a micro-batch: only the last of a step shares gradients."""
        ...

    def begin_batch(self, targets: Tensor) -> None:
        """Look at this process's targets of a batch, before `share_of` is asked."""
        ...

    def share_of(self, part: Tensor, targets: Tensor) -> float | Tensor:
        """Return what a micro-batch's mean loss is multiplied by.

        Over the micro-batches of all processes, what comes out averages to the mean loss of the
        whole batch.

        Args:
            part: its targets, (b, ...).
            targets: this process's of the batch, (B, ...).
        """
        ...

    def reader(self, device: torch.device) -> Reader:
        """Return what brings the whole batch's loss to the host, given this process's sum."""
        ...


class Single:
    """One process has it all."""

    is_alone = True
    is_sharded = False
    unmeasured: frozenset[str] = frozenset()
    _nothing = nullcontext()

    def prepare(self, model: nn.Module) -> None:
        """Leave it as it is."""

    def wrap(self, model: nn.Module) -> Forward:
        """Return the model."""
        return model

    def accumulating(self, *, is_last: bool) -> AbstractContextManager[object]:
        """Return surroundings that change nothing."""
        return self._nothing

    def begin_batch(self, targets: Tensor) -> None:
        """Leave it at that: one process knows them all."""

    def share_of(self, part: Tensor, targets: Tensor) -> float | Tensor:
        """Return the micro-batch's share of the batch."""
        return share_of(part, targets)

    def reader(self, device: torch.device) -> Reader:
        """Return what brings its own loss over."""
        return LossReader(device)


SINGLE = Single()


def share_of(part: Tensor, targets: Tensor) -> float | Tensor:
    """Return which share of a batch's mean loss is that of a micro-batch.

    Args:
        part: its targets, (b, ...).
        targets: those of the batch, (B, ...). Where tokens have targets, those that are `IGNORED`
            count for nothing, and the share is on their device.
    """
    if not has_tokens(targets) or len(part) == len(targets):
        return len(part) / len(targets)
    return known(part) / known(targets)


def has_tokens(targets: Tensor) -> bool:
    """Whether each token of a sample has a target."""
    return targets.ndim == 2 and not targets.is_floating_point()


def known(targets: Tensor) -> Tensor:
    """Return () the number of tokens that have one."""
    return (targets != IGNORED).sum()
