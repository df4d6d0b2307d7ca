"""Write the pages of docs/reference from the code that they tell of.

`python tools/reference.py` writes them, `--check` fails if what is committed is not what would be
written. A verb, an RPC, a field or an argument that says nothing about itself is an error.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import reference_cli
import reference_grpc
import reference_policies

REFERENCE = Path(__file__).resolve().parent.parent / "docs/reference"
PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": reference_cli.page,
    "grpc.md": reference_grpc.page,
    "policies.md": reference_policies.page,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    checking = parser.parse_args().check
    fresh = {REFERENCE / name: page() for name, page in PAGES.items()}
    stale = [file for file, text in fresh.items() if not file.exists() or file.read_text() != text]
    if not checking:
        REFERENCE.mkdir(exist_ok=True)
        for file in stale:
            file.write_text(fresh[file])
        return 0
    if stale:
        print("not up to date, run `make generate`:", *stale, sep="\n  ", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
