"""The trainer process: `python -m rheostat.trainer RUN FOLDER`, started by the daemon.

FOLDER holds `spec.json` and takes the final weights; where the daemon's socket is found, and the
secret that opens it, come by the environment, where other users cannot read them.
"""

import os
import sys
import traceback
from pathlib import Path

import msgspec

from rheostat.errors import InvalidSpec
from rheostat.runs import letters
from rheostat.runs.messages import Failed, Finished, Message
from rheostat.runs.records import Failure
from rheostat.runs.starting import (
    LINK_VARIABLE,
    LOCK_VARIABLE,
    START_FILE,
    TOKEN_VARIABLE,
    StartOrder,
)
from rheostat.trainer.link import Link
from rheostat.trainer.refusals import violations_of

EXIT_OK, EXIT_FAILED = 0, 1


def main(run: str, folder: Path) -> int:
    """Train one run and return the exit code: 0 ended well, 1 failed.

    Without a daemon to tell, the last words become a letter to the next one.
    """
    _sign(int(os.environ[LOCK_VARIABLE]))
    order = msgspec.json.decode((folder / START_FILE).read_bytes(), type=StartOrder)
    link = Link(
        Path(os.environ[LINK_VARIABLE]), run, os.environ[TOKEN_VARIABLE], patience=order.patience
    )
    try:
        last = _train(run, folder, link, order)
    except InvalidSpec as error:
        message = f"the spec cannot be run: {error}"
        kind, violations = type(error).__name__, violations_of(error)
        last = Failed(failure=Failure(message=message, kind=kind, violations=violations))
    except Exception as error:
        text = traceback.format_exc()
        print(text, file=sys.stderr)
        kind = type(error).__name__
        last = Failed(failure=Failure(message=f"{kind}: {error}", kind=kind, traceback=text))
    if untold := link.close(last):
        letters.leave(folder, untold)
    return EXIT_OK if isinstance(last, Finished) else EXIT_FAILED


def _sign(lock: int) -> None:
    """Write down who holds the lock, and keep it from programs that this one starts."""
    os.set_inheritable(lock, False)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)


def _train(run: str, folder: Path, link: Link, order: StartOrder) -> Message:
    # torch takes seconds to import: say hello first.
    from rheostat.trainer.checkpoints.starting import start
    from rheostat.trainer.learning import NonFiniteLoss
    from rheostat.trainer.modes import evaluation_mode
    from rheostat.trainer.weights import save_weights

    loop = start(run, folder, link, order)
    parts = loop.parts
    try:
        result = loop.run()
    except NonFiniteLoss:
        evaluation_mode(parts.model, parts.optimizer)
        save_weights(parts.model, folder)  # those of the step before
        loop.report()
        raise
    except Exception:
        loop.report()
        raise
    evaluation_mode(parts.model, parts.optimizer)
    weights = save_weights(parts.model, folder)
    return Finished(
        result=msgspec.structs.replace(result, weights=str(weights)), stopped=loop.is_stopped
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
