import pytest
from tests.docs.reading import Command, WrongMark, read
from tests.docs.test_pages import PAGES, name_of


def test_prompts_are_commands_and_what_follows_is_their_output():
    [block] = read(
        "```console\n$ first\nsays\nthis\n$ second \\\n    --goes-on\nsays that\n```"
    ).blocks

    assert block.commands() == [
        Command("first", "says\nthis"),
        Command("second \\\n    --goes-on", "says that"),
    ]


def test_a_shell_block_is_one_script():
    [block] = read("```sh\nfor one in 1 2; do\n  echo $one\ndone\n```").blocks

    assert block.commands() == [Command("for one in 1 2; do\n  echo $one\ndone\n")]


def test_other_blocks_are_not_run_unless_they_are_files():
    text = "```yaml\na: 1\n```\n\n<!-- test writes b.yaml -->\n```yaml\nb: 1\n```"
    plain, file = read(text).blocks

    assert not plain.is_run
    assert (file.is_run, file.file, file.text) == (True, "b.yaml", "b: 1\n")


def test_a_block_in_a_list_is_run_as_well():
    [block] = read("- do this:\n\n  ```sh\n  true\n  ```\n").blocks

    assert (block.is_run, block.text) == (True, "true\n")


def test_an_indented_block_is_run_if_it_is_something_to_type():
    formula, command = "    lr = base * factor\n", "    rheostat runs list\n"

    [block] = read(f"words\n\n{formula}\nwords\n\n{command}").blocks

    assert (block.is_run, block.text) == (True, "rheostat runs list\n")


def test_a_placeholder_means_what_the_page_says():
    text = "<!-- test reads RUN as digits -->\n```sh\nrheostat runs show RUN\n```"
    [block] = read(text).blocks

    assert block.text == "rheostat runs show digits\n"


def test_hidden_commands_are_run_in_their_place():
    text = "```sh\none\n```\n<!-- test runs: two\nthree -->\n```sh\nfour\n```"

    assert [block.text.strip() for block in read(text).blocks] == ["one", "two\nthree", "four"]


def test_a_block_that_is_not_run_says_why():
    [block] = read("<!-- test skips: it takes\n a week -->\n```sh\nlong\n```").blocks

    assert (block.is_run, block.skipped) == (False, "it takes a week")


def test_a_command_may_be_expected_to_fail():
    text = "<!-- test expects 2 from: rheostat lr set -->\n```console\n$ rheostat lr set x nan\n```"
    [block] = read(text).blocks

    assert block.code_of("rheostat lr set x nan") == 2
    assert block.code_of("rheostat lr show x") == 0


@pytest.mark.parametrize(
    "text",
    [
        "<!-- test forgives everything -->\n```sh\nfalse\n```",
        "<!-- test skips: it is not there -->\n\nwords",
        "```console\noutput of nothing\n```",
    ],
    ids=["unknown mark", "mark before no block", "output before a prompt"],
)
def test_what_is_not_understood_is_an_error(text):
    with pytest.raises(WrongMark):
        [block.commands() for block in read(text).blocks]


@pytest.mark.parametrize("file", PAGES, ids=name_of)
def test_every_page_can_be_read(file):
    for block in read(file.read_text()).blocks:
        assert not block.is_run or block.commands()
