"""Draw docs/schedules.md: formulas, arguments and pictures, from the schedules themselves.

`python tools/draw_schedules.py` writes them, `--check` fails if what is committed is not what
would be written.
"""

import argparse
import inspect
import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rheostat_policies import SCHEDULES, Curve
from rheostat_policies.schedules.examples import EXAMPLE_RUN, EXAMPLES

DOCS = Path(__file__).resolve().parent.parent / "docs"
WIDTH, HEIGHT, MARGIN = 240.0, 90.0, 4.0
BEGIN, END = "<!-- drawn by tools/draw_schedules.py -->", "<!-- end of what is drawn -->"
FAMILIES = {
    "constant": "Rheostat's own, and those of papers",
    "sequence": "Composition",
    "LambdaLR": "torch",
    "linear": "Hugging Face",
    "timm.cosine": "timm",
    "optax.polynomial_schedule": "optax",
}
"""Headings by the schedule that they stand before, in the order of the catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What the docstring of a schedule says."""

    summary: str
    formula: str
    remarks: tuple[str, ...]
    source: str
    arguments: tuple[tuple[str, str], ...]


def described(factory: Callable[..., Curve]) -> Described:
    """Read a docstring: summary, formula, remarks, `Source:`, `Args:`."""
    body = (inspect.getdoc(factory) or "").partition("\nRaises:")[0].partition("\n>>>")[0]
    text, _, listed = body.partition("\nArgs:\n")
    summary, formula, *rest = text.strip("\n").split("\n\n")
    paragraphs = [" ".join(each.split()) for each in rest]
    sources = [each for each in paragraphs if each.startswith("Source: ")]
    return Described(
        summary=summary,
        formula=textwrap.dedent(formula),
        remarks=tuple(each for each in paragraphs if each not in sources),
        source=sources[0].removeprefix("Source: ") if sources else "",
        arguments=tuple(arguments_of(textwrap.dedent(listed))),
    )


def arguments_of(listed: str) -> Iterator[tuple[str, str]]:
    found: list[list[str]] = []
    for line in listed.splitlines():
        if line.startswith(" "):
            found[-1].append(line.strip())
        elif line:
            found.append([line])
    for lines in found:
        name, _, says = " ".join(lines).partition(": ")
        if name != "run":
            yield name, says


def picture(name: str) -> str:
    """Return the SVG of a schedule's example: the LR of each step, and momentum if it moves."""
    curve = SCHEDULES[name](EXAMPLE_RUN, **EXAMPLES[name])
    steps = range(EXAMPLE_RUN.steps + 1)
    rates = [curve.learning_rate(step) for step in steps]
    lines = [_line(rates, max(rates), "#1f77b4", "")]
    if curve.momentum is not None:
        momenta = [curve.momentum(step) for step in steps]
        lines.insert(0, _line(momenta, 1.0, "#bbbbbb", ' stroke-dasharray="3 2"'))
    axis = HEIGHT - MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}" height="{HEIGHT:g}" '
            f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{name}">',
            f'<path d="M{MARGIN:g} {MARGIN:g}V{axis:g}H{WIDTH - MARGIN:g}" '
            'fill="none" stroke="#888888" stroke-width="0.5"/>',
            *lines,
            "</svg>\n",
        ]
    )


def _line(values: Sequence[float], top: float, colour: str, style: str) -> str:
    across, up = (WIDTH - 2 * MARGIN) / (len(values) - 1), (HEIGHT - 2 * MARGIN) / top
    points = " ".join(
        # One decimal: more would differ with the last digit of another machine's cosine.
        f"{MARGIN + across * index:.1f},{HEIGHT - MARGIN - up * value:.1f}"
        for index, value in enumerate(values)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"{style}/>'


def page() -> str:
    """Return docs/schedules.md with what stands between the two marks written anew."""
    before, begin, rest = (DOCS / "schedules.md").read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"docs/schedules.md has lost its {BEGIN}"
    assert end, f"docs/schedules.md has lost its {END}"
    parts = [BEGIN]
    for name in SCHEDULES:
        if name in FAMILIES:
            parts.append(f"## {FAMILIES[name]}")
        parts.append(_entry(name))
    return before + "\n\n".join([*parts, END]) + after


def _entry(name: str) -> str:
    says = described(SCHEDULES[name])
    lines = [
        f"### {name}",
        f"![{name}](schedules/{name}.svg)",
        says.summary,
        f"```text\n{says.formula}\n```",
        *says.remarks,
    ]
    if says.arguments:
        defaults = _defaults(SCHEDULES[name])
        rows = [f"| `{each}` | {defaults[each]} | {text} |" for each, text in says.arguments]
        lines.append("\n".join(["| Argument | Default | |", "|---|---|---|", *rows]))
        lines.append(f"Drawn with `{json.dumps(dict(EXAMPLES[name]))}`.")
    if says.source:
        lines.append(f"Source: {says.source}.")
    return "\n\n".join(lines)


def _defaults(factory: Callable[..., Curve]) -> dict[str, str]:
    return {
        name: "" if each.default is each.empty else f"`{_written(each.default)}`"
        for name, each in inspect.signature(factory).parameters.items()
    }


def _written(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)


def drawn() -> dict[Path, str]:
    """Return every file that is drawn, by its path below docs/."""
    pictures = {Path(f"schedules/{name}.svg"): picture(name) for name in SCHEDULES}
    return {Path("schedules.md"): page(), **pictures}


def differences(fresh: Mapping[Path, str]) -> list[str]:
    """Return the drawn files that are missing, stale or left over."""
    kept = {path.relative_to(DOCS) for path in (DOCS / "schedules").glob("*")}
    stale = {
        path
        for path, text in fresh.items()
        if not (DOCS / path).exists() or (DOCS / path).read_text() != text
    }
    return sorted(map(str, stale | (kept - set(fresh))))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    checking = parser.parse_args().check
    fresh = drawn()
    if not checking:
        (DOCS / "schedules").mkdir(exist_ok=True)
        for name in differences(fresh):
            (DOCS / name).unlink(missing_ok=True)
        for path, text in fresh.items():
            (DOCS / path).write_text(text)
        return 0
    stale = differences(fresh)
    if stale:
        print("not up to date, run `make schedules`:", *stale, sep="\n  ", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
