"""Text from plain files: to predict each next token of, or to tell classes of."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rheostat.trainer.data.factories import invalid_arg
from rheostat.trainer.data.files import invalid_root
from rheostat.trainer.data.records import (
    IGNORED,
    Collection,
    ResidentSplit,
    Split,
    StreamedSplit,
)
from rheostat.trainer.data.text_files import Labelled, read_documents, read_labelled
from rheostat.trainer.data.tokenizing import Tokenizer, Tokens, find_tokenizer

RESIDENT_TOKENS = 2**25
"""Up to so many tokens, half a gigabyte with their targets, all blocks lie on the device."""


def read_text(
    root: str | None = None,
    task: str = "causal_lm",
    context: int = 256,
    vocabulary: str = "bytes",
    tokenizer: str | None = None,
    files: str = "**/*",
) -> Collection:
    """Return text as (context,) int64 tokens.

    Args:
        root: A text file, or a folder. For classification, a file of label and text, or a folder
            of such files or of one sub-folder per class.
        task: `causal_lm`: the target of each token is the one after it. `classification`: the
            target of a text is its label.
        context: Tokens of one sample, at least 1; longer texts are cut up, or cut off.
        vocabulary: `bytes`, or `characters`: those that occur.
        tokenizer: Folder of a Hugging Face tokenizer to use instead.
        files: For causal_lm, the pattern of the files below `root`; links are left alone.

    Raises:
        InvalidSpec: an argument is none of these, or there is nothing to read.
    """
    if context < 1:
        raise invalid_arg("data", "context", context, "a number of tokens, at least 1")
    if root is None:
        raise invalid_root(None, "a text file, or a folder of them")
    place = Path(root).expanduser()
    if task == "causal_lm":
        documents = read_documents(place, files)
        made = find_tokenizer(vocabulary, tokenizer, documents)
        return _stream(place, documents, made, context)
    if task == "classification":
        labelled = read_labelled(place)
        made = find_tokenizer(vocabulary, tokenizer, labelled.texts())
        return _texts(labelled, made, context)
    raise invalid_arg("data", "task", task, "causal_lm or classification")


class Blocks:
    """A stream of tokens, cut into blocks of equal length: a map-style data set.

    The target of each token is the one after it. The last block is filled up, and what fills it
    counts for nothing.

    Args:
        tokens: (n,), n >= 2.
        context: tokens of a block.
        padding: fills up the inputs of the last.
    """

    def __init__(self, tokens: Tokens, context: int, padding: int) -> None:
        self._tokens = tokens
        self._context = context
        self._padding = padding

    def __len__(self) -> int:
        return -(-(len(self._tokens) - 1) // self._context)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = index * self._context
        there = torch.from_numpy(self._tokens[start : start + self._context + 1])
        inputs = torch.full((self._context,), self._padding)
        targets = torch.full((self._context,), IGNORED)
        inputs[: len(there) - 1] = there[:-1]
        targets[: len(there) - 1] = there[1:]
        return inputs, targets


def _stream(
    root: Path, documents: Sequence[bytes], tokenizer: Tokenizer, context: int
) -> Collection:
    end = np.array([tokenizer.end])
    parts = [part for one in documents for part in (tokenizer.encode(one, is_whole=False), end)]
    blocks = Blocks(np.concatenate(parts), context, tokenizer.description.padding)
    if len(blocks) < 2:
        tokens = sum(map(len, parts))
        expected = f"text for two blocks of {context} tokens at least; there are {tokens} tokens"
        raise invalid_root(root, f"{expected}, so give more, or a smaller data.args.context")
    split: Split = StreamedSplit(blocks)
    if len(blocks) * context <= RESIDENT_TOKENS:
        inputs, targets = zip(*(blocks[index] for index in range(len(blocks))), strict=True)
        split = ResidentSplit(torch.stack(inputs), torch.stack(targets))
    return Collection(
        train=split,
        share=0.1,
        classes=tokenizer.description.vocabulary,
        text=tokenizer.description,
    )


def _texts(labelled: Labelled, tokenizer: Tokenizer, context: int) -> Collection:
    def split(part: str) -> ResidentSplit:
        texts, targets = labelled.parts[part]
        inputs = torch.full((len(texts), context), tokenizer.description.padding)
        for row, text in zip(inputs, texts, strict=True):
            # An empty text is its end, so that there is something to look at.
            tokens = tokenizer.encode(text, is_whole=True)[:context]
            there = tokens if len(tokens) else np.array([tokenizer.end])
            row[: len(there)] = torch.from_numpy(there)
        return ResidentSplit(inputs, torch.tensor(targets))

    return Collection(
        train=split("train"),
        validation=split("validation") if "validation" in labelled.parts else None,
        test=(lambda: split("test")) if "test" in labelled.parts else None,
        share=0.2,
        classes=len(labelled.classes),
        text=tokenizer.description,
    )
