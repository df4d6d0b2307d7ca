"""What goes wrong, or is watched, while ranks write their parts; each is called with the rank."""

import os
import signal
from pathlib import Path


def count_wholes(folder: Path, rank: int) -> None:
    """Write down how large each tensor is that is brought together, in each rank's own file."""
    from torch.distributed.tensor import DTensor

    bring = DTensor.full_tensor

    def noting(self, *args, **fields):
        with (folder / f"wholes-{rank}").open("a") as file:
            file.write(f"{self.numel()}\n")
        return bring(self, *args, **fields)

    DTensor.full_tensor = noting


def fail_once(folder: Path, rank: int) -> None:
    """Let the disk of rank 1 be full for its first file, and count what is brought together."""
    from rheostat.trainer.checkpoints import storage

    count_wholes(folder, rank)
    write, times = storage.write_tensors, []

    def failing(path, tensors):
        times.append(path)
        if rank == 1 and len(times) == 1:
            raise OSError(28, "No space left on device")
        return write(path, tensors)

    storage.write_tensors = failing


def die_at_the_second(rank: int) -> None:
    """Kill rank 1 when it has written half of its second checkpoint."""
    from rheostat.trainer.checkpoints import storage

    write, times = storage.write_tensors, []

    def dying(path, tensors):
        times.append(path)
        if rank == 1 and len(times) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(path, tensors)

    storage.write_tensors = dying


def be_elsewhere(rank: int) -> None:
    """Let no other rank than the first see its folders."""
    touch = Path.touch

    def failing(self, *args, **fields):
        if rank > 0 and self.parent.name.startswith(".probe-"):
            raise FileNotFoundError(2, "No such file or directory", str(self))
        touch(self, *args, **fields)

    Path.touch = failing
