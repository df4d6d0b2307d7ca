"""Checkpoints that a script takes and goes back to by functions of its own."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch

from rheostat.errors import FailedPrecondition
from rheostat.runs.checkpoints import (
    MANIFEST_FILE,
    BadCheckpoint,
    CheckpointInfo,
    Manifest,
    folder_name,
    info_of,
    list_checkpoints,
    measure,
    prune,
    remove,
    set_aside,
    verify,
)
from rheostat.runs.durably import sync_folder, write_durably
from rheostat.runs.messages import Message, RollbackCommand, SaveCommand, Saved, SaveFailed
from rheostat.steering.memory import SteeringMemory
from rheostat.steering.remembering import remember
from rheostat.steering.steering import Steering
from rheostat.trainer.progress import Progress

KEEP = 2
"""Newest checkpoints that are kept, beside the pinned."""
STEERING_FILE = "rheostat-steering.msgpack"
PROGRESS_FILE = "rheostat-progress.json"

InFolder = Callable[[Path], object]
"""Writes to a folder, or reads from it, what a script is between two steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One to go back to."""

    info: CheckpointInfo
    steering: SteeringMemory
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What every process of a script is to do between two steps."""

    folder: Path
    back_to: int | None = None
    """Number of finished steps of the checkpoint to go back to; None is to take one."""
    is_probe: bool = False
    """Whether LRs are to be tried out, from what is written there and back to it."""


def try_to_save(save: InFolder, folder: Path) -> str:
    """Have the script write into a folder; return why it could not, empty where it has."""
    try:
        save(folder)
    except Exception as error:  # the run goes on, and whoever asked is told
        return f"the script's save failed with {type(error).__name__}: {error}"
    return ""


class ScriptSaver:
    """Takes the checkpoints that people ask for, between two steps of the script.

    The script writes its files into a folder; what steers it is laid beside them.

    Args:
        folder: of the run's checkpoints.
        run: its name.
        steering: of it.
        progress: of it.
    """

    def __init__(self, folder: Path, run: str, steering: Steering, progress: Progress) -> None:
        self._folder = folder
        self._run = run
        self._steering = steering
        self._progress = progress
        self._asked: list[SaveCommand] = []

    @property
    def passing(self) -> Path:
        """Folder for what the script writes and nobody keeps."""
        return self._folder / ".probe"

    def ask(self, command: SaveCommand) -> None:
        """Have a checkpoint taken after the step that is about to run."""
        self._asked.append(command)

    def owe(self, reason: str) -> None:
        """Take none: before a pause or an end the script saves what it wants to."""

    @property
    def is_asked(self) -> bool:
        """Whether somebody waits for a checkpoint."""
        return bool(self._asked)

    def begin(self) -> Errand:
        """Make room for a checkpoint, and return where the script is to write it."""
        beside = self._folder / f".{folder_name(self._progress.step)}.partial"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        return Errand(folder=beside)

    def finish(self, errand: Errand, problem: str, began: float) -> list[Message]:
        """Make what the script has written a checkpoint, and return the answers.

        Args:
            errand: that of `begin`.
            problem: why the script could not write; empty where it has.
            began: when that began, in seconds of the performance counter.
        """
        asked, self._asked = self._asked, []
        step, seconds = self._progress.step, time.perf_counter() - began
        try:
            if problem:
                raise FailedPrecondition(problem)
            info = self._seal(errand.folder, is_pinned=any(one.pin for one in asked))
        except Exception as error:
            shutil.rmtree(errand.folder, ignore_errors=True)
            return [
                SaveFailed(message=str(error), step=step, command_id=one.command_id)
                for one in asked
            ]
        return [
            Saved(info=info, seconds=seconds, stalled=seconds, command_id=one.command_id)
            for one in asked
        ]

    def find(self, command: RollbackCommand) -> Checkpoint:
        """Return the newest good checkpoint that an operator may mean.

        Raises:
            FailedPrecondition: if there is none, or the script cannot do what is wanted of it.
        """
        if command.skip:
            raise FailedPrecondition(
                "a script goes on with the batches that its loop has next, so it leaves out by "
                "itself what it has seen: go back without skip"
            )
        until = command.step
        if command.back_steps is not None:
            until = self._progress.step - command.back_steps
        for one in reversed(list_checkpoints(self._folder)):
            if until is None or one.step <= until:
                with suppress(BadCheckpoint, OSError, msgspec.DecodeError):
                    return read_checkpoint(Path(one.path))
        which = "" if until is None else f" of step {until} or before"
        raise FailedPrecondition(f"the run has no good checkpoint{which} to go back to")

    def go_back(self, step: int, revision: int) -> None:
        """Put the checkpoints aside that a rollback has undone."""
        set_aside(self._folder, step, revision)

    def _seal(self, beside: Path, *, is_pinned: bool) -> CheckpointInfo:
        progress, revision = self._progress, self._steering.revision
        write_durably(beside / STEERING_FILE, msgspec.msgpack.encode(remember(self._steering)))
        write_durably(beside / PROGRESS_FILE, msgspec.json.encode(progress))
        measured = progress.validation_step == progress.step
        manifest = Manifest(
            run=self._run,
            step=progress.step,
            revision=revision,
            created_at=time.time(),
            reason="asked",
            validation_loss=progress.validation_loss if measured else None,
            pinned=is_pinned,
            files={path.name: measure(path) for path in _files(beside)},
            rheostat=version("rheostat"),
            torch=str(torch.__version__),
        )
        write_durably(beside / MANIFEST_FILE, msgspec.json.encode(manifest))
        sync_folder(beside)
        place = self._folder / folder_name(progress.step)
        if place.exists():
            remove(place)
        beside.rename(place)
        sync_folder(self._folder)
        prune(self._folder, keep=KEEP, keep_best=0, written=progress.step)
        return info_of(place, manifest)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            raise FailedPrecondition(f"save wrote {path.name}, which is no file: write files only")
        yield path


def read_checkpoint(path: Path) -> Checkpoint:
    """Return what a checkpoint says of the run, beside the script's own files.

    Raises:
        BadCheckpoint, OSError, msgspec.DecodeError: if it is not whole.
    """
    manifest = verify(path)
    kept = (path / STEERING_FILE).read_bytes()
    return Checkpoint(
        info=info_of(path, manifest),
        steering=msgspec.msgpack.decode(kept, type=SteeringMemory),
        progress=msgspec.convert(json.loads((path / PROGRESS_FILE).read_text()), Progress),
    )
