"""Two spirals in the plane, wound around each other: no line tells them apart."""

import math

import torch
from torch import Tensor


def two_spirals(
    *, samples: int = 2000, turns: float = 1.5, noise: float = 0.05, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Return points and which spiral each is on; what is kept for validation, Rheostat decides.

    The points come from a generator of their own, so that the same arguments are the same data
    whatever the seed of the run.

    Args:
        samples: number of points, >= 10; half of them on each spiral.
        turns: how often each is wound around the centre, above 0.
        noise: standard deviation of a point from its place, >= 0; the spirals end at radius 1.
        seed: of the generator.

    Raises:
        ValueError: if an argument is out of its range.
    """
    if samples < 10:
        raise ValueError(f"samples={samples} must be at least 10")
    if not turns > 0:
        raise ValueError(f"turns={turns} must be above 0")
    if not noise >= 0:
        raise ValueError(f"noise={noise} must be at least 0")
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(samples) % 2
    radius = torch.rand(samples, generator=generator).sqrt()
    angle = 2 * math.pi * turns * radius + math.pi * targets
    places = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1)
    return places + noise * torch.randn(places.shape, generator=generator), targets
