"""What the pages tell to type, typed: each page is a session of its own.

A page that needs a part that is not to be had here is skipped with the reason. A block that is not
run says why in its page, and is told of at the end as one that is skipped.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.comparing import agrees
from tests.docs.reading import PYTHON, Block, read
from tests.docs.typing_in import ROOT, Terminal, Typed, terminal

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

INTERRUPTED = 130


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def commands_of(file: Path) -> list[Block]:
    return [block for block in read(file.read_text()).blocks if block.is_run]


@pytest.mark.parametrize("file", [file for file in PAGES if commands_of(file)], ids=name_of)
def test_what_a_page_tells_to_type_does_what_it_says(file, tmp_path, parts):
    page = read(file.read_text())
    variables, lines = parts(page.needs)
    wrong: list[str] = []
    with terminal(tmp_path, **variables) as shell:
        try:
            for line in lines:
                wrong += faults(shell.type(line))
            for block in page.blocks:
                if block.is_run:
                    where = f"{name_of(file)}:{block.line}"
                    wrong += [f"{where}: {one}" for one in act(block, shell)]
            for typed in shell.end():
                # In a terminal of its own, Ctrl-C is how most of them end.
                code = INTERRUPTED if typed.code == INTERRUPTED else 0
                wrong += [f"{name_of(file)}: {one}" for one in faults(typed, code)]
        except TimeoutError as error:
            wrong.append(str(error))
    if wrong:
        pytest.fail("\n\n".join(wrong), pytrace=False)


def act(block: Block, shell: Terminal) -> Iterator[str]:
    """Do what a block says; yield what went otherwise than it says."""
    if block.file:
        file = shell.folder / block.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)
    elif block.language == PYTHON:
        script = shell.folder / f"line_{block.line}.py"
        script.write_text(block.before + block.text)
        if block.begins:
            shell.begin(f"python {script}")
        else:
            yield from faults(shell.type(f"python {script}"))
    else:
        for command in block.commands():
            shown = "" if block.ignores_output else command.shown
            if block.begins:
                shell.begin(command.text, shown)
            else:
                typed = shell.type(command.text, shown)
                yield from faults(typed, code=block.code_of(command.text))


def faults(typed: Typed, code: int = 0) -> Iterator[str]:
    """Yield what is wrong with a command that has ended."""
    command, shown, printed = typed.command, typed.shown, typed.printed
    if typed.code != code:
        yield f"exit code {typed.code}, not {code}\n$ {command}\n{printed}"
    elif shown and not agrees(shown, printed):
        yield f"not what is shown\n$ {command}\n--- shown\n{shown}\n--- printed\n{printed}"


@pytest.mark.parametrize(
    ("where", "why"),
    [
        (f"{name_of(file)}:{block.line}", block.skipped)
        for file in PAGES
        for block in read(file.read_text()).blocks
        if block.skipped
    ],
)
def test_a_block_that_is_not_run(where, why):
    pytest.skip(f"{where}: {why}")
