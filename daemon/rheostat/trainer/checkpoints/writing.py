"""From a state that stays as it is to a checkpoint on the disk."""

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
import torch.distributed as dist

from rheostat.runs.checkpoints import CheckpointInfo, FileInfo, Manifest
from rheostat.trainer.checkpoints.drafts import Draft
from rheostat.trainer.checkpoints.files import file_of, write_rest, write_tensors
from rheostat.trainer.checkpoints.state import MODEL, OPTIMIZER, State


def write_state(
    folder: Path,
    state: State,
    *,
    run: str,
    spec_sha256: str,
    reason: str,
    pinned: bool = False,
    clock: Callable[[], float] = time.time,
    group: dist.ProcessGroup | None = None,
) -> CheckpointInfo:
    """Write a checkpoint beside its place, make it durable, and move it there.

    One of the same step that is there already gives way, and if it was pinned, this one is.

    Args:
        folder: of the run's checkpoints; made if it is not there.
        state: one that stays as it is meanwhile.
        run: whose it is.
        spec_sha256: of the run's spec.
        reason: why it is written, see `Manifest`.
        pinned: whether it is kept until somebody removes it.
        clock: seconds since the epoch.
        group: the processes that write their own parts of it at the same time, this one first;
            None where this one has it all.

    Raises:
        OSError: if the disk takes it not, of whichever process; nothing is left of it then.
    """
    draft = Draft(folder, state.step)

    def finish(files: dict[str, FileInfo]) -> CheckpointInfo:
        manifest = Manifest(
            run=run,
            step=state.step,
            revision=state.revision,
            created_at=clock(),
            reason=reason,
            validation_loss=state.validation_loss,
            pinned=pinned or draft.was_pinned,
            files=files,
            rheostat=version("rheostat"),
            torch=str(torch.__version__),
            spec_sha256=spec_sha256,
        )
        return draft.finish(manifest)

    try:
        if group is not None:
            # Takes a while to import, for what few runs need.
            from rheostat.trainer.checkpoints.together import write_first_part

            return write_first_part(draft, state, group, finish)
        draft.begin()
        files = {
            file_of(part): write_tensors(draft.path / file_of(part), state.tensors[part])
            for part in (MODEL, OPTIMIZER)
        }
        return finish(files | write_rest(draft.path, state))
    except BaseException:
        draft.drop()
        raise
