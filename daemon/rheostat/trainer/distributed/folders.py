"""Whether all ranks see, and can write to, the folder of a run's checkpoints."""

import shutil
import uuid
from pathlib import Path

from rheostat.trainer.distributed.gang import Gang


def offer_folder(gang: Gang, folder: Path) -> bool:
    """Let all ranks try a folder, and return whether each can write there; rank 0's half.

    Each leaves a file of its own in a new folder there, and rank 0 looks for it. So a folder of the
    same name on another machine is not taken for this one.

    Args:
        gang: the ranks.
        folder: of the run's checkpoints; made if it is not there.
    """
    # The names are new each time: no file system can remember that they are not there.
    probe = folder / f".probe-{uuid.uuid4().hex}"
    try:
        probe.mkdir(parents=True)
    except OSError as error:
        print(f"rank 0 does not write to {folder}: {error}", flush=True)
        gang.share("")
        return False
    try:
        gang.share(str(probe))
        gang.compare(0)
        found = all((probe / str(rank)).exists() for rank in range(1, gang.world_size))
        gang.share(found)
    finally:
        shutil.rmtree(probe, ignore_errors=True)
    return found


def try_folder(gang: Gang) -> Path | None:
    """Return rank 0's folder of checkpoints if all ranks can write there; the others' half."""
    told = gang.share(None)
    if not told:
        return None
    probe = Path(told)
    try:
        (probe / str(gang.rank)).touch()
    except OSError as error:
        print(f"rank {gang.rank} does not write to {probe.parent}: {error}", flush=True)
    gang.compare(0)
    return probe.parent if gang.share(None) else None
