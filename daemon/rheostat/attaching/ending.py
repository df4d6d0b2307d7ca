"""What the daemon is told of a script's end."""

import traceback

from rheostat.runs.messages import Failed, Finished, Message
from rheostat.runs.records import Failure, Result
from rheostat.trainer.progress import Progress


def last_words(
    progress: Progress, error: BaseException | None, *, is_stopped: bool = False
) -> Message:
    """Return what the daemon is told of the end.

    Args:
        progress: of the run.
        error: what ended the script; None where it has come to its end.
        is_stopped: whether it ends because somebody wanted it to.
    """
    is_exit = isinstance(error, SystemExit) and error.code in (None, 0)
    is_interrupted = isinstance(error, KeyboardInterrupt)
    if error is None or is_exit or is_interrupted:
        result = Result(
            steps=progress.step,
            train_loss=progress.train_loss,
            validation_loss=progress.validation_loss,
            validation_accuracy=progress.validation_accuracy,
        )
        return Finished(result=result, stopped=is_stopped or is_interrupted)
    kind, text = type(error).__name__, "".join(traceback.format_exception(error))
    return Failed(failure=Failure(message=f"{kind}: {error}", kind=kind, traceback=text))
