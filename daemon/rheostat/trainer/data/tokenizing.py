"""Text into token ids: bytes, characters, or what a model's own tokenizer makes of it.

Nothing is ever downloaded: a tokenizer is a folder of files that were put in place beforehand.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rheostat.errors import InvalidSpec
from rheostat.trainer.data.factories import invalid_arg
from rheostat.trainer.data.records import TextDescription

Tokens = NDArray[np.int64]


class Tokenizer(Protocol):
    """Turns one text into the ids of its tokens."""

    description: TextDescription
    end: int
    """Token that stands behind a text."""

    def encode(self, text: bytes, *, is_whole: bool) -> Tokens:
        """Return the (n,) tokens of a text.

        Args:
            text: UTF-8; what is not is replaced, except where bytes are the tokens.
            is_whole: whether it stands by itself, and gets the marks that a model wants around
                one; else it is a part of a stream.
        """
        ...


class Bytes:
    """Each byte is a token."""

    description = TextDescription(vocabulary=257, padding=256)
    end = 256

    def encode(self, text: bytes, *, is_whole: bool) -> Tokens:
        """See `Tokenizer`."""
        return np.frombuffer(text, np.uint8).astype(np.int64)


class Characters:
    """Each character that occurs in a collection of texts is a token.

    Args:
        texts: all of the collection.
    """

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._known = np.unique(np.concatenate([_points(text) for text in texts]))
        self.end = len(self._known)
        self.description = TextDescription(vocabulary=self.end + 1, padding=self.end)

    def encode(self, text: bytes, *, is_whole: bool) -> Tokens:
        """See `Tokenizer`; a character of none of the collection's texts is left out."""
        points = _points(text)
        places = np.searchsorted(self._known, points).clip(max=self.end - 1)
        known: Tokens = places[self._known[places] == points].astype(np.int64)
        return known


class Local:
    """The tokenizer in a folder, as Hugging Face's libraries write it.

    Args:
        folder: with `tokenizer.json` or what else its class wants.

    Raises:
        InvalidSpec: there is none, it would run code of its own, or `transformers` is missing.
    """

    def __init__(self, folder: str) -> None:
        self._tokenizer = _load(folder)
        end = self._tokenizer.eos_token_id
        padding = self._tokenizer.pad_token_id
        self.end = next((one for one in (end, padding) if one is not None), 0)
        padding = self.end if padding is None else padding
        self.description = TextDescription(vocabulary=len(self._tokenizer), padding=padding)

    def encode(self, text: bytes, *, is_whole: bool) -> Tokens:
        """See `Tokenizer`."""
        ids = self._tokenizer(
            text.decode(errors="replace"), add_special_tokens=is_whole, verbose=False
        )
        return np.asarray(ids["input_ids"], np.int64)


def find_tokenizer(vocabulary: str, folder: str | None, texts: Iterable[bytes]) -> Tokenizer:
    """Return the tokenizer that a spec asks for.

    Args:
        vocabulary: `bytes` or `characters`.
        folder: of a tokenizer to use instead.
        texts: the collection that characters are looked for in.

    Raises:
        InvalidSpec: there is none such.
    """
    if folder is not None:
        return Local(folder)
    if vocabulary == "bytes":
        return Bytes()
    if vocabulary == "characters":
        return Characters(texts)
    raise invalid_arg("data", "vocabulary", vocabulary, "bytes or characters")


def _points(text: bytes) -> NDArray[np.uint32]:
    """Return the code points of a text."""
    return np.frombuffer(text.decode(errors="replace").encode("utf-32-le"), np.uint32)


def _load(folder: str) -> Any:
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise _refused(folder, f"a folder of a tokenizer's files; {place} is none")
    try:
        from transformers import AutoTokenizer
    except ImportError:
        mend = "absent, or transformers installed: pip install 'rheostat[hf]'"
        raise _refused(folder, mend) from None
    try:
        # The folder's own files, and never code that lies beside them.
        return AutoTokenizer.from_pretrained(place, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # it raises whatever the files make it stumble over
        raise _refused(folder, f"a folder that holds a tokenizer ({error})") from error


def _refused(folder: str, expected: str) -> InvalidSpec:
    return invalid_arg("data", "tokenizer", folder, expected)
