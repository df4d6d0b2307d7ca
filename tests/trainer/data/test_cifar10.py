import hashlib
import pickle
import struct

import numpy as np
import pytest

from rheostat.errors import InvalidSpec
from rheostat.spec.models import DataSpec
from rheostat.trainer.data import load_data
from rheostat.trainer.data.cifar10 import FOLDER, read_batches, unpickle_arrays


def written_by_python_2(images, labels):
    """Return a batch in the opcodes of the published files, which Python 3 no longer writes."""
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    minus_one = b"J\xff\xff\xff\xff"
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN" + minus_one * 2 + b"K\x00tb"
    shape = b"K" + bytes([len(images)]) + b"M" + struct.pack("<H", images.shape[1]) + b"\x86"
    values = b"T" + struct.pack("<I", images.size) + images.tobytes()
    state = b"(K\x01" + shape + dtype + b"\x89" + values + b"tb"
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return b"\x80\x02}(U\x04data" + reconstruct + state + b"U\x06labels](" + numbers + b"eu."


def images(first, count):
    pixels = np.arange(first, first + count * 3072, dtype=np.uint64) % 251
    return pixels.astype(np.uint8).reshape(count, 3072)


CONTENTS = {
    "data_batch_1": written_by_python_2(images(0, 3), [0, 1, 2]),
    "data_batch_2": pickle.dumps({"data": images(7, 2), "labels": [3, 4]}, protocol=4),
    "test_batch": written_by_python_2(images(9, 1), [9]),
}
MD5 = {name: hashlib.md5(content).hexdigest() for name, content in CONTENTS.items()}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / FOLDER
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    return folder


def refusal(root, md5=MD5):
    with pytest.raises(InvalidSpec) as refused:
        read_batches(str(root), md5)
    (violation,) = refused.value.violations
    assert violation.field == "data.root"
    return violation.expected


def test_batches_are_put_together_in_order(folder):
    cifar = read_batches(str(folder.parent), MD5)

    assert cifar.train.inputs.shape == (5, 3, 32, 32)
    assert cifar.train.inputs[0].flatten().tolist() == images(0, 1)[0].tolist()
    assert cifar.train.targets.tolist() == [0, 1, 2, 3, 4]
    assert cifar.test().targets.tolist() == [9]


def test_the_root_may_be_the_folder_itself(folder):
    assert len(read_batches(str(folder), MD5).train) == 5


def test_a_missing_root_is_refused_with_the_mend():
    with pytest.raises(InvalidSpec, match=r"data\.root: a folder; unpack the original cifar-10"):
        load_data(DataSpec(name="cifar10"))


def test_a_missing_batch_is_refused_with_its_path(folder):
    (folder / "data_batch_2").unlink()

    assert refusal(folder.parent).startswith(f"{folder / 'data_batch_2'} is missing; unpack")


def test_a_truncated_batch_is_refused_with_its_path(folder):
    (folder / "data_batch_1").write_bytes(CONTENTS["data_batch_1"][:-9])

    assert refusal(folder).startswith(f"{folder / 'data_batch_1'} is damaged or another file")


def test_an_evil_batch_is_refused_before_it_is_unpickled(folder, tmp_path):
    (folder / "data_batch_1").write_bytes(pickle.dumps(Touch(str(tmp_path / "touched"))))

    refusal(folder)

    assert not (tmp_path / "touched").exists()


def test_even_a_known_batch_may_only_hold_arrays(tmp_path):
    with pytest.raises(pickle.UnpicklingError, match="has no business in a data set"):
        unpickle_arrays(pickle.dumps(Touch(str(tmp_path / "touched"))))

    assert not (tmp_path / "touched").exists()


def test_files_of_the_right_form_are_still_not_cifar10(folder):
    with pytest.raises(InvalidSpec, match=r"data_batch_1 is damaged or another file"):
        load_data(DataSpec(name="cifar10", root=str(folder)))


class Touch:
    """Unpickles by creating a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")
