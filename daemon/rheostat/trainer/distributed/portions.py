"""How much of a batch each rank has."""

from torch import Tensor

from rheostat.trainer.distributed.gang import Gang
from rheostat.trainer.parallel import has_tokens, known


class Portion:
    """Weighs a rank's micro-batches, so that the ranks' mean is that of the whole batch.

    Args:
        gang: the ranks.
        batch_size: samples of a step, over all ranks.
    """

    def __init__(self, gang: Gang, batch_size: int) -> None:
        self._gang = gang
        self._mean_samples = batch_size / gang.world_size
        self._mean_tokens: Tensor | None = None

    def begin_batch(self, targets: Tensor) -> None:
        """Count the tokens of all ranks, where they have targets."""
        self._mean_tokens = None
        if has_tokens(targets):
            total = known(targets).float()
            self._gang.add_up(total).wait()
            self._mean_tokens = total / self._gang.world_size

    def share_of(self, part: Tensor) -> float | Tensor:
        """Return a micro-batch's share, times the number of ranks."""
        if self._mean_tokens is None:
            return len(part) / self._mean_samples
        return known(part) / self._mean_tokens
