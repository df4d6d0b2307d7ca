"""The trainer process: `python -m rheostat.trainer RUN FOLDER`, started by the daemon.

FOLDER holds `spec.json` and takes the final weights; where the daemon's socket is found, and the
secret that opens it, come by the environment, where other users cannot read them. A run of several
processes makes this one their launcher.
"""

import os
import sys
from pathlib import Path

import msgspec

from rheostat.runs.messages import Finished
from rheostat.runs.starting import LOCK_VARIABLE, RENDEZVOUS_VARIABLE, SPEC_FILE
from rheostat.trainer.calling import call_daemon
from rheostat.trainer.distributed.environment import Size
from rheostat.trainer.ending import tell_the_end, train_to_end


class _Spec(msgspec.Struct):
    """What of a spec says how many processes train it; to read all of it takes a while."""

    train: Size


def main(run: str, folder: Path) -> int:
    """Train one run and return the exit code: 0 ended well, 1 failed."""
    _sign(int(os.environ[LOCK_VARIABLE]))
    size = msgspec.json.decode((folder / SPEC_FILE).read_bytes(), type=_Spec).train
    if size.processes * size.nodes > 1:
        from rheostat.trainer.distributed.launching import launch

        return launch(run, folder, size, os.environ.get(RENDEZVOUS_VARIABLE))
    link, order = call_daemon(run, folder)

    def work() -> Finished:
        # torch takes seconds to import: say hello first.
        from rheostat.trainer.checkpoints.starting import start

        return train_to_end(folder, start(run, folder, link, order))

    return tell_the_end(link, folder, work)


def _sign(lock: int) -> None:
    """Write down who holds the lock, and keep it from programs that this one starts."""
    os.set_inheritable(lock, False)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
