"""Bring what the page is made of beside our own files, unchanged from npm, and keep its hashes.

    python tools/vendored.py            fetch the releases named below (npm), write files and hashes
    python tools/vendored.py --check    say whether every file is still the one of its release

The check needs neither npm nor a network: it compares with `vendor/HASHES`, which is written here.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "daemon/rheostat/page/static/vendor"
HASHES = VENDOR / "HASHES"
PACKAGES = {
    # Templates: https://lit.dev/docs/libraries/standalone-templates/
    "lit-html@3.3.3": {
        "lit-html.js": "lit-html/lit-html.js",
        "directive.js": "lit-html/directive.js",
        "directive-helpers.js": "lit-html/directive-helpers.js",
        "directives/live.js": "lit-html/directives/live.js",
        "directives/repeat.js": "lit-html/directives/repeat.js",
        "LICENSE": "lit-html/LICENSE",
    },
    # Charts.
    "uplot@1.6.32": {
        "dist/uPlot.esm.js": "uplot/uPlot.esm.js",
        "dist/uPlot.min.css": "uplot/uPlot.min.css",
        "LICENSE": "uplot/LICENSE",
    },
    # Letters: all weights in one file, and numerals of one width.
    "@fontsource-variable/inter@5.3.0": {
        "files/inter-latin-wght-normal.woff2": "inter/inter-latin-wght-normal.woff2",
        "LICENSE": "inter/LICENSE",
    },
}
"""By release: which files of it go where."""


def fetch() -> None:
    """Write every file and the hashes."""
    with tempfile.TemporaryDirectory() as folder:
        for release, files in PACKAGES.items():
            packed = subprocess.run(
                ["npm", "pack", "--silent", release],
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
            ).stdout.split()[-1]
            with tarfile.open(Path(folder) / packed) as archive:
                for source, target in files.items():
                    member = archive.extractfile(f"package/{source}")
                    assert member is not None
                    (VENDOR / target).parent.mkdir(parents=True, exist_ok=True)
                    (VENDOR / target).write_bytes(member.read())
    HASHES.write_text(hashes())


def hashes() -> str:
    """Return a line for each file that lies there, as `sha256sum` writes them."""
    files = sorted(file for file in VENDOR.rglob("*") if file.is_file() and file != HASHES)
    return "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(VENDOR)}\n"
        for file in files
    )


def problems() -> list[str]:
    """Return what is not as it was fetched."""
    kept, found = (set(text.splitlines()) for text in (HASHES.read_text(), hashes()))
    named = {target for files in PACKAGES.values() for target in files.values()}
    listed = {line.split()[1] for line in kept}
    return [
        *(f"{line.split()[1]} is not the file that was fetched" for line in sorted(kept ^ found)),
        *(f"{name} is in no release above, or not among the files" for name in named ^ listed),
    ]


if __name__ == "__main__":
    if "--check" not in sys.argv:
        fetch()
    if found := problems():
        sys.exit("\n".join([*found, "run: python tools/vendored.py"]))
