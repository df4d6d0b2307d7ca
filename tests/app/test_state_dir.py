"""The state directory: one daemon's, and writable, or an error that says what to do."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from rheostat.errors import FailedPrecondition, StorageFailed
from rheostat.locating import Endpoints, daemon_address, exclusive, publish


def test_a_second_daemon_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    refused = pytest.raises(FailedPrecondition, match=f"another daemon lives on {tmp_path}")
    with exclusive(tmp_path), refused:
        exclusive(tmp_path).__enter__()
    with exclusive(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageFailed, match=r"file/state: Not a directory; make it writable"):
        exclusive(tmp_path / "file" / "state").__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file system read-only")
def test_a_read_only_state_directory_is_named_with_the_mend(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        with pytest.raises(StorageFailed, match=r"Read-only file system; make it writable"):
            exclusive(tmp_path).__enter__()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_who_asks_while_a_daemon_starts_waits_until_it_says_where(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        late = threading.Timer(
            0.1, publish, (tmp_path, Endpoints(address="a:1", metrics_address=None))
        )
        late.start()

        assert daemon_address(tmp_path) is None
        assert daemon_address(tmp_path, patience=30.0) == "a:1"
    assert daemon_address(tmp_path, patience=30.0) is None


def test_where_a_killed_daemon_answered_is_forgotten_when_the_next_one_starts(
    tmp_path: Path,
) -> None:
    publish(tmp_path, Endpoints(address="old:1", metrics_address=None))
    with exclusive(tmp_path):
        assert daemon_address(tmp_path) is None
