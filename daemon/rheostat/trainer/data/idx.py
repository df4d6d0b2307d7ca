"""MNIST and Fashion-MNIST, in the IDX format they were published in.

IDX: two zero bytes, a type (8 is uint8), the number of dimensions, each dimension as a big-endian
32-bit number, then the values. The MD5s are those of the content, not of the `.gz` around it:
Debian and other mirrors compress the same content anew.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from rheostat.trainer.data.files import check_md5, invalid_root, read_content
from rheostat.trainer.data.records import Collection, ResidentSplit

_UINT8 = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class IdxSet:
    """One data set that was published as four IDX files."""

    title: str
    folder: str
    """Name of its folder below a torchvision root."""
    md5: Mapping[str, str]
    """MD5 of each file's content, in hex, by the file's name without `.gz`."""
    default_root: Path | None = None
    """Where a distribution's package puts the files."""
    package: str = ""
    """That package's name."""

    @property
    def mend(self) -> str:
        """What to do when the files are not right."""
        names = ", ".join(self.md5)
        mend = (
            f"put the original files of {self.title} ({names}; plain or .gz) into data.root or "
            f"into {self.folder}/raw below it"
        )
        return f"{mend}, or apt-get install {self.package}" if self.package else mend


MNIST = IdxSet(
    title="MNIST",
    folder="MNIST",
    md5={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
)

FASHION_MNIST = IdxSet(
    title="Fashion-MNIST",
    folder="FashionMNIST",
    md5={
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    default_root=Path("/usr/share/datasets/fashion-mnist"),
    package="dataset-fashion-mnist",
)


def read_mnist(root: str | None = None) -> Collection:
    """Return MNIST: (1, 28, 28) uint8 images of 10 classes, 60,000 and 10,000 for the test."""
    return read_idx_set(MNIST, root)


def read_fashion_mnist(root: str | None = None) -> Collection:
    """Return Fashion-MNIST: like MNIST, of clothes; `root` defaults to Debian's folder."""
    return read_idx_set(FASHION_MNIST, root)


def read_idx_set(source: IdxSet, root: str | None) -> Collection:
    """Read the training files now and the test files when asked.

    Raises:
        InvalidSpec: a file is missing, truncated, or not the published one.
    """
    if root is None and source.default_root is not None and source.default_root.is_dir():
        top = source.default_root
    elif root is None:
        raise invalid_root(None, f"a folder; {source.mend}")
    else:
        top = Path(root).expanduser()
    return Collection(
        train=_read_part(source, top, "train"),
        test=lambda: _read_part(source, top, "t10k"),
        share=1 / 6,
    )


def _read_part(source: IdxSet, root: Path, part: str) -> ResidentSplit:
    names = [name for name in source.md5 if name.startswith(part)]
    images, labels = (_read_values(source, root, name) for name in names)
    if len(images) != len(labels):
        counts = f"{len(images)} images but {len(labels)} labels"
        raise invalid_root(root, f"files that belong together: {part} has {counts}; {source.mend}")
    return ResidentSplit(images.unsqueeze(1), labels.long())


def _read_values(source: IdxSet, root: Path, name: str) -> Tensor:
    folders = (root, root / source.folder / "raw", root / "raw")
    candidates = [folder / file for folder in folders for file in (name, f"{name}.gz")]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise invalid_root(root, f"{root / name}.gz is missing; {source.mend}")
    content = read_content(path, root, source.mend)
    try:
        values = parse_idx(content)
    except ValueError as error:
        raise invalid_root(root, f"{path} {error}; {source.mend}") from error
    check_md5(content, source.md5[name], path, root, source.mend)
    return values


def parse_idx(content: bytes) -> Tensor:
    """Return the uint8 tensor in the content of an IDX file.

    Raises:
        ValueError: it is no IDX file of uint8, or its length is not what its header says.
    """
    if len(content) < 4 or content[:3] != bytes([0, 0, _UINT8]):
        raise ValueError(
            f"is no IDX file of bytes: it starts with {content[:4].hex() or 'nothing'}"
        )
    dimensions = content[3]
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise ValueError(f"is truncated: {len(content)} bytes, and the header alone has {header}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) != header + prod(shape):
        state = "truncated" if len(content) < header + prod(shape) else "damaged"
        said = f"{len(content)} bytes, and the header promises {header + prod(shape)}"
        raise ValueError(f"is {state}: {said}")
    # A bytearray, because torch refuses to share memory that nobody may write to.
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[header:].reshape(shape)
