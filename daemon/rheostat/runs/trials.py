"""What probes have found: LRs that were tried, and what came of each."""

import msgspec


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What some steps with one LR came to."""

    learning_rate: float
    """As asked for."""
    used: dict[str, float] = {}
    """By group, as the guardrails let it be."""
    guardrails: tuple[str, ...] = ()
    """The rules that bent it."""
    losses: tuple[float, ...] = ()
    """Training loss of each step; one that is not finite is the last."""
    end_loss: float | None = None
    """Mean over the last quarter of the steps; None where the loss was not finite."""


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe found."""

    step: int
    """Number of finished steps when it was made, and still."""
    steps: int
    """Of each trial."""
    groups: tuple[str, ...]
    """Those that had the LR; the others went on with their own."""
    trials: tuple[Trial, ...]
    """In the order asked for."""
    lowest: float | None = None
    """The LR with the lowest loss at the end."""
    steepest: float | None = None
    """The LR at which the loss at the end, smoothed, falls fastest over log(LR)."""
    seconds: float
    """In which the run stood still."""
    batches: int = 0
    """How many the loop of an attached script has handed out for it: each trial had others, unless
    the script's restore, or a random generator that is put back, brings them back. 0 for a loop of
    ours: all had the same."""
