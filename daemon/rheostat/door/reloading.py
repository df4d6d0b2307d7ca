"""Files that may change while the daemon runs: rotated secrets, renewed certificates."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from rheostat.errors import RheostatError

T = TypeVar("T")

log = structlog.get_logger()


class Reloaded(Generic[T]):
    """What some files say, read again when they have changed.

    New content that makes no sense changes nothing: half of a rotation must not lock everybody out.
    It is logged, and the next change is another chance.

    Args:
        paths: of the files; symbolic links are followed, as Kubernetes swaps them.
        read: reads them, and raises an `OSError` or a `RheostatError` where they make no sense;
            the first time that is the caller's.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._paths = paths
        self._read = read
        # Looked at before reading: what changes meanwhile is then a change of the next time.
        self._seen = _look_of(paths)
        self._value = read()

    def current(self) -> T:
        """Return what the files say now. May be called from any thread."""
        look = _look_of(self._paths)
        if look != self._seen:
            self._seen = look
            files = [str(path) for path in self._paths]
            try:
                self._value = self._read()
            except (OSError, RheostatError) as error:
                log.error("files.not_reloaded", files=files, why=str(error))
            else:
                log.info("files.reloaded", files=files)
        return self._value


def _look_of(paths: Sequence[Path]) -> list[tuple[int, ...]]:
    """Return what changes whenever a file is written or replaced; empty for a missing one."""
    looks: list[tuple[int, ...]] = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            looks.append(())
        else:
            looks.append((stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return looks
