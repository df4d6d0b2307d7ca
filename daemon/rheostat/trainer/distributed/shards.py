"""A part of the model on every rank, brought together where it is computed with."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from rheostat.trainer.distributed.gang import Gang
from rheostat.trainer.distributed.portions import Portion
from rheostat.trainer.distributed.replicas import GlobalLossReader
from rheostat.trainer.gradients import OBSERVABLE_IN_GRADIENTS
from rheostat.trainer.parallel import Forward


class Shards:
    """`fully_shard` (FSDP2): parameters, gradients and optimizer states are cut along their rows.

    Args:
        gang: the ranks.
        batch_size: samples of a step, over all ranks.
    """

    is_alone = False
    is_sharded = True
    unmeasured = frozenset(OBSERVABLE_IN_GRADIENTS) | {
        "output_weight_mean",
        "output_weight_variance",
    }

    def __init__(self, gang: Gang, batch_size: int) -> None:
        self.announce: Callable[[], None] = lambda: None
        self._gang = gang
        self._portion = Portion(gang, batch_size)
        self._model: FSDPModule | None = None
        self._is_announced = False

    def prepare(self, model: nn.Module) -> None:
        """Cut a model, block by block: the members of its lists and sequences, then the rest."""
        mesh = init_device_mesh(self._gang.device.type, (self._gang.world_size,))
        for block in _blocks(model):
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        assert isinstance(model, FSDPModule)
        model.register_forward_hook(_cut_again)
        self._model = model

    def wrap(self, model: nn.Module) -> Forward:
        """Return the model; where it keeps buffers, they are rank 0's before each forward pass."""
        if not self._is_announced:
            self.announce()
            self._is_announced = True
        buffers = list(model.buffers())
        if not buffers:
            return model

        def forward(*inputs: Any) -> Any:
            for buffer in buffers:
                self._gang.share_on_device(buffer)
            return model(*inputs)

        return forward

    def accumulating(self, *, is_last: bool) -> AbstractContextManager[object]:
        """Keep the gradients of all micro-batches but the last here."""
        return self._syncing(is_last)

    @contextmanager
    def _syncing(self, is_last: bool) -> Iterator[None]:
        assert self._model is not None
        self._model.set_requires_gradient_sync(is_last)
        yield

    def begin_batch(self, targets: Tensor) -> None:
        """Count the tokens of all ranks, where they have targets."""
        self._portion.begin_batch(targets)

    def share_of(self, part: Tensor, targets: Tensor) -> float | Tensor:
        """Return the micro-batch's share of the batch, times the ranks that average."""
        return self._portion.share_of(part)

    def reader(self, device: Any) -> GlobalLossReader:
        """Return what averages the ranks' sums on the way."""
        return GlobalLossReader(self._gang, device)


def _cut_again(model: nn.Module, inputs: Any, outputs: Any) -> None:
    """Cut what is no block's after a look at the validation set: torch leaves it whole for the
    backward pass, which does not come, and who then looks for this rank's part finds none.
    """
    if not torch.is_grad_enabled():
        assert isinstance(model, FSDPModule)
        model.reshard()


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Yield what is cut by itself, from the inside out, and no parameter twice."""
    taken: set[int] = set()
    for module in reversed(list(model.modules())):
        if not isinstance(module, nn.ModuleList | nn.Sequential):
            continue
        for member in module.children():
            own = {id(parameter) for parameter in member.parameters()}
            if own and not own & taken and not isinstance(member, nn.ModuleList):
                taken |= own
                yield member
