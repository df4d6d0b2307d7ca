"""Runs that are there because a folder says so: `rheostat serve --specs`."""

import hashlib
from pathlib import Path

import structlog

from rheostat.errors import RheostatError
from rheostat.runs.service import RunService

PRINCIPAL = "specs"
"""Who creates these runs."""
_SUFFIXES = (".json", ".yaml", ".yml")

log = structlog.get_logger()


async def create_runs(service: RunService, folder: Path) -> None:
    """Create a run for every spec file of a folder, in the order of their names.

    A file makes one run however often the daemon starts; with new content it makes another. One
    that cannot be run is logged, and does not keep the others from training.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix in _SUFFIXES and path.is_file():
            await _create_run(service, path)


async def _create_run(service: RunService, path: Path) -> None:
    try:
        content = path.read_bytes()
        request_id = f"specs:{path.name}:{hashlib.sha256(content).hexdigest()}"
        view = await service.create_run(
            content.decode(), principal=PRINCIPAL, request_id=request_id, is_trusted=True
        )
    except (OSError, UnicodeDecodeError, RheostatError) as error:
        log.error("spec.refused", file=str(path), why=str(error))
    else:
        log.info("spec.accepted", file=str(path), run=view.name, phase=view.phase)
