"""Which checkpoints are kept."""

from pathlib import Path

from rheostat.runs.checkpoints import list_checkpoints


def superfluous(folder: Path, keep: int) -> list[Path]:
    """Return the checkpoints that need not be kept, oldest first.

    The newest `keep` stay, the one with the lowest validation loss, and all that are pinned.
    """
    found = list_checkpoints(folder)
    measured = [(path, one) for path, one in found if one.validation_loss is not None]
    best = min(measured, key=lambda each: each[1].validation_loss or 0.0, default=(None, None))[0]
    newest = {path for path, _ in found[len(found) - keep :]} if keep else set()
    return [
        path for path, one in found if path not in newest and path != best and not one.pinned
    ]
