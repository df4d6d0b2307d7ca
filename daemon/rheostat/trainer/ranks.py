"""Who decides when several processes train one run: rank 0, and the others follow."""

from typing import Protocol


class Ranks(Protocol):
    """The processes of a run, seen from one of them.

    `share` is called by every rank at every boundary, after rank 0 has steered and before anybody
    writes to its optimizer, so all use the same LRs in the same step.
    """

    rank: int
    world_size: int

    def share(self, learning_rates: list[float]) -> list[float]:
        """Return rank 0's LRs, one per group in the order of the groups."""
        ...


class Alone:
    """One process: it is rank 0 and keeps its own counsel."""

    rank = 0
    world_size = 1

    def share(self, learning_rates: list[float]) -> list[float]:
        """Return the LRs as they are."""
        return learning_rates
