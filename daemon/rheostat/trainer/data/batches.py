"""What the loop draws from: training batches by step, and the validation set in its own order."""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor

from rheostat.trainer.data.ordering import Order
from rheostat.trainer.data.records import Data, ResidentSplit
from rheostat.trainer.data.resident import ResidentBatches, ResidentValidation
from rheostat.trainer.data.streamed import StreamedBatches, StreamedValidation


class Batches(Protocol):
    """The training batches of a run."""

    steps_per_epoch: int
    """Number of full batches in one pass over the training set, >= 1."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return inputs (B, ...) and targets (B, ...) of a step, counted from 0, on the device.

        It depends on the run's seed and the step alone, not on what was asked before. The tensors
        are not to be written to, and hold until a batch of another epoch is asked for: they may be
        views of room that the next epoch is arranged in.
        """
        ...


def make_batches(data: Data, batch_size: int, seed: int, device: torch.device) -> Batches:
    """Return the training batches of a run.

    Each epoch visits the training set in an order of its own; what does not fill a batch at its end
    is left out.

    Raises:
        InvalidSpec: `batch_size` is larger than the training set.
    """
    order = Order(len(data.train), batch_size, seed)
    if isinstance(data.train, ResidentSplit):
        return ResidentBatches(data.train, data.normalisation, order, batch_size, device)
    return StreamedBatches(data.train, data.normalisation, order, batch_size, seed, device)


def validation_batches(
    data: Data, batch_size: int, device: torch.device
) -> Iterable[tuple[Tensor, Tensor]]:
    """Return the validation set, every sample once in a fixed order, the last batch maybe smaller.

    It can be gone through again and again; what is resident is brought to the device once.
    """
    if isinstance(data.validation, ResidentSplit):
        return ResidentValidation(data.validation, data.normalisation, batch_size, device)
    return StreamedValidation(data.validation, data.normalisation, batch_size, device)
