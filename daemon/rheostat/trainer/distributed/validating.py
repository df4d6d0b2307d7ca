"""The validation set, shared out among the ranks batch by batch."""

from itertools import islice

from rheostat.trainer.building import Parts
from rheostat.trainer.distributed.gang import Gang
from rheostat.trainer.tallying import Tally, result_of, tally


def validate_together(gang: Gang, parts: Parts) -> tuple[float, float | None]:
    """Return mean loss and accuracy at rank 0, where they are those that one process would find.

    Rank r looks at batches r, r + world size, ...; rank 0 puts what was found in order again before
    it is summed. What is returned elsewhere means nothing.
    """
    own = islice(parts.validation, gang.rank, None, gang.world_size)
    found: list[list[Tally]] = gang.collect(tally(parts.model, parts.loss, own))
    rounds = max(map(len, found), default=0)
    return result_of([one[turn] for turn in range(rounds) for one in found if turn < len(one)])
