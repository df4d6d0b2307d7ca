import gzip
import hashlib
import os
import shutil
import struct
from pathlib import Path

import pytest
import torch

from rheostat.errors import InvalidSpec
from rheostat.spec.models import DataSpec
from rheostat.trainer.data import DataDescription, load_data
from rheostat.trainer.data.idx import FASHION_MNIST, IdxSet, parse_idx, read_idx_set

REPOSITORY = Path(__file__).parents[3]
REAL_MNIST = Path(
    os.environ.get("RHEOSTAT_TEST_MNIST", REPOSITORY.parent / "shared" / "data" / "mnist")
)
needs_mnist = pytest.mark.skipif(
    not REAL_MNIST.is_dir(), reason="no MNIST; set RHEOSTAT_TEST_MNIST to its folder"
)
needs_fashion_mnist = pytest.mark.skipif(
    not FASHION_MNIST.default_root.is_dir(), reason="dataset-fashion-mnist is not installed"
)
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(values):
    header = struct.pack(f">4B{values.dim()}I", 0, 0, 8, values.dim(), *values.shape)
    return header + values.numpy().tobytes()


CONTENTS = {
    IMAGES: idx(torch.arange(6 * 4 * 4, dtype=torch.uint8).reshape(6, 4, 4)),
    LABELS: idx(torch.tensor([0, 1, 2, 0, 1, 2], dtype=torch.uint8)),
    "t10k-images-idx3-ubyte": idx(torch.zeros(2, 4, 4, dtype=torch.uint8)),
    "t10k-labels-idx1-ubyte": idx(torch.tensor([1, 2], dtype=torch.uint8)),
}
TINY = IdxSet(
    title="Tiny",
    folder="Tiny",
    md5={name: hashlib.md5(content).hexdigest() for name, content in CONTENTS.items()},
)


@pytest.fixture
def root(tmp_path):
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def refusal(read, *args):
    with pytest.raises(InvalidSpec) as refused:
        read(*args)
    (violation,) = refused.value.violations
    assert violation.field == "data.root"
    return violation


def test_plain_files_are_read(root):
    tiny = read_idx_set(TINY, str(root))

    assert tiny.train.inputs.flatten().tolist() == list(range(96))
    assert tiny.train.inputs.shape == (6, 1, 4, 4)
    assert tiny.train.targets.tolist() == [0, 1, 2, 0, 1, 2]
    assert tiny.test().targets.tolist() == [1, 2]


@pytest.mark.parametrize("level", [1, 9])
def test_compressed_files_are_read_whoever_compressed_them(tmp_path, level):
    for name, content in CONTENTS.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content, level))

    assert len(read_idx_set(TINY, str(tmp_path)).train) == 6


def test_a_torchvision_root_is_read(root, tmp_path):
    raw = tmp_path / "torchvision" / "Tiny" / "raw"
    shutil.copytree(root, raw, ignore=shutil.ignore_patterns("torchvision"))

    assert len(read_idx_set(TINY, str(tmp_path / "torchvision")).train) == 6


def test_a_missing_root_is_refused_with_the_mend():
    violation = refusal(load_data, DataSpec(name="mnist"))

    assert violation.value == ""
    assert "put the original files of MNIST" in violation.expected


def test_a_missing_file_is_refused_with_its_path(root):
    (root / LABELS).unlink()

    violation = refusal(read_idx_set, TINY, str(root))

    assert violation.value == str(root)
    assert f"{root / LABELS}.gz is missing; put the original files" in violation.expected


def test_a_truncated_file_is_refused_with_its_path(root):
    (root / IMAGES).write_bytes(CONTENTS[IMAGES][:-5])

    violation = refusal(read_idx_set, TINY, str(root))

    promise = "107 bytes, and the header promises 112"
    assert f"{root / IMAGES} is truncated: {promise}" in violation.expected


def test_an_altered_file_is_refused_by_its_md5(root):
    (root / LABELS).write_bytes(CONTENTS[LABELS][:-1] + b"\x00")

    violation = refusal(read_idx_set, TINY, str(root))

    assert f"{root / LABELS} is damaged or another file" in violation.expected


def test_a_truncated_gz_is_refused_with_its_path(tmp_path):
    (tmp_path / f"{IMAGES}.gz").write_bytes(gzip.compress(CONTENTS[IMAGES])[:-20])

    violation = refusal(read_idx_set, TINY, str(tmp_path))

    assert f"{tmp_path / IMAGES}.gz is truncated" in violation.expected


def test_a_gz_that_is_no_gz_is_refused_with_its_path(tmp_path):
    (tmp_path / f"{IMAGES}.gz").write_bytes(b"<html>not found</html>")

    violation = refusal(read_idx_set, TINY, str(tmp_path))

    assert f"{tmp_path / IMAGES}.gz is damaged (Not a gzipped file" in violation.expected


def test_a_file_of_the_right_form_is_still_not_mnist(root):
    violation = refusal(load_data, DataSpec(name="mnist", root=str(root)))

    assert f"{root / IMAGES} is damaged or another file" in violation.expected


def test_mnist_takes_no_arguments():
    with pytest.raises(InvalidSpec, match=r"data\.args\.train = true: unknown argument"):
        load_data(DataSpec(name="mnist", args={"train": True}))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "starts with nothing"),
        (b"\x00\x00\x0d\x01", "starts with 00000d01"),
        (b"\x00\x00\x08\x03\x00", "5 bytes, and the header alone has 16"),
        (CONTENTS[LABELS] + b"\x00", "is damaged: 15 bytes, and the header promises 14"),
    ],
)
def test_what_is_no_idx_file_is_refused(content, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_idx(content)


@needs_mnist
def test_the_real_mnist_is_split_as_everybody_splits_it():
    data = load_data(DataSpec(name="mnist", root=str(REAL_MNIST)))

    assert data.description == DataDescription((1, 28, 28), 10, 50_000, 10_000)


@needs_mnist
def test_the_test_split_can_be_the_validation_set():
    data = load_data(DataSpec(name="mnist", root=str(REAL_MNIST), validation="test"))

    assert data.description.train_samples == 60_000
    assert data.validation.targets[:5].tolist() == [7, 2, 1, 0, 4]


@needs_fashion_mnist
def test_fashion_mnist_is_found_where_debian_puts_it():
    data = load_data(DataSpec(name="fashion_mnist"))

    assert data.description == DataDescription((1, 28, 28), 10, 50_000, 10_000)
