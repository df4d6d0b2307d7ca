"""What native libraries write to standard error, as events of the daemon's log.

gRPC shakes hands by itself and tells of a failure in one way only: a line of text on descriptor 2.
Here that descriptor becomes a pipe. A line about a handshake becomes `handshake.refused`, another
line of gRPC's becomes `grpc.said`, and whatever else comes is passed on as it is.
"""

import faulthandler
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TextIO

import structlog

from rheostat.door.tls import log_refusal

_LINE = re.compile(
    r"(?P<level>[IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ (?P<place>\S+:\d+)\] (?P<text>.*)"
)
_HANDSHAKE = re.compile(r"Handshake failed .*OPENSSL_internal:(?P<reason>\w+)(: (?P<more>.+))?")
_VERIFYING = "CERTIFICATE_VERIFY_FAILED"

log = structlog.get_logger()


@contextmanager
def overheard() -> Iterator[TextIO]:
    """Listen to descriptor 2 for the life of the block.

    Yields:
        The standard error that there was, for the log itself and for whatever Python writes.
    """
    sys.stderr.flush()
    real = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    before, was_enabled = sys.stderr, faulthandler.is_enabled()
    with os.fdopen(os.dup(real), "w", buffering=1) as stream:
        sys.stderr = stream
        # The last words of a process that aborts cannot wait for a thread to read them.
        faulthandler.enable(stream)
        thread = Thread(target=_listen, args=(reading, real), name="overhearing", daemon=True)
        thread.start()
        try:
            yield stream
        finally:
            os.dup2(real, 2)  # the last end of the pipe for writing: the thread comes to its end
            thread.join()
            os.close(real)
            sys.stderr = before
            faulthandler.disable()
            if was_enabled:
                faulthandler.enable()


def _listen(reading: int, real: int) -> None:
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            if not tell(line.decode("utf-8", "replace").rstrip("\n")):
                os.write(real, line)


def tell(line: str) -> bool:
    """Log a line of gRPC's; return False where it is none."""
    found = _LINE.fullmatch(line)
    if found is None:
        return False
    handshake = _HANDSHAKE.match(found["text"])
    if handshake is None:
        levels = {"I": log.info, "W": log.warning}
        levels.get(found["level"], log.error)("grpc.said", place=found["place"], text=found["text"])
        return True
    reason, more = handshake["reason"], handshake["more"]
    log_refusal("gRPC", reason, more if reason == _VERIFYING and more else reason)
    return True
