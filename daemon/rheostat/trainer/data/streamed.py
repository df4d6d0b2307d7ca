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
from rheostat.trainer.data.ordering import WHOLE, Order, Share, derive_seed
from rheostat.trainer.data.records import MapDataset, StreamedSplit, in_loss_type, in_model_type

Batch = tuple[Tensor, Tensor]
_Request = tuple[int, list[int]]
"""A seed, and the samples to fetch."""

NUM_WORKERS = max(1, min(4, (os.cpu_count() or 1) - 1))


class _TrainingRequests(Sampler[_Request]):
    """What to fetch for each step from a first one on, without end."""

    def __init__(
        self, order: Order, batch_size: int, seed: int, first_step: int, share: Share
    ) -> None:
        self._order = order
        self._batch_size = batch_size
        self._seed = seed
        self._first_step = first_step
        self._share = share

    def __iter__(self) -> Iterator[_Request]:
        first_epoch, position = divmod(self._first_step, self._order.steps_per_epoch)
        step = self._first_step
        for epoch in count(first_epoch):
            for indices in torch.split(self._order.epoch(epoch), self._batch_size)[position:]:
                yield self._seed_of(step), indices[self._share.of(len(indices))].tolist()
                step += 1
            position = 0

    def _seed_of(self, step: int) -> int:
        """Return the seed of a batch; what is drawn for it must not repeat from rank to rank."""
        rank = self._share.rank
        return derive_seed(self._seed, 1, step, rank) if rank else derive_seed(self._seed, 1, step)


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


class Fetching:
    """How batches are fetched, and brought to the device in the types a network takes.

    Args:
        normalisation: of stored uint8; None where inputs are ready.
        device: where they go; to a CUDA device through pinned memory, while the loop goes on.
        workers: processes that fetch; None is `NUM_WORKERS`.
        prefetch: batches that each of them fetches beforehand.
    """

    def __init__(
        self,
        normalisation: Normalisation | None,
        device: torch.device,
        workers: int | None = None,
        prefetch: int = 2,
    ) -> None:
        self._normalisation = None if normalisation is None else normalisation.to(device)
        self._device = device
        self._workers = NUM_WORKERS if workers is None else workers
        self._prefetch = prefetch

    def loader(
        self, fetcher: _Fetcher, requests: Sampler[_Request], *, stays: bool = False
    ) -> DataLoader[Batch]:
        """Return what fetches the batches requested, in their order.

        Args:
            fetcher: fetches one.
            requests: says which.
            stays: whether its workers stay when all are fetched, to begin again.
        """
        return DataLoader(
            fetcher,
            batch_size=None,
            sampler=requests,
            num_workers=self._workers,
            prefetch_factor=self._prefetch,
            persistent_workers=stays,
            pin_memory=self._device.type == "cuda",
            # Its own, because starting workers draws a number, and from torch's global generator
            # that would make a resumed run differ from one that was not interrupted.
            generator=torch.Generator(),
        )

    def batches(self, loader: DataLoader[Batch]) -> Iterator[Batch]:
        """Yield a loader's batches, ready for the network."""
        for inputs, targets in loader:
            yield (
                self._ready(inputs),
                in_loss_type(targets).to(self._device, non_blocking=True),
            )

    def _ready(self, inputs: Tensor) -> Tensor:
        moved = inputs.to(self._device, non_blocking=True)
        return in_model_type(moved) if self._normalisation is None else self._normalisation(moved)


class StreamedBatches:
    """Training batches of a split that does not fit into memory.

    Steps asked for one after the other are prefetched; any other step starts the workers anew
    there, and gives the same batch as if it had been reached in order.
    """

    def __init__(
        self,
        split: StreamedSplit,
        fetching: Fetching,
        order: Order,
        batch_size: int,
        seed: int,
        share: Share = WHOLE,
    ) -> None:
        self._fetcher = _Fetcher(split.dataset)
        self._fetching = fetching
        self._order = order
        self._share = share
        self._batch_size = batch_size
        self._seed = seed
        self._next_step = -1
        self._batches: Iterator[Batch] = iter(())
        self.steps_per_epoch = order.steps_per_epoch

    def batch(self, step: int) -> Batch:
        """Return inputs and targets of a step, counted from 0."""
        if step != self._next_step:
            requests = _TrainingRequests(
                self._order, self._batch_size, self._seed, step, self._share
            )
            self._batches = self._fetching.batches(self._fetching.loader(self._fetcher, requests))
        self._next_step = step + 1
        return next(self._batches)


class StreamedValidation:
    """A whole split in its own order, batch by batch, as often as it is asked for.

    Its workers stay from one time to the next: to start them takes longer than many a validation.
    """

    def __init__(self, split: StreamedSplit, fetching: Fetching, batch_size: int) -> None:
        self._fetching = fetching
        requests = _ValidationRequests(len(split), batch_size)
        self._loader = fetching.loader(_Fetcher(split.dataset), requests, stays=True)

    def __iter__(self) -> Iterator[Batch]:
        return self._fetching.batches(self._loader)
