"""CIFAR-10, from the pickled batches of its "python version".

A pickle can run code. So a batch is unpickled only after its MD5 has been found right, and even
then by an unpickler that knows NumPy arrays and nothing else.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rheostat.trainer.data.files import check_md5, find_folder, invalid_root, read_content
from rheostat.trainer.data.records import Collection, ResidentSplit

FOLDER = "cifar-10-batches-py"
MEND = (
    f"unpack the original cifar-10-python.tar.gz, and let data.root be the folder {FOLDER} or the "
    "one above it"
)
TEST_BATCH = "test_batch"
MD5: Mapping[str, str] = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    TEST_BATCH: "40351d587109b95175f43aff81a1287e",
}


def read_cifar10(root: str | None = None) -> Collection:
    """Return CIFAR-10: (3, 32, 32) uint8 images of 10 classes, 50,000 and 10,000 for the test."""
    return read_batches(root, MD5)


def read_batches(root: str | None, md5: Mapping[str, str]) -> Collection:
    """Read the training batches now and the test batch when asked.

    Args:
        root: The folder of the batches, or the one above it.
        md5: MD5 of each batch, in hex, by its file's name.

    Raises:
        InvalidSpec: a batch is missing, truncated, or not the published one.
    """
    if root is None:
        raise invalid_root(None, f"a folder; {MEND}")
    top = Path(root).expanduser()
    training = [name for name in md5 if name != TEST_BATCH]
    parts = [_read_batch(top, name, md5[name]) for name in training]
    return Collection(
        train=ResidentSplit(
            torch.cat([part.inputs for part in parts]), torch.cat([part.targets for part in parts])
        ),
        test=lambda: _read_batch(top, TEST_BATCH, md5[TEST_BATCH]),
        share=0.1,
        classes=10,
    )


def _read_batch(root: Path, name: str, md5: str) -> ResidentSplit:
    path = find_folder(root, [FOLDER]) / name
    if not path.is_file():
        raise invalid_root(root, f"{path} is missing; {MEND}")
    content = read_content(path, root, MEND)
    check_md5(content, md5, path, root, MEND)
    batch = unpickle_arrays(content)
    return ResidentSplit(
        torch.tensor(batch["data"]).reshape(-1, 3, 32, 32), torch.tensor(batch["labels"])
    )


def unpickle_arrays(content: bytes) -> Any:
    """Return what a pickle of NumPy arrays, lists and plain values holds.

    Raises:
        pickle.UnpicklingError: it asks for anything else.
    """
    return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the names of which NumPy builds an array, old spelling and new."""

    # NumPy moves this function about between releases; an array always knows where it is.
    _RECONSTRUCT = np.empty(0).__reduce__()[0]
    _KNOWN: Mapping[tuple[str, str], Any] = {
        ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} has no business in a data set")
        return self._KNOWN[module, name]
