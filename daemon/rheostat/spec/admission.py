"""What a spec may name that comes from somebody else: code to import, files to read.

A spec that names Python by import path runs it, so whoever may send one may run what they like.
What the daemon's owner has written is taken as it is; what comes from elsewhere may name built-ins,
installed entry points, what the owner has admitted, and files below the owner's folders.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.wording import field_path, written

_FILE_KEYS = (
    "root",
    "file",
    "path",
    "folder",
    "dir",
    "directory",
    "weights",
    "checkpoint",
    "tokenizer",
)
"""Keys whose text is taken for a path, whatever it looks like."""
_TORCHVISION = "torchvision:"
_TOP = ("model", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What somebody else's spec may name beside what comes with the daemon."""

    imports: tuple[str, ...] = ()
    """Patterns of `package.module:attribute`, in which `*` stands for any characters."""
    roots: tuple[Path, ...] = ()
    """Folders whose files may be read, and what lies below them."""

    def check(self, document: Mapping[str, Any]) -> None:
        """Refuse a spec that names what it may not.

        Raises:
            InvalidSpec: with every such place.
        """
        if refused := list(self.violations(document)):
            raise InvalidSpec(refused)

    def violations(self, document: Mapping[str, Any], top: str = "") -> Iterator[Violation]:
        """Yield what a spec, or a part of one, names and may not.

        Args:
            document: as JSON has it.
            top: path of the part in the whole, for errors.
        """
        for path, text in import_paths(document):
            if not any(fnmatchcase(text, pattern) for pattern in self.imports):
                yield Violation(field_path(path, top), written(text), self._importable())
        for path, text in file_paths(document):
            if not self._is_below_a_root(text):
                yield Violation(field_path(path, top), written(text), self._readable())

    def _is_below_a_root(self, text: str) -> bool:
        try:
            # With symbolic links followed: where a path leads counts, not how it is spelled.
            place = Path(text).expanduser().resolve()
        except (OSError, RuntimeError, ValueError):
            return False
        return any(place.is_relative_to(root.resolve()) for root in self.roots)

    def _importable(self) -> str:
        also = f", or what matches {' or '.join(self.imports)}" if self.imports else ""
        return (
            f"a built-in name or an installed entry point{also}; the daemon imports other code "
            "from afar only where it is started with --allow-import"
        )

    def _readable(self) -> str:
        roots = " or ".join(map(str, self.roots)) or "no folder at all"
        return f"a path below {roots}; the daemon's --data-root names the folders"


def import_paths(document: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield every text that some part of Rheostat might import, with its place.

    That is any text with identifiers and dots before its first colon, wherever it stands: better to
    refuse what nobody would have imported than to miss what somebody does.
    """
    for path, text in _texts(document):
        module, colon, _ = text.partition(":")
        if not colon or not all(part.isidentifier() for part in module.split(".")):
            continue
        if path == _TOP and text.startswith(_TORCHVISION):
            continue  # a list of torchvision's own, never downloaded
        yield path, text


def file_paths(document: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield every text that might be opened as a file, with its place."""
    for path, text in _texts(document):
        by_key = path[-1:] and path[-1] in _FILE_KEYS
        if by_key or text.startswith(("/", "~")) or ".." in text.split("/"):
            yield path, text


def _texts(document: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, Mapping):
            pending += [((*path, key), inner) for key, inner in value.items()]
        elif isinstance(value, Sequence):
            pending += [((*path, index), inner) for index, inner in enumerate(value)]
