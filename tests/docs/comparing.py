"""Whether a command prints what its page shows, but for figures, times and names.

Every number, time and `user@machine` may be another, lines may be broken elsewhere, and `...`
stands for any words. All else must be as it is shown, word by word.
"""

import re

ELLIPSIS = "..."
MASKS = (
    (re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?"), "TIME"),
    (re.compile(r"\b[\w.-]+@[\w.-]+"), "WHO"),
    (re.compile(r"(?<![\w.])[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?(?=\W|s\b|$)"), "#"),
)


def masked(text: str) -> str:
    """Return the words of a text, without what may differ."""
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    return " ".join(text.split())


def agrees(shown: str, printed: str) -> bool:
    """Whether what was printed is what the page shows."""
    parts = (re.escape(part) for part in re.split(r"\s?\.\.\.", masked(shown)))
    return re.fullmatch(".*".join(parts), masked(printed)) is not None
