"""The trainer process: `python -m rheostat.trainer RUN FOLDER`, started by the daemon.

FOLDER holds `spec.json` and takes the final weights; the socket and the secret that opens it come
by the environment, where other users cannot read them.
"""

import os
import sys
import traceback
from pathlib import Path

import msgspec

from rheostat.errors import InvalidSpec
from rheostat.runs.messages import Failed, Finished, Message
from rheostat.runs.records import Failure
from rheostat.runs.starting import LINK_VARIABLE, TOKEN_VARIABLE
from rheostat.trainer.link import Link, LinkLost
from rheostat.trainer.refusals import violations_of

EXIT_OK, EXIT_FAILED, EXIT_LINK_LOST = 0, 1, 3


def main(run: str, folder: Path) -> int:
    """Train one run and return the exit code: 0 ended well, 1 failed, 3 the daemon is gone."""
    link = Link(os.environ[LINK_VARIABLE])
    link.hello(run, os.environ[TOKEN_VARIABLE], os.getpid())
    try:
        last = _train(run, folder, link)
    except LinkLost as error:
        print(f"the daemon is gone ({error}); stopping", file=sys.stderr)
        return EXIT_LINK_LOST
    except InvalidSpec as error:
        message = f"the spec cannot be run: {error}"
        last = Failed(failure=Failure(message=message, violations=violations_of(error)))
    except Exception as error:
        text = traceback.format_exc()
        print(text, file=sys.stderr)
        last = Failed(failure=Failure(message=f"{type(error).__name__}: {error}", traceback=text))
    link.send(last)
    link.close()
    return EXIT_OK if isinstance(last, Finished) else EXIT_FAILED


def _train(run: str, folder: Path, link: Link) -> Message:
    # torch takes seconds to import: say hello first.
    from rheostat.trainer.checkpoints.starting import start
    from rheostat.trainer.learning import NonFiniteLoss
    from rheostat.trainer.modes import evaluation_mode
    from rheostat.trainer.weights import save_weights

    loop = start(run, folder, link)
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
