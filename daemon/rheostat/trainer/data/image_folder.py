"""Images sorted into one sub-folder per class."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from rheostat.trainer.data.factories import invalid_arg
from rheostat.trainer.data.files import find_folder, invalid_root
from rheostat.trainer.data.records import Collection, ResidentSplit, Split, StreamedSplit

MEND = "put one sub-folder per class into data.root, or into train/ (and val/) below it"
SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
RESIDENT_BYTES = 2**30
"""Decoded images up to this size are kept in memory; more are decoded as they are needed."""


class DamagedImageError(ValueError):
    """A file is no image; the message names it."""


class ImageFiles:
    """A map-style data set that decodes an image each time it is asked for it.

    Images become RGB, scaled and cropped at the centre to `size` by `size` pixels.
    """

    def __init__(self, paths: Sequence[Path], targets: Tensor, size: int) -> None:
        self._paths = paths
        self._targets = targets
        self._size = size

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.decode(index), self._targets[index]

    def decode(self, index: int) -> Tensor:
        """Return one image as (3, size, size) uint8.

        Raises:
            DamagedImageError: the file cannot be decoded.
        """
        path = self._paths[index]
        try:
            with Image.open(path) as image:
                square = ImageOps.fit(image.convert("RGB"), (self._size, self._size))
        except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error...
            raise DamagedImageError(f"{path} is not an image that can be read ({error})") from error
        return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def read_image_folder(root: str | None = None, size: int = 32) -> Collection:
    """Return the images below `root` as (3, size, size) uint8.

    Args:
        root: Folder of the class folders, or of `train` and optionally `val` which hold them.
        size: Width and height the images are brought to, in pixels.

    Raises:
        InvalidSpec: there are no images, a class of `val` is unknown, or an image is damaged.
    """
    if size < 1:
        raise invalid_arg("data", "size", size, "a number of pixels, at least 1")
    if root is None:
        raise invalid_root(None, f"a folder of images; {MEND}")
    top = Path(root).expanduser()
    training = find_folder(top, ["train"])
    classes = _class_names(training, top)
    own_validation = top / "val"
    return Collection(
        train=_read_split(training, top, classes, size),
        validation=(
            _read_split(own_validation, top, classes, size)
            if training != top and own_validation.is_dir()
            else None
        ),
        share=0.2,
        classes=len(classes),
    )


def _class_names(folder: Path, root: Path) -> list[str]:
    if not folder.is_dir():
        raise invalid_root(root, f"{folder} is no folder; {MEND}")
    names = sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
    )
    if not names:
        raise invalid_root(root, f"{folder} has no class folders; {MEND}")
    return names


def _read_split(folder: Path, root: Path, classes: Sequence[str], size: int) -> Split:
    strangers = set(_class_names(folder, root)) - set(classes)
    if strangers:
        names = ", ".join(sorted(strangers))
        raise invalid_root(root, f"{folder} has classes without training images: {names}")
    paths, targets = [], []
    for target, name in enumerate(classes):
        images = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in SUFFIXES)
        paths += images
        targets += [target] * len(images)
    if not paths:
        raise invalid_root(root, f"{folder} holds no images in its class folders; {MEND}")
    files = ImageFiles(paths, torch.tensor(targets), size)
    if len(paths) * 3 * size * size > RESIDENT_BYTES:
        return StreamedSplit(files, torch.tensor(targets))
    return ResidentSplit(_decode_all(files, root), torch.tensor(targets))


def _decode_all(files: ImageFiles, root: Path) -> Tensor:
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="image decoder") as threads:
        try:
            return torch.stack(list(threads.map(files.decode, range(len(files)))))
        except DamagedImageError as error:
            threads.shutdown(cancel_futures=True)
            raise invalid_root(root, f"{error}; replace or remove it") from error
