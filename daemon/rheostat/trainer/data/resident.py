"""Batches of data that lives on the device."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rheostat.trainer.data.normalising import Normalisation
from rheostat.trainer.data.ordering import WHOLE, Order, Share
from rheostat.trainer.data.records import Data, ResidentSplit

FLOAT_BYTES = 256 * 2**20
"""uint8 inputs that are no larger than this as float32 are converted once, not batch by batch."""

GATHER_BYTES = 4 * 2**20
"""Inputs up to this size are put in order once per epoch, which makes a batch a look-up.

Beyond a processor's cache that is slower than gathering each batch (measured: 1.8 against 3.1 us a
step at 0.4 MB, 113 against 47 us at 157 MB) and would stall the loop at each new epoch.
"""


class ResidentBatches:
    """Training batches of a split that is kept on the device."""

    def __init__(
        self,
        split: ResidentSplit,
        normalisation: Normalisation | None,
        order: Order,
        batch_size: int,
        device: torch.device,
        share: Share = WHOLE,
    ) -> None:
        self._prepared = Prepared(split, normalisation, device)
        self._order = order
        self._batch_size = batch_size
        self._share = share.of(batch_size)
        self._device = device
        self._epoch = -1
        self._indices: Sequence[Tensor] = ()
        self.steps_per_epoch = order.steps_per_epoch
        self._arranged: tuple[Tensor, Tensor] | None = None
        self._batches: Sequence[tuple[Tensor, Tensor]] = ()
        if self._prepared.is_small:
            self._arranged = self._prepared.empty(order.steps_per_epoch * batch_size)
            cuts = [self._cut(whole) for whole in self._arranged]
            self._batches = list(zip(*cuts, strict=True))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of a step, counted from 0; they are not to be written to."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._begin(epoch)
        if self._batches:
            return self._batches[position]
        return self._prepared.gather(self._indices[position])

    def _begin(self, epoch: int) -> None:
        indices = self._order.epoch(epoch)
        if self._device.type == "cuda":
            # From pinned memory the copy is queued; from any other the host waits for it.
            indices = indices.pin_memory()
        indices = indices.to(self._device, non_blocking=True)
        if self._arranged is not None:
            # In place: memory from the system at each epoch cost 20 us a step in page faults.
            self._prepared.arrange(indices, self._arranged)
        else:
            self._indices = self._cut(indices)
        self._epoch = epoch

    def _cut(self, samples: Tensor) -> Sequence[Tensor]:
        """Return this process's share of each batch of an epoch's samples."""
        return [batch[self._share] for batch in torch.split(samples, self._batch_size)]


class ResidentValidation:
    """A whole split in its own order, batch by batch, as often as it is asked for."""

    def __init__(
        self,
        split: ResidentSplit,
        normalisation: Normalisation | None,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self._prepared = Prepared(split, normalisation, device)
        self._batch_size = batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self._prepared), self._batch_size):
            yield self._prepared.slice(start, start + self._batch_size)


def ready_for_many(data: Data) -> Data:
    """Return a data set whose inputs are converted already, as far as memory allows.

    Runs that share it have the very batches of runs that do not, and no copies of their own.
    """
    normalisation, splits = data.normalisation, (data.train, data.validation)
    resident = [split for split in splits if isinstance(split, ResidentSplit)]
    if normalisation is None or len(resident) < len(splits):
        return data
    if not all(_fits_as_floats(split.inputs) for split in resident):
        return data
    train, validation = (
        ResidentSplit(normalisation(split.inputs), split.targets) for split in resident
    )
    return Data(train, validation, data.description)


def _fits_as_floats(inputs: Tensor) -> bool:
    return inputs.numel() * 4 <= FLOAT_BYTES


class Prepared:
    """A split on the device, converted beforehand as far as memory allows."""

    def __init__(
        self, split: ResidentSplit, normalisation: Normalisation | None, device: torch.device
    ) -> None:
        self._inputs = split.inputs.to(device)
        self._targets = split.targets.to(device)
        self._normalisation = None if normalisation is None else normalisation.to(device)
        if self._normalisation is not None and _fits_as_floats(self._inputs):
            self._inputs = self._normalisation(self._inputs)
            self._normalisation = None
        self.is_small = self._normalisation is None and self._inputs.nbytes <= GATHER_BYTES

    def __len__(self) -> int:
        return len(self._inputs)

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the samples at (B,) indices, ready for the network."""
        return (
            self._ready(self._inputs.index_select(0, indices)),
            self._targets.index_select(0, indices),
        )

    def empty(self, samples: int) -> tuple[Tensor, Tensor]:
        """Return room for inputs and targets of some samples."""
        inputs = self._inputs.new_empty((samples, *self._inputs.shape[1:]))
        return inputs, self._targets.new_empty((samples, *self._targets.shape[1:]))

    def arrange(self, indices: Tensor, into: tuple[Tensor, Tensor]) -> None:
        """Copy the samples at (N,) indices of a small split into room for N."""
        torch.index_select(self._inputs, 0, indices, out=into[0])
        torch.index_select(self._targets, 0, indices, out=into[1])

    def slice(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return the samples from `start` up to `stop` or the end, ready for the network."""
        return self._ready(self._inputs[start:stop]), self._targets[start:stop]

    def _ready(self, inputs: Tensor) -> Tensor:
        return inputs if self._normalisation is None else self._normalisation(inputs)
