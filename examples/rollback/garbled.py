"""The embedded digits, many of them, and one that a broken disk has made garbage."""

from importlib import resources

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

TRAIN, BROKEN = 64_000, 12_345
"""Number of training samples, and the index of the one that can be broken."""


def digits(broken: bool = True) -> tuple[TensorDataset, TensorDataset]:
    """Return digits to train on, each noisy in its own way, and others as they are.

    Args:
        broken: whether the pixels of one training sample are no numbers.
    """
    embedded = resources.files("rheostat.trainer.data").joinpath("digits.npz")
    with embedded.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        images = torch.from_numpy(arrays["images"]).float().unsqueeze(1) / 16.0
        labels = torch.from_numpy(arrays["labels"]).long()
    held, rest = slice(0, 360), slice(360, None)
    train, targets = _many(images[rest], labels[rest])
    if broken:
        train[BROKEN] = float("nan")
    return TensorDataset(train, targets), TensorDataset(images[held], labels[held])


def _many(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Repeat images, each time with other noise."""
    generator = torch.Generator().manual_seed(0)
    which = torch.arange(TRAIN) % len(images)
    chosen = images[which]
    return chosen + 0.2 * torch.randn(chosen.shape, generator=generator), labels[which]
