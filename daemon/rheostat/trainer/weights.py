"""The trained weights, as a file that nothing has to execute to read."""

from pathlib import Path

from safetensors.torch import save_model
from torch import nn

WEIGHTS_FILE = "model.safetensors"


def save_weights(model: nn.Module, folder: Path) -> Path:
    """Write the weights beside their final place, then move them there; return the place."""
    path = folder / WEIGHTS_FILE
    beside = path.with_suffix(".partial")
    save_model(model, str(beside))
    beside.replace(path)
    return path
