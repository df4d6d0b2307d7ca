"""From a checkpoint on the disk to the state it holds."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from rheostat.errors import CheckpointDamaged
from rheostat.runs.checkpoints import Manifest, verify
from rheostat.trainer.checkpoints.tree import join
from rheostat.trainer.checkpoints.writing import STATE_FILE, TENSORS_FILE


def read_checkpoint(checkpoint: Path) -> tuple[Manifest, Any]:
    """Return a checkpoint's manifest and the state it holds, tensors on the host.

    Raises:
        CheckpointDamaged: if a byte of it is not what was written.
    """
    manifest = verify(checkpoint)
    try:
        tensors = load_file(checkpoint / TENSORS_FILE)
        plain = json.loads((checkpoint / STATE_FILE).read_text())
        return manifest, join(tensors, plain)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointDamaged(f"{checkpoint} cannot be read: {error}") from error
