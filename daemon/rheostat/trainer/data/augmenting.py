"""Training images changed at random on the device, a whole batch at a time."""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.models import AugmentSpec
from rheostat.trainer.data.ordering import WHOLE, Share, derive_seed
from rheostat.trainer.data.records import DataDescription

_ALL = slice(None)
_STREAM = 2
"""Tells these random numbers from those of the order and of the workers, which seeds share."""


class _Source(Protocol):
    steps_per_epoch: int

    def batch(self, step: int) -> tuple[Tensor, Tensor]: ...


class AugmentedBatches:
    """The batches of another, with each image moved and mirrored as chance has it.

    What becomes of a batch follows from the run's seed and the step alone, so a run that is resumed
    or goes back meets the same images.

    Args:
        batches: normalised images, (B, C, H, W).
        spec: what is done to them.
        example: what the images are like.
        seed: of the run.
        device: where they are.
        batch_size: samples of a step; None where `batches` has them all.
        share: of them that `batches` has. Chance falls on the whole batch alike, whoever has it.

    Raises:
        InvalidSpec: if they are no images, or smaller than what is put around them.
    """

    def __init__(
        self,
        batches: _Source,
        spec: AugmentSpec,
        example: DataDescription,
        seed: int,
        device: torch.device,
        batch_size: int | None = None,
        share: Share = WHOLE,
    ) -> None:
        _check(spec, example)
        self.steps_per_epoch = batches.steps_per_epoch
        self._batches = batches
        self._crop = spec.crop
        self._flips = spec.flip
        self._seed = seed
        self._random = torch.Generator(device)
        self._batch_size = batch_size
        self._share = share

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return images and targets of a step, counted from 0, on the device."""
        images, targets = self._batches.batch(step)
        self._random.manual_seed(derive_seed(self._seed, _STREAM, step))
        of = len(images) if self._batch_size is None else self._batch_size
        part = self._share.of(of)
        if self._crop is not None:
            images = cropped(images, self._crop, self._random, of, part)
        if self._flips:
            images = flipped(images, self._random, of, part)
        return images, targets


def cropped(
    images: Tensor,
    pixels: int,
    random: torch.Generator,
    of: int | None = None,
    part: slice = _ALL,
) -> Tensor:
    """Move each of (B, C, H, W) images by up to some pixels either way; what is not there is 0.

    Zero is the mean of normalised images. They may be a part of so many, for all of which is drawn.
    """
    count, _, height, width = images.shape
    to = (2, count if of is None else of)
    drawn = torch.randint(2 * pixels + 1, to, generator=random, device=images.device)
    down, right = drawn[:, part]
    # A view of all places that an image can have, of which each gets one.
    places = pad(images, (pixels,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    return places[torch.arange(count, device=images.device), :, down, right]


def flipped(
    images: Tensor, random: torch.Generator, of: int | None = None, part: slice = _ALL
) -> Tensor:
    """Mirror half of (B, C, H, W) images, left to right; they may be a part of so many."""
    drawn = torch.rand(len(images) if of is None else of, generator=random, device=images.device)
    is_flipped = drawn[part] < 0.5
    return torch.where(is_flipped[:, None, None, None], images.flip(3), images)


def _check(spec: AugmentSpec, example: DataDescription) -> None:
    shape = example.input_shape
    if len(shape) != 3:
        written = ", ".join(spec.model_dump(exclude_defaults=True))
        expected = f"absent: it is for images (C, H, W), and these inputs have the shape {shape}"
        raise InvalidSpec([Violation("data.augment", written, expected)])
    if spec.crop is not None and spec.crop >= min(shape[1:]):
        expected = f"less than {min(shape[1:])}, the smaller side of the images"
        raise InvalidSpec([Violation("data.augment.crop", str(spec.crop), expected)])
