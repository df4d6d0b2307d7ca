"""The state directory: one daemon's, and writable, or an error that says what to do."""

import os
import subprocess
from pathlib import Path

import pytest

from rheostat.errors import FailedPrecondition, StorageFailed
from rheostat.locating import exclusive


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
