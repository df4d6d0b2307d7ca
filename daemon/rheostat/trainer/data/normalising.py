"""Turning stored uint8 inputs into the float32 a network takes."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """x becomes (x - mean) / deviation, so that the training set has mean 0 and deviation 1.

    One pair per channel of images, one for all features of flat inputs. The statistics are those
    of the raw values, so the range they were stored in (0 to 16, 0 to 255) cancels out.
    """

    mean: Tensor
    """(C, 1, 1) or () float32, in raw units."""
    deviation: Tensor
    """Of the same shape, > 0."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return uint8 `inputs` (N, ...) as normalised float32, on the same device."""
        return inputs.float().sub_(self.mean).div_(self.deviation)

    def to(self, device: torch.device) -> "Normalisation":
        """Return the same map for inputs on another device."""
        return Normalisation(self.mean.to(device), self.deviation.to(device))


def measure(inputs: Tensor) -> Normalisation | None:
    """Return the normalisation that training inputs (N, ...) call for.

    None for other types than uint8: whoever made floats or tokens has made them ready.
    """
    if inputs.dtype != torch.uint8:
        return None
    if inputs.dim() != 4:
        mean, deviation = _moments(inputs)
        return Normalisation(torch.tensor(mean), torch.tensor(deviation))
    moments = [_moments(inputs[:, channel]) for channel in range(inputs.shape[1])]
    means, deviations = torch.tensor(moments).T.reshape(2, -1, 1, 1)
    return Normalisation(means, deviations)


def _moments(values: Tensor) -> tuple[float, float]:
    """Return mean and deviation of uint8 values; exact, and so the same on every machine."""
    counts: list[int] = torch.bincount(values.reshape(-1), minlength=256).tolist()
    total = sum(counts)
    mean = sum(value * count for value, count in enumerate(counts)) / total
    square = sum(value * value * count for value, count in enumerate(counts)) / total
    deviation = max(square - mean * mean, 0.0) ** 0.5
    return mean, deviation or 1.0
