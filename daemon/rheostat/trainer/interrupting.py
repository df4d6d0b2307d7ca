"""A limit on how long somebody else's code may keep the training loop."""

import signal
from types import FrameType, TracebackType
from typing import Self

from rheostat.steering.policies import PolicyHangs

LIMIT_SECONDS = 5.0
_AGAIN_SECONDS = 1.0


class Interrupt:
    """Raises `PolicyHangs` out of the block that takes longer than some seconds, and again each
    second after.

    It works by SIGALRM, so in the main thread only, and reaches Python code and calls that wait;
    a loop inside a C extension is out of its reach.
    """

    def __init__(self, seconds: float = LIMIT_SECONDS) -> None:
        self._seconds = seconds

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._seconds, _AGAIN_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while True:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
                signal.signal(signal.SIGALRM, self._before)
                return
            except PolicyHangs:  # it rang while it was being switched off
                continue

    def _ring(self, number: int, frame: FrameType | None) -> None:
        raise PolicyHangs(f"it did not return within {self._seconds:g} s and was interrupted")
