"""What a data set is once it is loaded: two splits and a description."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from rheostat.trainer.data.normalising import Normalisation, measure

IGNORED = -100
"""Target of a token that counts for nothing; torch's cross-entropy knows it by itself."""

STATISTICS_SAMPLES = 256
"""How many streamed samples are looked at, at most, for their mean and deviation."""


class MapDataset(Protocol):
    """The part of a map-style `torch.utils.data.Dataset` that is used: samples by index."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """Return one sample: its inputs and its target."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ResidentSplit:
    """Samples that are all in memory."""

    inputs: Tensor
    """(N, ...) uint8 as stored, float32 as the network takes it, or int64 tokens."""
    targets: Tensor
    """(N, ...) int64 classes, or (N, K) float32; `IGNORED` where a token has no target."""

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, slots=True, eq=False)
class StreamedSplit:
    """Samples that are fetched one by one because there are too many for memory."""

    dataset: MapDataset
    targets: Tensor | None = None
    """(N,) int64 classes where they are known without fetching; None else."""

    def __len__(self) -> int:
        return len(self.dataset)

    def inputs(self, indices: Iterable[int]) -> Tensor:
        """Fetch the inputs of some samples, (N, ...)."""
        return torch.stack([self.dataset[index][0] for index in indices])


Split = ResidentSplit | StreamedSplit


@dataclass(frozen=True, slots=True)
class TextDescription:
    """How token ids stand for text."""

    vocabulary: int
    """Number of different tokens."""
    padding: int
    """Token that fills inputs up behind their end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What a reader found, before anything is set aside for validation."""

    train: Split
    validation: Split | None = None
    """The set's own validation split, used unless the spec asks for something else."""
    test: Callable[[], Split] | None = None
    """Reads the official test split; None where the set has none."""
    share: float = 0.2
    """Share of `train` set aside by default, 0 to 1, where there is no `validation`."""
    classes: int | None = None
    """Number of classes, where the reader knows better than the targets."""
    text: TextDescription | None = None
    """How inputs are text; None where they are something else."""


@dataclass(frozen=True, slots=True)
class DataDescription:
    """What a model may know of the data before it sees any."""

    input_shape: tuple[int, ...]
    """Shape of one sample: (C, H, W) of an image, (features,), or (tokens,) of a text."""
    classes: int | None
    """Number of classes; None where targets are numbers."""
    train_samples: int
    validation_samples: int
    target_width: int = 1
    """Numbers in one target where targets are numbers."""
    text: TextDescription | None = None
    """How inputs are text; None where they are something else."""
    is_per_token: bool = False
    """Whether each token of an input has a target of its own, such as the token after it."""

    @property
    def outputs(self) -> int:
        """Width of a model's last layer: a score per class, or one output per target number."""
        return self.target_width if self.classes is None else self.classes


@dataclass(frozen=True, eq=False)
class Data:
    """A data set, loaded and split."""

    train: Split
    validation: Split
    description: DataDescription

    @cached_property
    def normalisation(self) -> Normalisation | None:
        """The map from stored uint8 to what the network takes; None where inputs are ready."""
        if isinstance(self.train, ResidentSplit):
            return measure(self.train.inputs)
        if self.train.inputs([0]).dtype != torch.uint8:
            return None
        # Some samples must stand for all: looking at each would be an epoch of its own.
        stride = -(-len(self.train) // STATISTICS_SAMPLES)
        return measure(self.train.inputs(range(0, len(self.train), stride)))


def in_model_type(inputs: Tensor) -> Tensor:
    """Return floats as float32, and anything else as it is."""
    return inputs.float() if inputs.is_floating_point() else inputs


def in_loss_type(targets: Tensor) -> Tensor:
    """Return (N, ...) classes as int64, and numbers as (N, K) float32.

    A flat target against a model's (N, 1) would silently broadcast to (N, N) in the loss.
    """
    if targets.is_floating_point():
        return targets.float().reshape(len(targets), -1)
    return targets.long()
