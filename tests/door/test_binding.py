import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from rheostat.door.binding import Binding, RolesFile
from rheostat.door.identity import Identity, Proof
from rheostat.door.roles import Reach, Right, Role
from rheostat.errors import InvalidRequest


def somebody(name, *groups):
    return Identity(name, Proof.TOKEN, groups=groups)


@pytest.fixture
def roles_of(tmp_path):
    """Write a file of roles, over the one there is."""

    def write(text):
        file = tmp_path / "roles.yaml"
        file.write_text(text)
        return file

    return write


@pytest.mark.parametrize("has", Role)
@pytest.mark.parametrize("needs", Role)
def test_each_role_may_do_what_those_before_it_may(has, needs):
    order = [Role.VIEWER, Role.OPERATOR, Role.ADMIN]

    assert has.covers(needs) == (order.index(has) >= order.index(needs))


@pytest.mark.parametrize(
    ("runs", "run", "allowed"),
    [
        (("*",), "digits", True),
        (("*",), Reach.SOME, True),
        (("*",), Reach.ALL, True),
        (("team-a-*",), "team-a-1", True),
        (("team-a-*",), "team-b-1", False),
        (("team-a-*",), "xteam-a-1", False),
        (("team-a-*",), Reach.SOME, True),
        (("team-a-*",), Reach.ALL, False),
        (("digits",), "", False),
        (("one", "two"), "two", True),
    ],
)
def test_a_binding_reaches_the_runs_it_names(runs, run, allowed):
    binding = Binding(role=Role.OPERATOR, principals=("ada",), runs=runs)

    assert binding.allows(somebody("ada"), Right(Role.OPERATOR, run)) == allowed


@pytest.mark.parametrize(
    ("principals", "groups", "caller", "allowed"),
    [
        (("ada",), (), somebody("ada"), True),
        (("ada",), (), somebody("Ada"), False),
        (("spiffe://x/*",), (), somebody("spiffe://x/team/ada"), True),
        (("*",), (), somebody("anybody"), True),
        ((), ("ml",), somebody("ada", "other", "ml"), True),
        ((), ("ml",), somebody("ml"), False),
        (("eve",), ("ml",), somebody("ada"), False),
    ],
)
def test_a_binding_is_for_principals_or_groups(principals, groups, caller, allowed):
    binding = Binding(role=Role.VIEWER, principals=principals, groups=groups)

    assert binding.allows(caller, Right(Role.VIEWER, "digits")) == allowed


@given(
    st.lists(st.tuples(st.sampled_from(Role), st.sampled_from(["a*", "b", "*"])), max_size=4),
    st.sampled_from(Role),
    st.sampled_from(["a1", "b", "c"]),
)
def test_more_bindings_never_allow_less_and_a_higher_role_never_does(bound, needs, run):
    bindings = [Binding(role=role, principals=("ada",), runs=(runs,)) for role, runs in bound]
    allows = [one.allows(somebody("ada"), Right(needs, run)) for one in bindings]
    of_all = [one.allows(somebody("ada"), Right(needs, Reach.ALL)) for one in bindings]
    as_viewer = [one.allows(somebody("ada"), Right(Role.VIEWER, run)) for one in bindings]

    judged = zip(as_viewer, allows, of_all, strict=True)
    assert all(viewer >= one >= every for viewer, one, every in judged)


async def test_a_file_gives_and_takes_roles_while_it_is_in_use(roles_of):
    roles = RolesFile(roles_of("bindings: [{role: operator, principals: [ada]}]"))
    right = Right(Role.OPERATOR, "digits")
    before = await roles.allows(somebody("ada"), right)
    roles_of("bindings: []")
    taken = await roles.allows(somebody("ada"), right)
    roles_of("bindings: [{role: operator, principals: [ada]}, {role: king}]")
    with capture_logs() as logs:
        kept = await roles.allows(somebody("ada"), right)

    assert (before, taken, kept) == (True, False, False)
    assert [one["event"] for one in logs] == ["files.not_reloaded"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bindings: [{role: king, principals: [ada]}]", r"bindings\[0\].role = king: .*'viewer'"),
        ("bindings: [{role: admin}]", r"bindings\[0\].*for somebody"),
        ("bindings: [{role: admin, principals: [a], runs: []}]", "for some run"),
        ("bindings: [{role: admin, principals: ['']}]", r"principals\[0\]"),
        ("bindngs: []", "bindngs"),
        ("[1]", "must be a mapping"),
        ("bindings: [", "line 1"),
        ("x: " + "#" * 2**20, "at most 1048576 bytes"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_the_place(roles_of, text, told):
    with pytest.raises(InvalidRequest, match=told):
        RolesFile(roles_of(text))


def test_of_several_approvals_the_first_that_fits_a_run_counts(roles_of):
    text = "approvals: [{runs: ['prod-*'], ratio: 1.5}, {runs: ['*-1'], ratio: 3}]"
    roles = RolesFile(roles_of(text))
    found = {run: roles.approval_of(run) for run in ("prod-1", "test-1", "test-2")}

    assert (found["prod-1"].ratio, found["test-1"].ratio, found["test-2"]) == (1.5, 3.0, None)


def test_a_missing_file_is_refused_with_its_path(tmp_path):
    with pytest.raises(InvalidRequest, match=f"roles = {tmp_path}/none"):
        RolesFile(tmp_path / "none")


@given(st.text(max_size=200))
def test_any_file_is_read_or_refused(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("roles") / "roles.yaml"
    file.write_text(text, errors="replace")
    with contextlib.suppress(InvalidRequest):
        RolesFile(file)
