"""Text files become blocks of tokens, or texts with their classes."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.errors import InvalidSpec
from rheostat.spec.models import DataSpec
from rheostat.trainer.data import StreamedSplit, load_data, text
from rheostat.trainer.data.records import IGNORED
from rheostat.trainer.data.text import Blocks, read_text

WORDS = "the quick brown fox jumps over the lazy dog. " * 20


def blocks(root, **args):
    return read_text(root=str(root), **args).train


def refusal(root, **args):
    with pytest.raises(InvalidSpec) as refused:
        read_text(root=str(root), **args)
    [violation] = refused.value.violations
    return violation


def test_each_tokens_target_is_the_token_after_it(tmp_path):
    (tmp_path / "a.txt").write_text(WORDS)

    split = blocks(tmp_path, context=16)

    stream = split.inputs.flatten()
    assert bytes(stream[: len(WORDS)].tolist()).decode() == WORDS
    known = split.targets != IGNORED
    assert torch.equal(
        split.targets.flatten()[:-1][known.flatten()[:-1]], stream[1:][known.flatten()[:-1]]
    )


@given(length=st.integers(2, 60), context=st.integers(1, 20))
@settings(deadline=None)
def test_blocks_hold_every_token_once_and_nothing_else_counts(length, context):
    tokens = torch.arange(length).numpy()

    made = Blocks(tokens, context, padding=99)
    inputs, targets = zip(*(made[index] for index in range(len(made))), strict=True)

    known = torch.cat(targets) != IGNORED
    assert torch.cat(inputs)[known].tolist() == list(range(length - 1))
    assert torch.cat(targets)[known].tolist() == list(range(1, length))
    assert set(torch.cat(inputs)[~known].tolist()) <= {99}


def test_files_stand_in_the_order_of_their_paths_with_an_end_after_each(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.txt").write_text("bb")
    (tmp_path / "sub" / "a.txt").write_text("aa")
    (tmp_path / "c.md").write_text("cc")
    (tmp_path / ".hidden.txt").write_text("hh")
    (tmp_path / "link.txt").symlink_to(tmp_path / "b.txt")

    split = blocks(tmp_path, context=1, files="**/*.txt")

    assert split.inputs.flatten().tolist() == [*b"bb", 256, *b"aa"]
    assert split.targets[-1].item() == 256


def test_characters_are_those_that_occur(tmp_path):
    (tmp_path / "a.txt").write_text("æther " * 10)

    collection = read_text(root=str(tmp_path), context=6, vocabulary="characters")

    assert collection.text.vocabulary == len(set("æther ")) + 1
    assert collection.classes == collection.text.vocabulary


def test_more_text_than_fits_on_a_device_is_streamed_and_is_the_same(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text(WORDS)
    resident = blocks(tmp_path, context=16)
    monkeypatch.setattr(text, "RESIDENT_TOKENS", 100)

    streamed = blocks(tmp_path, context=16)

    assert isinstance(streamed, StreamedSplit)
    for index in (0, len(streamed) - 1):
        inputs, targets = streamed.dataset[index]
        assert inputs.equal(resident.inputs[index])
        assert targets.equal(resident.targets[index])


def test_a_description_says_what_a_model_needs_to_know(tmp_path):
    (tmp_path / "a.txt").write_text(WORDS)
    spec = DataSpec(name="text", root=str(tmp_path), args={"context": 32})

    described = load_data(spec).description

    assert described.input_shape == (32,)
    assert described.is_per_token
    assert described.outputs == described.text.vocabulary == 257
    assert described.validation_samples == round(
        0.1 * (described.train_samples + described.validation_samples)
    )


TABLES = {
    "csv": 'label,text\nham,see you\nspam,buy now\nham,"a, b"\n',
    "tsv": "label\ttext\nham\tsee you\nspam\tbuy now\nham\ta, b\n",
    "jsonl": "\n".join(
        json.dumps({"label": label, "text": text})
        for label, text in [("ham", "see you"), ("spam", "buy now"), ("ham", "a, b")]
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_label_and_text_are_all_read_alike(tmp_path, kind):
    (tmp_path / f"train.{kind}").write_text(TABLES[kind])
    (tmp_path / f"test.{kind}").write_text(TABLES[kind])

    collection = read_text(root=str(tmp_path), task="classification", context=8)

    assert collection.train.targets.tolist() == [0, 1, 0]
    assert collection.classes == 2
    assert collection.train.inputs[2].tolist() == [*b"a, b", 256, 256, 256, 256]
    assert collection.test().targets.tolist() == [0, 1, 0]
    assert collection.validation is None
    alone = read_text(root=str(tmp_path / f"train.{kind}"), task="classification", context=8)
    assert alone.train.inputs.equal(collection.train.inputs)


def test_class_folders_are_read_like_those_of_images(tmp_path):
    for part, label, words in [("train", "a", "x"), ("train", "b", "yy"), ("val", "b", "z" * 9)]:
        folder = tmp_path / part / label
        folder.mkdir(parents=True)
        (folder / "1.txt").write_text(words)

    collection = read_text(root=str(tmp_path), task="classification", context=4)
    flat = read_text(root=str(tmp_path / "train"), task="classification", context=4)

    assert collection.train.targets.tolist() == flat.train.targets.tolist() == [0, 1]
    assert collection.validation.inputs.tolist() == [[*b"zzzz"]], "cut off"
    assert collection.validation.targets.tolist() == [1]


def test_labels_that_are_numbers_are_in_the_order_of_numbers(tmp_path):
    (tmp_path / "t.csv").write_text("label,text\n10,a\n9,b\n")

    split = blocks(tmp_path / "t.csv", task="classification", context=4)

    assert split.targets.tolist() == [1, 0]


def test_an_empty_text_has_one_token_to_look_at(tmp_path):
    (tmp_path / "t.csv").write_text("label,text\na,\nb,b\n")

    assert blocks(tmp_path / "t.csv", task="classification", context=2).inputs[0].tolist() == [
        256,
        256,
    ]


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"task": "translation"}, "data.args.task"),
        ({"vocabulary": "words"}, "data.args.vocabulary"),
        ({"context": 0}, "data.args.context"),
        ({"tokenizer": "gpt2"}, "data.args.tokenizer"),
        ({"files": "../*"}, "data.root"),
        ({"files": "*.md"}, "data.root"),
        ({"context": 10_000}, "data.root"),
        ({"task": "classification"}, "data.root"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(tmp_path, args, field):
    (tmp_path / "a.txt").write_text(WORDS)

    assert refusal(tmp_path, **args).field == field


@pytest.mark.parametrize(
    ("name", "content", "mistake"),
    [
        ("train.csv", "kind,text\na,b\n", "record 1: has no label and text"),
        ("train.jsonl", '{"label": "a", "text": "b"}\n{"label"', "line 2"),
        ("train.jsonl", '["a", "b"]', "record 1"),
    ],
)
def test_a_malformed_table_is_named_with_its_place(tmp_path, name, content, mistake):
    (tmp_path / name).write_text(content)

    assert mistake in refusal(tmp_path, task="classification").expected


def test_a_label_that_no_training_text_has_is_named(tmp_path):
    (tmp_path / "train.csv").write_text("label,text\na,b\n")
    (tmp_path / "val.csv").write_text("label,text\nc,d\n")

    assert (
        "labels that no training text has: c" in refusal(tmp_path, task="classification").expected
    )
