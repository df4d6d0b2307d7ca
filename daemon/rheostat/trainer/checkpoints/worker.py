"""A thread that works while the loop goes on."""

import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue

Work = Callable[[], None]


class Worker:
    """Does one thing at a time, in a thread that is kept: to begin one costs a fifth of a
    millisecond, and more on a busy machine. It ends with the process.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._work: SimpleQueue[Work] = SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()

    @property
    def is_busy(self) -> bool:
        """Whether it has not done yet what it was given."""
        return not self._idle.is_set()

    def start(self, work: Work) -> None:
        """Have something done; to be called when it is not busy."""
        self._idle.clear()
        self._work.put(work)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Wait until it is not busy."""
        self._idle.wait()

    def _run(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            except Exception:
                # What must be known of a failure is told by the work itself.
                traceback.print_exc()
            finally:
                del work
                self._idle.set()
