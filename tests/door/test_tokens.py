import asyncio
import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from rheostat.door.identity import Presented, Proof
from rheostat.door.roles import Role
from rheostat.door.tokens import TokenFile, new_token
from rheostat.errors import InvalidRequest


def presenting(token):
    return Presented(peer="here", token=token)


@pytest.fixture
def tokens_of(tmp_path):
    """Write lines to the token file, over those there are."""

    def write(*lines):
        file = tmp_path / "tokens"
        file.write_text("".join(f"{line}\n" for line in lines))
        return file

    return write


async def name_of(tokens, token):
    identity = await tokens.identify(presenting(token))
    return identity.principal if identity else None


def test_a_new_token_is_long_random_and_known_by_its_hash():
    first, second = new_token("ada"), new_token("ada")

    assert first.token != second.token
    assert len(first.token) > 40
    assert first.line == f"ada sha256:{hashlib.sha256(first.token.encode()).hexdigest()}"
    assert first.token not in repr(first)


@pytest.mark.parametrize("name", ["", "ada lovelace", "#ada", "ada\n", "x" * 129, "\u00a0ada"])
def test_a_name_that_no_line_can_hold_is_refused(name):
    with pytest.raises(InvalidRequest, match=r"name.*without spaces or #"):
        new_token(name)


@given(st.text(min_size=1, max_size=130))
def test_whoever_gets_a_token_is_known_by_it(tmp_path_factory, name):
    try:
        made = new_token(name)
    except InvalidRequest:
        return
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text(f"{made.line}\n")

    assert asyncio.run(name_of(TokenFile(file), made.token)) == name


@given(st.text(max_size=200))
def test_any_file_is_read_or_refused(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text(text, errors="replace")
    with contextlib.suppress(InvalidRequest):
        TokenFile(file)


async def test_comments_and_blank_lines_are_for_people(tokens_of):
    ada = new_token("ada")
    tokens = TokenFile(tokens_of("# who may steer", "", f"  {ada.line}  # until May"))

    identity = await tokens.identify(presenting(ada.token))

    assert (identity.principal, identity.proof) == ("ada", Proof.TOKEN)


@pytest.mark.parametrize("presented", [None, "", "guess", "sha256:"])
async def test_who_presents_none_or_a_wrong_token_is_not_known(tokens_of, presented):
    assert await name_of(TokenFile(tokens_of(new_token("ada").line)), presented) is None


@pytest.mark.parametrize(
    "line", ["ada", "ada secret-token", "ada sha256:abc", "ada md5:" + "0" * 64, "a b sha256:0"]
)
def test_a_malformed_line_is_refused_by_its_number_and_not_shown(tokens_of, line):
    file = tokens_of(new_token("ada").line, line)

    with pytest.raises(InvalidRequest, match=f"{file}, line 2: .*sha256:<64 hex") as refused:
        TokenFile(file)

    assert line not in str(refused.value)


def test_one_token_for_two_principals_is_refused(tokens_of):
    line = new_token("ada").line

    with pytest.raises(InvalidRequest, match="line 2: a token that no other line has"):
        TokenFile(tokens_of(line, line.replace("ada", "eve")))


def test_a_missing_file_is_refused_with_its_path(tmp_path):
    with pytest.raises(InvalidRequest, match=f"tokens = {tmp_path}/none: a file of lines"):
        TokenFile(tmp_path / "none")


async def test_tokens_are_added_rotated_and_removed_while_the_file_is_in_use(tokens_of):
    old, new, eve = new_token("ada"), new_token("ada"), new_token("eve")
    tokens = TokenFile(tokens_of(old.line))

    tokens_of(old.line, new.line, eve.line)
    both = [await name_of(tokens, one.token) for one in (old, new, eve)]
    tokens_of(new.line)
    after = [await name_of(tokens, one.token) for one in (old, new, eve)]
    tokens_of()
    none = [await name_of(tokens, one.token) for one in (old, new, eve)]

    assert both == ["ada", "ada", "eve"]
    assert after == [None, "ada", None]
    assert none == [None, None, None]


async def test_a_mounted_secret_is_followed_through_its_symbolic_links(tmp_path):
    """Kubernetes writes a new folder and then swaps one link; the file's own path never changes."""
    old, new = new_token("ada"), new_token("ada")
    for version, made in (("v1", old), ("v2", new)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "tokens").write_text(f"{made.line}\n")
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "tokens").symlink_to("..data/tokens")
    tokens = TokenFile(tmp_path / "tokens")

    (tmp_path / "swap").symlink_to("v2")
    (tmp_path / "swap").replace(tmp_path / "..data")

    assert [await name_of(tokens, one.token) for one in (old, new)] == [None, "ada"]


@pytest.mark.parametrize("harm", ["malformed", "missing"])
async def test_a_file_that_makes_no_sense_any_more_changes_nothing(tokens_of, harm):
    ada, eve = new_token("ada"), new_token("eve")
    file = tokens_of(ada.line)
    tokens = TokenFile(file)
    tokens_of(eve.line, "oops") if harm == "malformed" else file.unlink()

    with capture_logs() as logs:
        kept = [await name_of(tokens, one.token) for one in (ada, eve)]
    tokens_of(eve.line)
    mended = [await name_of(tokens, one.token) for one in (ada, eve)]

    assert (kept, mended) == (["ada", None], [None, "eve"])
    assert [one["event"] for one in logs] == ["files.not_reloaded"], "once, however many ask"


@pytest.mark.parametrize("role", [None, *Role])
async def test_a_token_carries_the_role_of_its_line(tokens_of, role):
    made = new_token("ada", role)

    identity = await TokenFile(tokens_of(made.line)).identify(presenting(made.token))

    assert (identity.role, made.line.split()[2:]) == (role, [role] if role else [])


def test_a_role_that_nobody_knows_is_refused(tokens_of):
    with pytest.raises(InvalidRequest, match=r"line 1: .*a role \(viewer, operator, admin\)"):
        TokenFile(tokens_of(f"{new_token('ada').line} king"))
