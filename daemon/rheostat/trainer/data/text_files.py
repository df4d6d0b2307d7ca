"""Reading plain text files, and files of text with its label."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rheostat.trainer.data.files import invalid_root, read_content

DELIMITERS: Mapping[str, str] = {".csv": ",", ".tsv": "\t"}
"""By suffix, what stands between two columns."""
TABLES = (*DELIMITERS, ".jsonl")
MEND = (
    "give a .csv, .tsv or .jsonl file with label and text, a folder of train, validation and test "
    "in such files, or a folder of one sub-folder of .txt files per class"
)
_PARTS: Mapping[str, Sequence[str]] = {
    "train": ("train",),
    "validation": ("validation", "val", "dev"),
    "test": ("test",),
}
"""By part of a data set, what its file or folder may be called."""
_Rows = list[tuple[str, bytes]]
"""Label and text of each sample."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Texts and the class of each, by part: `train`, and `validation` and `test` if there are."""

    classes: Sequence[str]
    """Labels of the training texts in ascending order, as numbers if all are."""
    parts: Mapping[str, tuple[Sequence[bytes], Sequence[int]]]

    def texts(self) -> Iterator[bytes]:
        """Yield the texts of all parts."""
        for texts, _ in self.parts.values():
            yield from texts


def read_documents(root: Path, pattern: str) -> list[bytes]:
    """Return the content of a file, or of the files of a folder in the order of their paths.

    Files whose name ends in `.gz` are decompressed, links and hidden files are left alone.

    Raises:
        InvalidSpec: there is none, or one cannot be read.
    """
    mend = "give a text file or a folder of text files"
    if root.is_file():
        return [read_content(root, root, mend)]
    if not root.is_dir():
        raise invalid_root(root, f"{root} is neither a file nor a folder; {mend}")
    if ".." in Path(pattern).parts or Path(pattern).is_absolute():
        raise invalid_root(root, f"a pattern of files below it in data.args.files, not {pattern}")
    paths = [
        path
        for path in root.glob(pattern)
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".")
    ]
    if not paths:
        raise invalid_root(root, f"{root} holds no file {pattern}; {mend}")
    paths.sort(key=lambda path: path.relative_to(root).as_posix())
    return [read_content(path, root, mend) for path in paths]


def read_labelled(root: Path) -> Labelled:
    """Return the texts of a table, of a folder of tables, or of a folder of class folders.

    Raises:
        InvalidSpec: there are none, or a validation or test text has a label of its own.
    """
    rows = {part: found for part in _PARTS if (found := _read_part(root, part))}
    if "train" not in rows:
        raise invalid_root(root, f"{root} holds no labelled texts; {MEND}")
    labels = {label for label, _ in rows["train"]}
    is_numbered = all(label.isdecimal() for label in labels)
    classes = sorted(labels, key=lambda label: (int(label) if is_numbered else 0, label))
    known = {label: index for index, label in enumerate(classes)}
    for part, found in rows.items():
        if strangers := sorted({label for label, _ in found} - labels):
            text = f"{part} has labels that no training text has: {', '.join(strangers)}"
            raise invalid_root(root, text)
    return Labelled(
        classes,
        {
            part: ([text for _, text in found], [known[label] for label, _ in found])
            for part, found in rows.items()
        },
    )


def _read_part(root: Path, part: str) -> _Rows:
    if root.is_file():
        return _read_table(root, root) if part == "train" else []
    for name in _PARTS[part]:
        for suffix in (*TABLES, *(f"{one}.gz" for one in TABLES)):
            if (table := root / f"{name}{suffix}").is_file():
                return _read_table(table, root)
        if (root / name).is_dir():
            return _read_class_folders(root / name, root)
    return _read_class_folders(root, root) if part == "train" else []


def _read_class_folders(folder: Path, root: Path) -> _Rows:
    return [
        (path.relative_to(folder).parts[0], read_content(path, root, MEND))
        for path in sorted(folder.glob("*/**/*.txt"))
        if not path.is_symlink()
    ]


def _read_table(path: Path, root: Path) -> _Rows:
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind not in TABLES:
        raise invalid_root(root, f"{path} is none of {', '.join(TABLES)}; {MEND}")
    text = read_content(path, root, MEND).decode("utf-8-sig", errors="replace")
    rows: _Rows = []
    for number, record in _records(text, kind, path, root):
        if not isinstance(record, Mapping) or not {"label", "text"} <= record.keys():
            raise invalid_root(root, f"{path}, record {number}: has no label and text; {MEND}")
        rows.append((str(record["label"]), str(record["text"]).encode()))
    return rows


def _records(text: str, kind: str, path: Path, root: Path) -> Iterator[tuple[int, object]]:
    if kind in DELIMITERS:
        csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=DELIMITERS[kind])
        yield from enumerate(reader, 1)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise invalid_root(root, f"{path}, line {number}: {error}; {MEND}") from error
