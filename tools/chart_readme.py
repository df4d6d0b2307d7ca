"""Write the tables of the chart's README from the comments of its values.

`python tools/chart_readme.py` writes them, `--check` fails if what is committed is not what would
be written. Every key of values.yaml must be told of: by `# -- ` above it, or by each key below it.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

CHART = Path(__file__).resolve().parent.parent / "helm/rheostat"
BEGIN, END = "<!-- written by tools/chart_readme.py -->", "<!-- end of what is written -->"
HEADING, TOLD, COMMENT = "# == ", "# -- ", "# "
KEY = re.compile(r"( *)([A-Za-z]\w*):")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, and what is said below it."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Value:
    """A documented key."""

    path: tuple[str, ...]
    default: Any
    says: str


class Undocumented(Exception):
    """A key that nothing is said about."""


def read(text: str) -> list[Section | Value]:
    """Return the headings and keys of a values file in their order.

    Raises:
        Undocumented: if a key is told of neither itself nor through all keys below it.
    """
    values = YAML(typ="safe", pure=True).load(text)
    found = list(_blocks(text.splitlines(), values))
    told = {one.path for one in found if isinstance(one, Value)}
    for path in _leaves(values):
        if not any(path[:length] in told for length in range(1, len(path) + 1)):
            raise Undocumented(".".join(path))
    return found


def _blocks(lines: Sequence[str], values: Any) -> Iterator[Section | Value]:
    path: list[str] = []
    comment: list[str] = []
    for line in lines:
        bare = line.strip()
        if bare.startswith("#"):
            comment.append(bare)
            continue
        if comment and comment[0].startswith(HEADING):
            text = " ".join(each.removeprefix(COMMENT) for each in comment[1:])
            yield Section(comment[0].removeprefix(HEADING), text)
        elif comment and comment[0].startswith(TOLD) and (key := KEY.match(line)):
            path = [*path[: len(key[1]) // 2], key[2]]
            says = " ".join(each.removeprefix(COMMENT).removeprefix("-- ") for each in comment)
            yield Value(tuple(path), _at(values, path), says)
        elif key := KEY.match(line):
            path = [*path[: len(key[1]) // 2], key[2]]
        comment = []


def _leaves(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from _leaves(value, (*path, key))
    else:
        yield path


def _at(values: Any, path: Sequence[str]) -> Any:
    for key in path:
        values = values[key]
    return values


def tables(found: Sequence[Section | Value]) -> str:
    """Return the Markdown of all sections."""
    lines: list[str] = []
    for one in found:
        if isinstance(one, Section):
            lines += ["", f"### {one.title}", "", *([one.text, ""] if one.text else [])]
            lines += ["| key | default | meaning |", "|---|---|---|"]
        else:
            default = json.dumps(one.default, ensure_ascii=False)
            says = one.says.replace("|", "\\|")
            lines.append(f"| `{'.'.join(one.path)}` | `{default}` | {says} |")
    return "\n".join(lines).strip() + "\n"


def rewritten(readme: str, written: str) -> str:
    """Return the README with what stands between its two marks replaced."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{written}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    readme = CHART / "README.md"
    present = readme.read_text()
    try:
        wanted = rewritten(present, tables(read((CHART / "values.yaml").read_text())))
    except Undocumented as error:
        print(f"values.yaml says nothing of {error}", file=sys.stderr)
        return 1
    if not parser.parse_args().check:
        readme.write_text(wanted)
        return 0
    if present != wanted:
        print(f"not up to date, run `make generate`: {readme}", file=sys.stderr)
    return int(present != wanted)


if __name__ == "__main__":
    sys.exit(main())
