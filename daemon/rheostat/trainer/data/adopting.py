"""Taking in what somebody else's data factory returned."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, TensorDataset

from rheostat.trainer.data.records import (
    Collection,
    ResidentSplit,
    Split,
    StreamedSplit,
    in_loss_type,
    in_model_type,
)


def adopt(returned: Any) -> Collection:
    """Return a collection of what a factory returned.

    A factory returns a training split, or a training and a validation split. A split is a pair of
    tensors (inputs, targets) or a map-style Dataset. uint8 inputs are normalised later; floats are
    taken as they are. Integer targets are classes, floats are numbers to predict.

    Raises:
        TypeError: it is something else.
        ValueError: its tensors do not belong together.
    """
    if isinstance(returned, Collection):
        return returned
    if isinstance(returned, tuple | list) and len(returned) == 2 and not _is_pair(returned):
        return Collection(
            train=_adopt_split(returned[0]),
            validation=_adopt_split(returned[1]),
            classes=_named_classes(returned[0]),
        )
    return Collection(train=_adopt_split(returned), classes=_named_classes(returned))


def _adopt_split(split: Any) -> Split:
    if isinstance(split, TensorDataset):
        split = split.tensors
    if _is_pair(split):
        return _adopt_tensors(*split)
    if isinstance(split, IterableDataset) or not (
        hasattr(split, "__len__") and hasattr(split, "__getitem__")
    ):
        found = type(split).__name__
        raise TypeError(f"a split is a pair of tensors or a Dataset with a length, not {found}")
    if len(split) == 0:
        raise ValueError("a split has no samples")
    sample = split[0]
    if not (isinstance(sample, tuple | list) and len(sample) == 2 and torch.is_tensor(sample[0])):
        raise TypeError("a sample of a Dataset is a pair of a tensor and its target")
    targets = getattr(split, "targets", None)
    return StreamedSplit(split, None if targets is None else torch.as_tensor(targets))


def _adopt_tensors(inputs: Tensor, targets: Tensor) -> ResidentSplit:
    if len(inputs) != len(targets) or len(inputs) == 0:
        raise ValueError(f"a split has {len(inputs)} inputs and {len(targets)} targets")
    return ResidentSplit(in_model_type(inputs), in_loss_type(targets))


def _is_pair(split: Any) -> bool:
    return (
        isinstance(split, tuple | list)
        and len(split) == 2
        and all(isinstance(part, Tensor) for part in split)
    )


def _named_classes(split: Any) -> int | None:
    """Return the length of `classes`, which torchvision's data sets and others like them have."""
    classes = getattr(split, "classes", None)
    return len(classes) if isinstance(classes, list | tuple) else None
