"""One rank of a run: `python -m rheostat.trainer.distributed RUN FOLDER`, started by the launcher.

Rank 0 is the run's trainer for its daemon; the others know no daemon.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

from rheostat.runs.messages import Failed, Finished
from rheostat.trainer.calling import call_daemon
from rheostat.trainer.distributed.environment import (
    LAUNCHER_VARIABLE,
    LEADS_VARIABLE,
    LOCAL_RANK_VARIABLE,
)
from rheostat.trainer.ending import EXIT_FAILED, tell_the_end

_PR_SET_PDEATHSIG = 1


def main(run: str, folder: Path) -> int:
    """Train as one of several and return the exit code: 0 ended well, 1 failed."""
    if not _die_with(int(os.environ[LAUNCHER_VARIABLE])):
        return EXIT_FAILED
    if LEADS_VARIABLE not in os.environ or os.environ[LOCAL_RANK_VARIABLE] != "0":
        from rheostat.trainer.distributed.taking_part import follow

        return follow()
    # The launcher sends it when another rank has ended. The next word to that one fails, and then
    # there is something to tell.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    # To the daemon the trainer is the launcher, with whom all ranks end.
    link, order = call_daemon(run, folder, pid=os.getppid())

    def work() -> Finished | Failed:
        # torch takes seconds to import: say hello first.
        from rheostat.trainer.distributed.taking_part import lead

        return lead(run, folder, link, order)

    return tell_the_end(link, folder, work)


def _die_with(launcher: int) -> bool:
    """Have the kernel end this process when the launcher ends; False if it has already.

    Only Linux can: elsewhere a launcher that is killed leaves its ranks to find out.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == launcher


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
