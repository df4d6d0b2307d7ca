"""What the daemon writes down as it works: one event a line, for people or for machines."""

import logging
import sys
from typing import TextIO

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
    for_people = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    for_machines = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(for_machines if log_format == "json" else [for_people]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[log_level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
