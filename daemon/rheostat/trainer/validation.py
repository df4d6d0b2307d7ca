"""How good the model is on data it does not learn from."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from rheostat.trainer.losses import LossFunction


@torch.no_grad()
def validate(
    model: nn.Module,
    loss: LossFunction,
    batches: Iterable[tuple[Tensor, Tensor]],
    see: Callable[[Tensor], None] | None = None,
) -> tuple[float, float | None]:
    """Return the mean loss and the accuracy of a model in evaluation mode over a validation set.

    Every sample counts once, in fixed order, summed in double precision; accuracy is the share of
    samples whose largest output is their class, None where targets are not classes. `see` is
    shown the outputs of each batch.
    """
    samples, classes = 0, True
    sums: list[Tensor] = []
    hits: list[Tensor] = []
    for inputs, targets in batches:
        outputs = model(inputs)
        if see is not None:
            see(outputs)
        sums.append(loss(outputs, targets).double() * len(targets))
        classes = classes and not targets.is_floating_point() and targets.ndim == 1
        if classes:
            hits.append((outputs.argmax(dim=1) == targets).sum())
        samples += len(targets)
    # One wait for the device, at the end.
    total = float(torch.stack(sums).sum()) if sums else 0.0
    correct = int(torch.stack(hits).sum()) if hits else 0
    return total / max(1, samples), correct / max(1, samples) if classes else None
