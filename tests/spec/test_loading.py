import json

import pytest

from rheostat.errors import InvalidSpec
from rheostat.spec.loading import MAX_LENGTH, MAX_YAML_LENGTH, read_document, read_file, read_value


def mistakes(text):
    with pytest.raises(InvalidSpec) as caught:
        read_document(text, "digits.yaml")
    return [str(violation) for violation in caught.value.violations]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5e-4", 0.0005),
        ("10", 10),
        ("yes", "yes"),
        ("true", True),
        ("null", None),
        ("[1, 2.0]", [1, 2.0]),
        ("torchvision:resnet18", "torchvision:resnet18"),
    ],
)
def test_values_mean_what_yaml_1_2_says(text, value):
    read = read_value(text, "--set x")

    assert (read, type(read)) == (value, type(value))


def test_json_is_read_with_every_character_intact():
    document = {"name": "a", "model": {"args": {"label": "\N{GRINNING FACE} \t"}}}

    assert read_document(json.dumps(document), "spec") == document
    assert read_document(json.dumps(document, indent="\t"), "spec") == document


def test_a_duplicate_key_is_refused_with_line_and_column():
    [mistake] = mistakes("name: a\ntrain: {steps: 1}\nname: b\n")

    assert mistake.startswith('digits.yaml, line 3, column 1: found duplicate key "name"')


def test_a_duplicate_key_in_json_is_refused_too():
    [mistake] = mistakes('{"name": "a",\n "name": "b"}')

    assert mistake.startswith("digits.yaml, line 2, column 2: found duplicate key")


def test_a_tab_is_refused_with_line_column_and_mend():
    assert mistakes("train:\n\tsteps: 1\n") == [
        "digits.yaml, line 2, column 1: must be indented with spaces, not tabs"
    ]


@pytest.mark.parametrize(
    ("text", "given"), [("", "empty"), ("[1, 2]", "[1, 2]"), ("just text", "just text")]
)
def test_a_document_that_is_no_mapping_is_refused(text, given):
    assert mistakes(text) == [
        f"digits.yaml: must be a mapping of keys to values at the top, but is {given}"
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("a: {b: .nan}", "a.b = NaN: a finite number"),
        ("a: [1, 1e999]", "a[1] = Infinity: a finite number"),
        ("a: 2020-01-01", 'a = "2020-01-01": text, a number, true, false or null; quote it'),
        ("a: {1: 2}", "a.1: keys must be text; quote this one"),
        ("a: &b [*b]", "must be nested at most 64 deep"),
        ("a: 0x" + "f" * 17, "a whole number of at most 18446744073709551615"),
        ('a: "\\ud800"', "text without broken characters"),
    ],
)
def test_a_value_that_cannot_travel_to_the_trainer_is_refused_by_path(text, mistake):
    assert [each for each in mistakes(text) if each.endswith(mistake)]


def test_an_alias_bomb_is_refused_before_it_is_unfolded():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]

    assert mistakes("\n".join(lines)) == ["spec: must hold at most 100,000 values"]


@pytest.mark.parametrize(
    "text", ["[" * 5000, "a: 'x", "a: *b", "a: " + "9" * 5000, "a: \x01", "a: !!python/name:x y"]
)
def test_text_that_is_not_yaml_is_refused_and_named(text):
    [mistake] = mistakes(text)

    assert mistake.startswith("digits.yaml")


@pytest.mark.parametrize(
    "text", ['{"a": {"b": 1}, "c":,[{"d": {}}]}', "? {a: {}}\n: 1", "? [[a]]\n: 1"]
)
def test_a_key_that_is_no_text_is_refused(text):
    """The first was found by `fuzzing.requests`: what follows a stray comma is a key."""
    with pytest.raises(InvalidSpec):
        read_document(text, "spec")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidSpec, match=r"missing.yaml: cannot be read: No such file"):
        read_file(tmp_path / "missing.yaml")


def test_a_file_that_is_not_text_is_named(tmp_path):
    file = tmp_path / "weights.yaml"
    file.write_bytes(b"a: \xff\xfe")

    with pytest.raises(InvalidSpec, match=r"weights.yaml: must be UTF-8 text; byte 3 is not"):
        read_file(file)


def test_merge_keys_that_multiply_are_refused_before_they_fill_the_memory():
    """Found by trying: eight lines of ten merges each made ten to the eighth pairs."""
    lines = ["a: &a {x: 1}"] + [
        f"{name}: &{name} {{<<: [{','.join([f'*{before}'] * 10)}], y: 1}}"
        for before, name in zip("abcdefghijk", "bcdefghijkl", strict=True)
    ]

    with pytest.raises(InvalidSpec, match="merge keys that make more than 100,000 values"):
        read_document("\n".join(lines), "spec")


def test_merge_keys_that_people_write_are_read():
    text = "a: &a {x: 1}\nb: {<<: *a, y: 2}"

    assert read_document(text, "spec") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: " + "x" * MAX_YAML_LENGTH, f"at most {MAX_YAML_LENGTH:,} .*unless it is JSON"),
        ('{"a": "' + "x" * MAX_LENGTH + '"}', f"at most {MAX_LENGTH:,} characters"),
    ],
)
def test_documents_that_are_too_long_are_refused_unread(text, told):
    with pytest.raises(InvalidSpec, match=told):
        read_document(text, "spec")
    assert read_document('{"a": "' + "x" * MAX_YAML_LENGTH + '"}', "spec")
