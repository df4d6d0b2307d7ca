"""How a trainer's work ends, and what it says then."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from rheostat.errors import InvalidSpec
from rheostat.runs import letters
from rheostat.runs.messages import Failed, Finished
from rheostat.runs.records import Failure
from rheostat.trainer.link import Link
from rheostat.trainer.refusals import violations_of

if TYPE_CHECKING:
    # torch takes seconds to import, and whoever tells the end says hello first.
    from rheostat.trainer.loop import Loop

EXIT_OK, EXIT_FAILED = 0, 1


def tell_the_end(link: Link, folder: Path, work: Callable[[], Finished | Failed]) -> int:
    """Do a trainer's work and tell how it ended; return the exit code.

    Without a daemon to tell, the last words become a letter to the next one.

    Args:
        link: of the trainer.
        folder: of its run.
        work: returns the last words, or raises.
    """
    try:
        last = work()
    except Exception as error:
        last = Failed(failure=failure_of(error))
    if untold := link.close(last):
        letters.leave(folder, untold)
    return EXIT_OK if isinstance(last, Finished) else EXIT_FAILED


def train_to_end(folder: Path, loop: "Loop") -> Finished:
    """Train a run to its end, write its weights into its folder, and return the last words.

    Raises:
        NonFiniteLoss: if a loss is not finite; the weights of the step before are written.
        Exception: whatever else the loop raises; what had been done is told.
    """
    from rheostat.trainer.learning import NonFiniteLoss
    from rheostat.trainer.modes import evaluation_mode

    parts = loop.parts
    try:
        result = loop.run()
    except NonFiniteLoss:
        evaluation_mode(parts.model, parts.optimizer)
        loop.save_weights(folder)  # those of the step before
        loop.report()
        raise
    except Exception:
        loop.report()
        raise
    evaluation_mode(parts.model, parts.optimizer)
    weights = loop.save_weights(folder)
    return Finished(
        result=msgspec.structs.replace(result, weights=str(weights)), stopped=loop.is_stopped
    )


def failure_of(error: Exception) -> Failure:
    """Return what is to be said of an exception that ends the work; prints its traceback."""
    kind = type(error).__name__
    if isinstance(error, InvalidSpec):
        message = f"the spec cannot be run: {error}"
        return Failure(message=message, kind=kind, violations=violations_of(error))
    text = "".join(traceback.format_exception(error))
    print(text, file=sys.stderr, flush=True)
    return Failure(message=f"{kind}: {error}", kind=kind, traceback=text)
