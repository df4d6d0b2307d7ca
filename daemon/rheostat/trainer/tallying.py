"""What a model makes of a validation set, batch by batch."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from rheostat.trainer.data.records import IGNORED
from rheostat.trainer.losses import LossFunction

Tally = tuple[float, int | None, int]
"""Of one batch: sum of the losses, how many targets were told right (None where they are no
classes), and of how many."""


def validate(
    model: nn.Module,
    loss: LossFunction,
    batches: Iterable[tuple[Tensor, Tensor]],
    see: Callable[[Tensor], None] | None = None,
) -> tuple[float, float | None]:
    """Return the mean loss and the accuracy of a model in evaluation mode over a validation set.

    Every sample counts once, in fixed order, summed in double precision, and where each token of a
    sample has a target, every token that is not `IGNORED`. Accuracy is the share of samples, or
    tokens, whose largest output is their class, None where targets are not classes. `see` is shown
    the outputs of each batch.
    """
    return result_of(tally(model, loss, batches, see))


@torch.no_grad()
def tally(
    model: nn.Module,
    loss: LossFunction,
    batches: Iterable[tuple[Tensor, Tensor]],
    see: Callable[[Tensor], None] | None = None,
) -> list[Tally]:
    """Return what is found in each batch; see `validate`."""
    sums: list[Tensor] = []
    hits: list[Tensor | None] = []
    counts: list[Tensor] = []
    for inputs, targets in batches:
        outputs = model(inputs)
        if see is not None:
            see(outputs)
        has_tokens = not targets.is_floating_point() and targets.ndim == 2 and outputs.ndim == 3
        has_classes = has_tokens or (not targets.is_floating_point() and targets.ndim == 1)
        count = (targets != IGNORED).sum() if has_tokens else torch.tensor(len(targets))
        counts.append(count)
        sums.append(loss(outputs, targets).double() * (count if has_tokens else len(targets)))
        hits.append((outputs.argmax(dim=1) == targets).sum() if has_classes else None)
    # One wait for the device, at the end.
    losses = torch.stack(sums).tolist() if sums else []
    known = [one for one in hits if one is not None]
    told = iter(torch.stack(known).tolist() if known else [])
    right = [None if one is None else next(told) for one in hits]
    return list(zip(losses, right, torch.stack(counts).tolist() if counts else [], strict=True))


def result_of(tallies: Sequence[Tally]) -> tuple[float, float | None]:
    """Return the mean loss and the accuracy over batches in their order."""
    targets = max(1, sum(of for _, _, of in tallies))
    total = float(torch.tensor([loss for loss, _, _ in tallies], dtype=torch.float64).sum())
    right = [hits for _, hits, _ in tallies if hits is not None]
    return total / targets, sum(right) / targets if len(right) == len(tallies) else None
