"""What a run goes on with, said to whoever lets it go on: what counts over what."""

from collections.abc import Sequence

from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.runs.records import STEERING, RunView


def of_resumed(view: RunView, checkpoints: Sequence[CheckpointInfo]) -> str:
    """Say what a run goes on from that is trained by another trainer than before.

    Args:
        view: of the run.
        checkpoints: all that there are of it, oldest first.
    """
    own = [one for one in checkpoints if one.undone_by is None and not one.in_memory]
    known = own[-1].revision if own else 0
    if own:
        said = (
            f"It goes on from its checkpoint of step {own[-1].step}: schedule, overrides and "
            f"policies are what they were at revision {known}, whatever the spec says"
        )
    else:
        said = "It has no checkpoint and begins anew, as its spec says"
    if view.revision > known:
        first, last = known + 1, view.revision
        which = f"decision {last}" if first == last else f"decisions {first} to {last}"
        said += f"; {which} took effect after that and will again, at the same steps"
    return f"{said}. LRs are what follows from these, never those in the optimizer's state."


def of_fork(view: RunView) -> str:
    """Say what a fork goes on with."""
    origin = view.origin
    assert origin is not None, "a fork is of something"
    if view.attached:
        if STEERING in origin.anew:
            return "Its LRs are what its script says; overrides and policies' factors end there."
        return (
            "Overrides and policies go on as they were there, over what its script says of LRs; "
            "--precedence spec would let them end there."
        )
    if STEERING in origin.anew:
        return "Its LRs are what its own spec says; overrides and policies' factors end there."
    return (
        "Schedule, overrides and policies go on as they were there, over what its spec says of "
        "LRs; --precedence spec would let them end there."
    )
