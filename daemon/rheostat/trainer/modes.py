"""Training and evaluation: a mode of the model, and of some optimizers too."""

from collections.abc import Iterator
from contextlib import contextmanager

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
    """Look at the model in the block, then go on learning."""
    evaluation_mode(model, optimizer)
    try:
        yield
    finally:
        train_mode(model, optimizer)


def _switch(optimizer: Optimizer, mode: str) -> None:
    for part in parts_of(optimizer):
        if callable(switch := getattr(part, mode, None)):
            switch()
