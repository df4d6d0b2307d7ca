"""How often operators may ask."""

from collections import deque
from collections.abc import Iterable

_WINDOW_SECONDS = 60.0


class Pace:
    """Counts events in the last minute."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        """Events allowed in any minute; None is any number."""
        self._times: deque[float] = deque(maxlen=most)

    def wait(self, now: float) -> float:
        """Return the seconds until one more event is allowed; 0 or less is now."""
        self._follow(now)
        if self.most is None or len(self._times) < self.most:
            return 0.0
        return self._times[0] + _WINDOW_SECONDS - now

    def note(self, now: float) -> None:
        """Count an event, in seconds since the epoch."""
        self._follow(now)
        if self.most is not None:
            self._times.append(now)

    def _follow(self, now: float) -> None:
        """Go back with a clock that was set back: events to come would lock everybody out."""
        if self._times and now < self._times[-1]:
            back = self._times[-1] - now
            self._times = deque((time - back for time in self._times), maxlen=self.most)

    def memory(self) -> tuple[float, ...]:
        """Return the times it counts, oldest first."""
        return tuple(self._times)

    def recall(self, times: Iterable[float]) -> None:
        """Count what `memory` returned, and nothing else."""
        self._times.clear()
        self._times.extend(times)
