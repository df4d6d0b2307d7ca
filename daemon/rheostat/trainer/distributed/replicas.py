"""A whole copy of the model on every rank: gradients are averaged while they are computed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rheostat.trainer.distributed.gang import Gang
from rheostat.trainer.distributed.portions import Portion
from rheostat.trainer.gradients import COMPARING_PARTS
from rheostat.trainer.parallel import Forward


class Replicas:
    """`DistributedDataParallel`, over any number of micro-batches.

    Args:
        gang: the ranks.
        batch_size: samples of a step, over all ranks.
    """

    is_alone = False
    is_sharded = False
    unmeasured = COMPARING_PARTS

    def __init__(self, gang: Gang, batch_size: int) -> None:
        self.announce: Callable[[], None] = lambda: None
        """Told before the model is wrapped, which takes all ranks."""
        self._gang = gang
        self._portion = Portion(gang, batch_size)
        self._replica: DistributedDataParallel | None = None

    def prepare(self, model: nn.Module) -> None:
        """Leave it as it is: each rank has built the same."""

    def wrap(self, model: nn.Module) -> Forward:
        """Return the model wrapped; the same one whenever it is asked for again."""
        if self._replica is None:
            self.announce()
            device = self._gang.device
            ids = [torch.cuda.current_device()] if device.type == "cuda" else None
            self._replica = DistributedDataParallel(model, device_ids=ids)
        return self._replica

    def accumulating(self, *, is_last: bool) -> AbstractContextManager[object]:
        """Keep the gradients of all micro-batches but the last here."""
        assert self._replica is not None
        return nullcontext() if is_last else self._replica.no_sync()

    def begin_batch(self, targets: Tensor) -> None:
        """Count the tokens of all ranks, where they have targets."""
        self._portion.begin_batch(targets)

    def share_of(self, part: Tensor, targets: Tensor) -> float | Tensor:
        """Return the micro-batch's share of the batch, times the ranks that average."""
        return self._portion.share_of(part)

    def reader(self, device: torch.device) -> "GlobalLossReader":
        """Return what averages the ranks' sums on the way."""
        return GlobalLossReader(self._gang, device)


class GlobalLossReader:
    """Brings the loss of the whole batch to every host.

    The sum over the ranks is begun with the backward pass and waited for after it. A loss that is
    not finite anywhere is finite nowhere, so that all ranks leave out the same update.
    """

    def __init__(self, gang: Gang, device: torch.device) -> None:
        self._gang = gang
        self._on_cuda = device.type == "cuda"
        if self._on_cuda:
            self._host = torch.empty((), dtype=torch.float32, pin_memory=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            # Its own, so that backward need not wait for the other ranks' losses.
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def take(self, loss: Tensor) -> None:
        """Start to bring over a loss; () this rank's sum, on the device."""
        dtype = torch.float32 if self._on_cuda else torch.float64
        self._sum = loss.detach().to(dtype, copy=True)
        self._work = self._gang.add_up(self._sum)
        if self._on_cuda:
            with torch.cuda.stream(self._stream):
                self._work.wait()
                self._host.copy_(self._sum, non_blocking=True)
                self._copied.record()

    def on_device(self) -> Tensor:
        """Return it averaged, () on the device."""
        self._work.wait()
        return (self._sum / self._gang.world_size).float()

    def wait(self) -> float:
        """Return the loss taken last, averaged over the ranks."""
        if self._on_cuda:
            self._copied.synchronize()
            return float(self._host) / self._gang.world_size
        self._work.wait()
        return self._sum.item() / self._gang.world_size
