"""Batches of data that is fetched by worker processes while the loop computes."""

import os
import random
from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from rheostat.trainer.data.normalising import Normalisation
from rheostat.trainer.data.ordering import Order, derive_seed
from rheostat.trainer.data.records import MapDataset, StreamedSplit, in_loss_type, in_model_type

Batch = tuple[Tensor, Tensor]
_Request = tuple[int, list[int]]
"""A seed, and the samples to fetch."""

NUM_WORKERS = max(1, min(4, (os.cpu_count() or 1) - 1))


class StreamedBatches:
    """Training batches of a split that does not fit into memory.

    Steps asked for one after the other are prefetched; any other step starts the workers anew
    there, and gives the same batch as if it had been reached in order.
    """

    def __init__(
        self,
        split: StreamedSplit,
        normalisation: Normalisation | None,
        order: Order,
        batch_size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self._fetcher = _Fetcher(split.dataset)
        self._delivery = _Delivery(normalisation, device)
        self._order = order
        self._batch_size = batch_size
        self._seed = seed
        self._next_step = -1
        self._batches: Iterator[Batch] = iter(())
        self.steps_per_epoch = order.steps_per_epoch

    def batch(self, step: int) -> Batch:
        """Return inputs and targets of a step, counted from 0."""
        if step != self._next_step:
            requests = _TrainingRequests(self._order, self._batch_size, self._seed, step)
            self._batches = self._delivery.batches(self._fetcher, requests)
        self._next_step = step + 1
        return next(self._batches)


class StreamedValidation:
    """A whole split in its own order, batch by batch, as often as it is asked for."""

    def __init__(
        self,
        split: StreamedSplit,
        normalisation: Normalisation | None,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self._fetcher = _Fetcher(split.dataset)
        self._delivery = _Delivery(normalisation, device)
        self._requests = _ValidationRequests(len(split), batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self._delivery.batches(self._fetcher, self._requests)


class _TrainingRequests(Sampler[_Request]):
    """What to fetch for each step from a first one on, without end."""

    def __init__(self, order: Order, batch_size: int, seed: int, first_step: int) -> None:
        self._order = order
        self._batch_size = batch_size
        self._seed = seed
        self._first_step = first_step

    def __iter__(self) -> Iterator[_Request]:
        first_epoch, position = divmod(self._first_step, self._order.steps_per_epoch)
        step = self._first_step
        for epoch in count(first_epoch):
            for indices in torch.split(self._order.epoch(epoch), self._batch_size)[position:]:
                yield derive_seed(self._seed, 1, step), indices.tolist()
                step += 1
            position = 0


class _ValidationRequests(Sampler[_Request]):
    """What to fetch for each batch of a split in its own order."""

    def __init__(self, samples: int, batch_size: int) -> None:
        self._samples = samples
        self._batch_size = batch_size

    def __iter__(self) -> Iterator[_Request]:
        for start in range(0, self._samples, self._batch_size):
            yield start, list(range(start, min(start + self._batch_size, self._samples)))


class _Fetcher(Dataset[Batch]):
    """Fetches a whole batch at a time, in a worker.

    Random generators are seeded for each batch, so that what a data set draws (a crop, a flip) is
    the same whichever worker fetches it and wherever the run was resumed.
    """

    def __init__(self, dataset: MapDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, request: _Request) -> Batch:
        seed, indices = request
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        inputs, targets = default_collate([self._dataset[index] for index in indices])
        return inputs, targets


class _Delivery:
    """Brings fetched batches to the device, in the types a network takes."""

    def __init__(self, normalisation: Normalisation | None, device: torch.device) -> None:
        self._normalisation = None if normalisation is None else normalisation.to(device)
        self._device = device

    def batches(self, fetcher: _Fetcher, requests: Sampler[_Request]) -> Iterator[Batch]:
        loader = DataLoader(
            fetcher,
            batch_size=None,
            sampler=requests,
            num_workers=NUM_WORKERS,
            pin_memory=self._device.type == "cuda",
            # Its own, because starting workers draws a number, and from torch's global generator
            # that would make a resumed run differ from one that was not interrupted.
            generator=torch.Generator(),
        )
        for inputs, targets in loader:
            yield (
                self._ready(inputs),
                in_loss_type(targets).to(self._device, non_blocking=True),
            )

    def _ready(self, inputs: Tensor) -> Tensor:
        moved = inputs.to(self._device, non_blocking=True)
        return in_model_type(moved) if self._normalisation is None else self._normalisation(moved)
