"""Reading files that were put in place beforehand, and saying what to do when they are not right.

Nothing is ever downloaded: a file that is missing or damaged is an `InvalidSpec` on `data.root`
with the path that was expected and the mend.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path

from rheostat.errors import InvalidSpec, Violation


def invalid_root(root: Path | str | None, expected: str) -> InvalidSpec:
    """Return the error for files that are not as they should be."""
    return InvalidSpec([Violation("data.root", "" if root is None else str(root), expected)])


def find_folder(root: Path, places: Iterable[str]) -> Path:
    """Return the first of `places` below `root` that is a folder, else `root` itself."""
    return next((root / place for place in places if (root / place).is_dir()), root)


def read_content(path: Path, root: Path, mend: str) -> bytes:
    """Return the content of a file, decompressed where its name ends in `.gz`.

    Raises:
        InvalidSpec: the file cannot be read, or its compression is broken.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except EOFError as error:
        raise invalid_root(root, f"{path} is truncated; {mend}") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise invalid_root(root, f"{path} is damaged ({error}); {mend}") from error
    except OSError as error:
        raise invalid_root(root, f"{path} cannot be read ({error.strerror}); {mend}") from error


def check_md5(content: bytes, known: str, path: Path, root: Path, mend: str) -> None:
    """Compare content with its known MD5, given in hex.

    Raises:
        InvalidSpec: it is something else.
    """
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != known:
        reason = f"{path} is damaged or another file: its content has MD5 {found}, not {known}"
        raise invalid_root(root, f"{reason}; {mend}")
