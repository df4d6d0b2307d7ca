"""What the loop draws from: training batches by step, and the validation set in its own order."""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor

from rheostat.spec.models import DataSpec
from rheostat.trainer.data.augmenting import AugmentedBatches
from rheostat.trainer.data.ordering import WHOLE, Order, Share
from rheostat.trainer.data.records import Data, ResidentSplit
from rheostat.trainer.data.resident import ResidentBatches, ResidentValidation
from rheostat.trainer.data.streamed import Fetching, StreamedBatches, StreamedValidation

_PLAIN = DataSpec()


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


def make_batches(
    data: Data,
    batch_size: int,
    seed: int,
    device: torch.device,
    spec: DataSpec = _PLAIN,
    share: Share = WHOLE,
) -> Batches:
    """Return the training batches of a run, or one process's share of each.

    Each epoch visits the training set in an order of its own; what does not fill a batch at its end
    is left out.

    Args:
        data: what is dealt out.
        batch_size: samples of a step.
        seed: of the run.
        device: where the batches go.
        spec: says how they are fetched and augmented.
        share: of this process.

    Raises:
        InvalidSpec: `batch_size` is larger than the training set, or what is to be augmented are
            no images.
    """
    order = Order(len(data.train), batch_size, seed)
    batches: Batches
    if isinstance(data.train, ResidentSplit):
        batches = ResidentBatches(data.train, data.normalisation, order, batch_size, device, share)
    else:
        fetching = Fetching(data.normalisation, device, spec.workers, spec.prefetch)
        batches = StreamedBatches(data.train, fetching, order, batch_size, seed, share)
    if spec.augment == _PLAIN.augment:
        return batches
    return AugmentedBatches(
        batches, spec.augment, data.description, seed, device, batch_size, share
    )


def validation_batches(
    data: Data, batch_size: int, device: torch.device, spec: DataSpec = _PLAIN
) -> Iterable[tuple[Tensor, Tensor]]:
    """Return the validation set, every sample once in a fixed order, the last batch maybe smaller.

    It can be gone through again and again; what is resident is brought to the device once.
    """
    if isinstance(data.validation, ResidentSplit):
        return ResidentValidation(data.validation, data.normalisation, batch_size, device)
    fetching = Fetching(data.normalisation, device, spec.workers, spec.prefetch)
    return StreamedValidation(data.validation, fetching, batch_size)
