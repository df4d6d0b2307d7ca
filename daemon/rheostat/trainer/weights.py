"""The trained weights, as a file that nothing has to execute to read."""

from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import save_file, save_model
from torch import Tensor, nn

WEIGHTS_FILE = "model.safetensors"


def save_weights(model: nn.Module, folder: Path) -> Path:
    """Write the weights beside their final place, then move them there; return the place."""
    return _write(folder, lambda beside: save_model(model, str(beside)))


def save_tensors(tensors: Mapping[str, Tensor], folder: Path) -> Path:
    """Do the same with weights that are not in a model."""
    return _write(folder, lambda beside: save_file(dict(tensors), beside))


def _write(folder: Path, write: Callable[[Path], object]) -> Path:
    path = folder / WEIGHTS_FILE
    beside = path.with_suffix(".partial")
    write(beside)
    beside.replace(path)
    return path
