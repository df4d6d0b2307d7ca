"""What a page tells its reader to type, and what it tells the tests beside.

The tests are told in HTML comments, which no reader sees. Before a block, each on lines of its own:

    <!-- test writes FILE -->               the block is the content of a file
    <!-- test skips: WHY -->                the block is not run
    <!-- test begins -->                    it goes on in a terminal of its own, to `interrupt`
    <!-- test ignores output -->            what it prints is not compared
    <!-- test expects 2 from: COMMAND -->   commands that begin so end with this code
    <!-- test precedes: PYTHON -->          lines that belong before a Python block

and anywhere:

    <!-- test runs: COMMANDS -->            what is done here besides
    <!-- test needs: PART -->               the page wants a `cluster` or `node`
    <!-- test reads WORD as WORDS -->       what a placeholder means from here on

An indented block is one to type if it looks like that; others are formulas and trees.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from markdown_it import MarkdownIt

COMMENT = re.compile(r"<!--\s*test\s+(.*?)\s*-->", re.DOTALL)
EXPECTS = re.compile(r"expects (\d+) from: (.+)", re.DOTALL)
READS = re.compile(r"reads (\S+) as (.+)", re.DOTALL)
TO_TYPE = re.compile(
    r"(\$ |(rheostat|kubectl|helm|make|docker|export|curl|promtool|jq|pip|npm|node|python3?) )"
)
SHELL, CONSOLE, PYTHON = ("sh", "bash", "shell"), "console", "python"
PROMPT = "$ "


@dataclass(frozen=True)
class Command:
    """What is typed at one prompt, and what is shown below it."""

    text: str
    shown: str = ""


@dataclass
class Block:
    """A block of code, with what the tests are told about it."""

    line: int
    """Where it begins in its page, from 1."""
    language: str
    text: str
    file: str = ""
    skipped: str = ""
    """Why it is not run."""
    begins: bool = False
    ignores_output: bool = False
    codes: dict[str, int] = field(default_factory=dict)
    """Exit codes by the beginning of the command."""
    before: str = ""
    """Python that belongs before it."""
    hidden: bool = False
    """Whether a reader does not see it."""

    @property
    def is_run(self) -> bool:
        """Whether something is to be done with it."""
        languages = (*SHELL, CONSOLE, PYTHON)
        return bool(self.file) or (self.language in languages and not self.skipped)

    def commands(self) -> list[Command]:
        """Return what is typed: prompts with their output, or the block as one script."""
        if self.language != CONSOLE:
            return [Command(self.text)]
        return list(_prompts(self.text))

    def code_of(self, command: str) -> int:
        """Return the exit code that a command should have."""
        return next((code for said, code in self.codes.items() if command.startswith(said)), 0)


@dataclass(frozen=True)
class Page:
    """A page in the order of its blocks; hidden commands are blocks too."""

    blocks: list[Block]
    needs: tuple[str, ...]


class WrongMark(Exception):
    """A comment for the tests that says nothing they understand, or stands before no block."""


def read(text: str) -> Page:
    """Return the blocks of a page, and what it needs.

    Raises:
        WrongMark: if a comment for the tests is none of those above.
    """
    blocks: list[Block] = []
    needs: list[str] = []
    waiting: list[str] = []
    means: dict[str, str] = {}
    for token in MarkdownIt("commonmark").parse(text):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block":
            for mark in COMMENT.findall(token.content):
                if mark.startswith("runs:"):
                    script = mark.removeprefix("runs:").strip()
                    blocks.append(Block(line, "sh", script, hidden=True))
                elif mark.startswith("needs:"):
                    needs.append(mark.removeprefix("needs:").strip())
                elif reads := READS.fullmatch(mark):
                    means[reads[1]] = reads[2]
                else:
                    waiting.append(mark)
        elif token.type == "fence" or (token.type == "code_block" and TO_TYPE.match(token.content)):
            language = token.info.strip() or (CONSOLE if token.content.startswith(PROMPT) else "")
            language = language or ("sh" if token.type == "code_block" else "")
            block = Block(line, language, _filled_in(token.content, means))
            for mark in waiting:
                _obey(block, mark)
            waiting = []
            blocks.append(block)
        elif waiting and token.nesting >= 0:
            raise WrongMark(f"line {line}: `test {waiting[0]}` stands before no block")
    return Page(blocks, tuple(needs))


def _filled_in(text: str, means: Mapping[str, str]) -> str:
    for word, meaning in means.items():
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", meaning, text)
    return text


def _obey(block: Block, mark: str) -> None:
    if mark.startswith("writes "):
        block.file = mark.removeprefix("writes ")
    elif mark.startswith("skips:"):
        block.skipped = " ".join(mark.removeprefix("skips:").split())
    elif mark == "begins":
        block.begins = True
    elif mark == "ignores output":
        block.ignores_output = True
    elif mark.startswith("precedes:"):
        block.before = mark.removeprefix("precedes:").strip() + "\n"
    elif expects := EXPECTS.fullmatch(mark):
        block.codes[expects[2]] = int(expects[1])
    else:
        raise WrongMark(f"line {block.line}: nothing is known of `test {mark}`")


def _prompts(text: str) -> Iterator[Command]:
    typed: list[str] = []
    shown: list[str] = []
    goes_on = False
    for line in text.splitlines():
        if line.startswith(PROMPT):
            if typed:
                yield Command("\n".join(typed), "\n".join(shown))
            typed, shown = [line.removeprefix(PROMPT)], []
        elif goes_on:
            typed.append(line)
        elif not typed:
            raise WrongMark(f"output before the first prompt: {line}")
        else:
            shown.append(line)
        goes_on = bool(typed) and not shown and typed[-1].endswith("\\")
    if typed:
        yield Command("\n".join(typed), "\n".join(shown))
