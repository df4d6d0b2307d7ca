"""Checkpoints on the disk: which are whole, and which may go."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rheostat.runs.checkpoints import (
    MANIFEST_FILE,
    BadCheckpoint,
    FileInfo,
    Manifest,
    adopt,
    folder_name,
    list_checkpoints,
    measure,
    newest_good,
    pin,
    prune,
    read_manifest,
    remove,
    verify,
)

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a checkpoint of a step, with one small file."""

    def write(step: int, **fields: Any) -> Path:
        path = tmp_path / folder_name(step)
        path.mkdir()
        (path / "model.safetensors").write_bytes(b"weights of step %d" % step)
        files = {"model.safetensors": measure(path / "model.safetensors")}
        given = {"run": "a", "revision": step, "created_at": 1.0, "reason": "every"} | fields
        manifest = Manifest(step=step, files=files, **given)
        (path / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))
        return path

    return write


def steps(folder: Path) -> list[int]:
    return [one.step for one in list_checkpoints(folder)]


def test_checkpoints_are_listed_oldest_first(make: Make, tmp_path: Path) -> None:
    for step in (300, 20, 1_000_000):
        make(step)

    first, *_ = list_checkpoints(tmp_path)

    assert steps(tmp_path) == [20, 300, 1_000_000]
    assert (first.revision, first.reason, first.bytes) == (20, "every", len("weights of step 20"))
    assert list_checkpoints(tmp_path / "nowhere") == []


def test_the_newest_that_is_whole_is_found_and_the_others_are_named(
    make: Make, tmp_path: Path
) -> None:
    good, truncated, flipped, empty = make(1), make(2), make(3), make(4)
    weights = truncated / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    weights = flipped / "model.safetensors"
    weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
    (empty / MANIFEST_FILE).unlink()

    found, refused = newest_good(tmp_path)

    assert found is not None
    assert found.path == str(good)
    assert len(refused) == 3
    assert f"{empty}: manifest.json cannot be read" in refused[0]
    assert f"{flipped}: model.safetensors is damaged: its SHA-256 is" in refused[1]
    assert f"{truncated}: model.safetensors has 16 bytes, not the 17" in refused[2]


def test_no_checkpoint_that_is_whole_is_none(make: Make, tmp_path: Path) -> None:
    assert newest_good(tmp_path) == (None, [])
    (make(1) / "model.safetensors").unlink()

    found, [why] = newest_good(tmp_path)

    assert found is None
    assert "model.safetensors cannot be read" in why


def test_half_a_checkpoint_does_not_count_as_one(make: Make, tmp_path: Path) -> None:
    path = make(7)
    path.rename(path.with_name(f".{path.name}.partial"))

    assert steps(tmp_path) == []


def test_another_schema_version_is_refused_and_named(make: Make) -> None:
    path = make(1, schema_version=99)

    with pytest.raises(BadCheckpoint, match="schema version 99, and this Rheostat reads 1 and 2"):
        verify(path)


def test_a_manifest_that_is_no_manifest_is_refused(make: Make) -> None:
    path = make(1)
    (path / MANIFEST_FILE).write_text('{"schema_version": 1, "run": 3}')

    with pytest.raises(BadCheckpoint, match=r"manifest\.json is damaged"):
        read_manifest(path)


def test_a_manifest_cannot_name_a_file_elsewhere(make: Make) -> None:
    path = make(1)
    stranger = {"../../etc/passwd": FileInfo(bytes=1, sha256="")}
    manifest = msgspec.structs.replace(read_manifest(path), files=stranger)
    (path / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))

    with pytest.raises(BadCheckpoint, match="is no name of a file in it"):
        verify(path)


def test_the_newest_the_best_and_the_pinned_are_kept(make: Make, tmp_path: Path) -> None:
    make(1, pinned=True, validation_loss=0.1)
    make(2, validation_loss=0.5)
    make(3, validation_loss=0.3)
    make(4)
    make(5, validation_loss=0.9)
    make(6)

    removed = prune(tmp_path, keep=2, keep_best=1)

    assert [one.step for one in removed] == [2, 4]
    assert steps(tmp_path) == [1, 3, 5, 6]
    assert prune(tmp_path, keep=2, keep_best=0)[0].step == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        folder_name(step) for step in (1, 5, 6)
    ]


def test_what_was_just_written_is_kept_beneath_damaged_ones_of_later_steps(
    make: Make, tmp_path: Path
) -> None:
    for step in (900, 950, 1000, 1100):
        make(step)

    prune(tmp_path, keep=2, keep_best=0, written=950)

    assert steps(tmp_path) == [950, 1000, 1100]


def test_of_equally_good_ones_the_newest_is_kept(make: Make, tmp_path: Path) -> None:
    for step in (1, 2, 3):
        make(step, validation_loss=0.5)
    make(4)

    prune(tmp_path, keep=1, keep_best=1)

    assert steps(tmp_path) == [3, 4]


def test_a_checkpoint_can_be_pinned_and_let_go(make: Make, tmp_path: Path) -> None:
    path = make(1)
    make(2)

    assert pin(path).pinned
    prune(tmp_path, keep=1, keep_best=0)
    assert steps(tmp_path) == [1, 2]
    assert verify(path).pinned

    assert not pin(path, pinned=False).pinned
    prune(tmp_path, keep=1, keep_best=0)
    assert steps(tmp_path) == [2]


def test_a_removed_checkpoint_is_gone(make: Make, tmp_path: Path) -> None:
    remove(make(1))

    assert list(tmp_path.iterdir()) == []


def test_the_newest_of_at_most_some_steps_is_found(make: Make, tmp_path: Path) -> None:
    for step in (100, 200, 300):
        make(step)

    found = [newest_good(tmp_path, until=until)[0] for until in (99, 100, 299, 300)]

    assert [one and one.step for one in found] == [None, 100, 200, 300]


def test_another_run_begins_with_a_checkpoint_that_stays_whole_when_the_first_is_gone(
    make: Make, tmp_path: Path
) -> None:
    path = make(100, revision=3, spec_sha256="of the first")
    adopted = adopt(path, tmp_path / "fork" / "checkpoints", run="fork", spec="{}")
    remove(path)

    manifest = verify(Path(adopted.path))
    assert (manifest.run, manifest.step, manifest.revision) == ("fork", 100, 3)
    assert (manifest.reason, manifest.pinned) == ("fork", True)
    assert manifest.spec_sha256 == hashlib.sha256(b"{}").hexdigest()


def test_a_damaged_checkpoint_is_not_adopted(make: Make, tmp_path: Path) -> None:
    path = make(100)
    (path / "model.safetensors").write_bytes(b"weights of step 101")

    with pytest.raises(BadCheckpoint, match="damaged"):
        adopt(path, tmp_path / "fork", run="fork", spec="{}")
    assert not (tmp_path / "fork" / path.name).exists()
