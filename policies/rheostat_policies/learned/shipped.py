"""The policy files that come with Rheostat, by name."""

from pathlib import Path

FOLDER = Path(__file__).parent / "files"
SUFFIX = ".safetensors"
DEFAULT = "one_cycle"
"""Trained on OneCycle as its base; see docs/learned-policies.md for what it is worth."""


def shipped_names() -> list[str]:
    """Return the names of all of them."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def shipped_file(name: str | None) -> Path:
    """Return the file of a name, or any other file as the path that it is.

    >>> shipped_file(None).name
    'one_cycle.safetensors'
    >>> shipped_file("~/mine.safetensors").name
    'mine.safetensors'
    """
    if name is None:
        name = DEFAULT
    if name in shipped_names():
        return FOLDER / f"{name}{SUFFIX}"
    return Path(name).expanduser()
