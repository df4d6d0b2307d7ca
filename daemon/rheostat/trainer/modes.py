"""Training and evaluation: a mode of the model, and of some optimizers too."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim import Optimizer

from rheostat.trainer.optimizers import parts_of


def train_mode(model: nn.Module, optimizer: Optimizer) -> None:
    """Make ready to learn."""
    model.train()
    _switch(optimizer, "train")


def evaluation_mode(model: nn.Module, optimizer: Optimizer) -> None:
    """Make ready to be looked at or saved.

    Schedule-Free optimizers (Defazio et al., arXiv 2405.15682) learn at one point and are judged at
    another, the average; their `train()` and `eval()` move the weights from one to the other.
    """
    model.eval()
    _switch(optimizer, "eval")


@contextmanager
def evaluating(model: nn.Module, optimizer: Optimizer) -> Iterator[None]:
    """Look at the model in the block, then go on learning as if nobody had looked.

    The way to the average and back rounds: the weights are put back as they were.
    """
    moved = [
        parameter
        for part in parts_of(optimizer)
        if _has_modes(part)
        for group in part.param_groups
        for parameter in group["params"]
    ]
    kept = [parameter.detach().clone() for parameter in moved]
    evaluation_mode(model, optimizer)
    try:
        yield
    finally:
        train_mode(model, optimizer)
        with torch.no_grad():
            for parameter, weights in zip(moved, kept, strict=True):
                parameter.copy_(weights)


def _has_modes(optimizer: Optimizer) -> bool:
    return callable(getattr(optimizer, "eval", None))


def _switch(optimizer: Optimizer, mode: str) -> None:
    for part in parts_of(optimizer):
        if callable(switch := getattr(part, mode, None)):
            switch()
