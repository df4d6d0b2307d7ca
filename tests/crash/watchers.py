"""Somebody who looks at a run all the time, and remembers what was shown."""

import threading
import time

from tests.crash.daemons import Daemon
from tests.crash.evidence import Sight

from rheostat.errors import RheostatError

_LOOK_SECONDS = 0.05


class Watcher:
    """Looks at a run until it has ended."""

    def __init__(self, daemon: Daemon, run: str) -> None:
        self.sights: list[Sight] = []
        self._daemon = daemon
        self._run = run
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"watcher of {run}", daemon=True)
        self._thread.start()

    def finish(self) -> list[Sight]:
        """Stop looking, and return what was shown."""
        self._is_over.set()
        self._thread.join()
        return self.sights

    def _work(self) -> None:
        while not self._is_over.wait(_LOOK_SECONDS):
            if self._daemon.address is None:
                continue
            try:
                with self._daemon.client() as client:
                    while not self._is_over.wait(_LOOK_SECONDS):
                        snapshot = client.get_run(self._run).snapshot
                        if snapshot is not None and snapshot.train_loss is not None:
                            now, loss = time.monotonic(), snapshot.train_loss
                            self.sights.append(Sight(now, snapshot.step, loss, snapshot.revision))
            except (RheostatError, TimeoutError):
                continue
