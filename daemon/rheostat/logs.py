"""What the daemon writes down as it works: one event a line, for people or for machines."""

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from io import TextIOBase
from typing import Any, TextIO, cast

import structlog


def configure_logs(log_format: str, log_level: str, output: TextIO | None = None) -> None:
    """Send structured logs to a stream.

    Args:
        log_format: `json` for one JSON object per line, `human` for reading.
        log_level: least severity: debug, info, warning, error.
        output: where to; None is standard error.
    """
    stream = output or sys.stderr
    # Plain tracebacks: the rich ones print local variables, and those hold people's requests.
    for_people: list[structlog.typing.Processor] = [
        _without_controls,
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        ),
    ]
    for_machines: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(for_machines if log_format == "json" else for_people),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[log_level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Forgiving(stream))),
        cache_logger_on_first_use=False,
    )
    libraries = logging.getLogger()
    if not any(isinstance(handler, _Libraries) for handler in libraries.handlers):
        libraries.addHandler(_Libraries(logging.WARNING))


class _Forgiving(TextIOBase):
    """Drops what a stream does not take, as on a full disk: a daemon must outlive its log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what can be handed on."""
        with suppress(OSError):
            self._stream.flush()


class _Libraries(logging.Handler):
    """Writes what libraries log by the standard library into the same stream, as events."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        said = {"library": record.name, "text": record.getMessage()}
        structlog.get_logger().log(
            record.levelno, "library.said", exc_info=record.exc_info or None, **said
        )


def _without_controls(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make characters visible by which a caller could write to the terminal of who reads this."""
    return {
        key: value if not isinstance(value, str) or value.isprintable() else _visible(value)
        for key, value in event.items()
    }


def _visible(text: str) -> str:
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
