"""From the `data` section of a spec to splits in memory."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Subset

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.models import DataSpec
from rheostat.trainer.data.adopting import adopt
from rheostat.trainer.data.cifar10 import read_cifar10
from rheostat.trainer.data.digits import read_digits
from rheostat.trainer.data.factories import Factory, FactoryKind, invalid_arg, parameter
from rheostat.trainer.data.files import invalid_root
from rheostat.trainer.data.idx import read_fashion_mnist, read_mnist
from rheostat.trainer.data.image_folder import read_image_folder
from rheostat.trainer.data.records import (
    Collection,
    Data,
    DataDescription,
    ResidentSplit,
    Split,
    StreamedSplit,
)
from rheostat.trainer.data.splitting import split_indices
from rheostat.trainer.data.text import read_text

BUILTINS: Mapping[str, Factory] = {
    "cifar10": read_cifar10,
    "digits": read_digits,
    "fashion_mnist": read_fashion_mnist,
    "image_folder": read_image_folder,
    "mnist": read_mnist,
    "text": read_text,
}
"""Data sets by the name a spec uses; others come by entry point or `package.module:factory`."""

DATA = FactoryKind(section="data", builtins=BUILTINS, entry_points="rheostat.datasets")


def load_data(spec: DataSpec) -> Data:
    """Load the data set a spec names, and set samples aside for validation.

    The split depends on the data set and the share alone, not on any seed. Another's factory is
    called with `args`, and with `root` where the spec gives it; see `adopting` for what it returns.

    Raises:
        InvalidSpec: the name or an argument is unknown, or a file is missing, truncated or damaged.
    """
    collection = _read(spec)
    train, validation = _divide(collection, spec)
    return Data(train, validation, _describe(collection, train, validation, spec))


def _read(spec: DataSpec) -> Collection:
    factory = DATA.find(spec.name)
    root = parameter(factory, "root")
    if spec.root is not None and root is None:
        raise invalid_root(spec.root, f"absent; {spec.name} reads no folder")
    if spec.root is None and root is not None and root.default is root.empty:
        raise invalid_root(None, f"a folder; {spec.name} needs one")
    if "root" in spec.args:
        raise invalid_arg("data", "root", spec.args["root"], "absent; write it as data.root")
    returned = DATA.call(factory, spec.args, {} if spec.root is None else {"root": spec.root})
    try:
        return adopt(returned)
    except (TypeError, ValueError) as error:
        raise DATA.invalid_name(spec.name, f"a factory of data; {error}") from error


def _divide(collection: Collection, spec: DataSpec) -> tuple[Split, Split]:
    if spec.validation == "test":
        if collection.test is None:
            expected = f"a share such as 0.2; {spec.name} has no test split of its own"
            raise InvalidSpec([Violation("data.validation", "test", expected)])
        return collection.train, collection.test()
    if spec.validation is None and collection.validation is not None:
        return collection.train, collection.validation
    share = collection.share if spec.validation is None else spec.validation
    kept, aside = split_indices(_classes(collection.train), len(collection.train), share)
    if len(kept) == 0 or len(aside) == 0:
        expected = f"a share that leaves samples on both sides of {len(collection.train)}"
        raise InvalidSpec([Violation("data.validation", str(share), expected)])
    return _select(collection.train, kept), _select(collection.train, aside)


def _classes(split: Split) -> NDArray[np.int64] | None:
    targets = split.targets
    if targets is None or targets.is_floating_point() or targets.dim() != 1:
        return None
    return targets.numpy()


def _select(split: Split, indices: NDArray[np.int64]) -> Split:
    chosen = torch.from_numpy(indices)
    if isinstance(split, ResidentSplit):
        return ResidentSplit(split.inputs[chosen], split.targets[chosen])
    targets = None if split.targets is None else split.targets[chosen]
    return StreamedSplit(Subset(cast(Dataset[Any], split.dataset), indices.tolist()), targets)


def _describe(
    collection: Collection, train: Split, validation: Split, spec: DataSpec
) -> DataDescription:
    sample_input, sample_target = _first_sample(train)
    has_classes = not sample_target.is_floating_point()
    classes = collection.classes or _count_classes(train, validation)
    if has_classes and classes is None:
        expected = "a Dataset with `classes` or `targets`, which tell how many classes there are"
        raise DATA.invalid_name(spec.name, expected)
    return DataDescription(
        input_shape=tuple(sample_input.shape),
        classes=classes if has_classes else None,
        train_samples=len(train),
        validation_samples=len(validation),
        target_width=1 if has_classes else sample_target.numel(),
        text=collection.text,
        is_per_token=collection.text is not None and sample_target.dim() == 1,
    )


def _first_sample(split: Split) -> tuple[Tensor, Tensor]:
    if isinstance(split, ResidentSplit):
        return split.inputs[0], split.targets[0]
    sample_input, sample_target = split.dataset[0]
    return torch.as_tensor(sample_input), torch.as_tensor(sample_target)


def _count_classes(*splits: Split) -> int | None:
    """Return one more than the highest class; None where targets are not at hand."""
    highest = [int(split.targets.max()) for split in splits if split.targets is not None]
    return max(highest) + 1 if highest else None
