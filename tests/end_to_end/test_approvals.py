"""The two-person rule on a real daemon: who may do what alone, and what the record says."""

import json
import threading

import pytest

from rheostat.client import Client, Credentials
from rheostat.door.roles import Role
from rheostat.door.tokens import new_token
from rheostat.errors import FailedPrecondition, PermissionDenied

from .conftest import living_daemon

RULES = {"approvals": [{"runs": ["small*"], "ratio": 2.0, "expires_seconds": 30}]}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    made = {name: new_token(name, Role.ADMIN) for name in ("tester", "ada", "bob")}
    (folder / "tokens").write_text("".join(f"{one.line}\n" for one in made.values()))
    (folder / "roles").write_text(json.dumps(RULES))
    credentials = {name: Credentials(token=one.token) for name, one in made.items()}
    options = ("--tokens", folder / "tokens", "--roles", folder / "roles")
    with (
        living_daemon(folder / "state", *options, credentials=credentials["tester"]) as daemon,
        Client(daemon.address, credentials=credentials["ada"]) as daemon.ada,
        Client(daemon.address, credentials=credentials["bob"]) as daemon.bob,
    ):
        daemon.roles, daemon.token_of_bob = folder / "roles", made["bob"].token
        yield daemon


@pytest.fixture(scope="module")
def run(guarded):
    with guarded.training() as run:
        yield run


def test_a_large_change_waits_for_somebody_else_and_both_names_are_in_the_record(
    guarded, run, wait_until
):
    known = len(run.history)
    small = run.change("scale", 0.75, client=guarded.ada)
    answers = []

    def ask():
        answers.append(run.change("scale", 0.1, client=guarded.ada, request_id="cut"))

    asking = threading.Thread(target=ask)
    asking.start()
    held = wait_until(lambda: guarded.bob.list_held_changes(run.name), "it waits")
    with pytest.raises(PermissionDenied, match="ada asked for this"):
        guarded.ada.approve_change(run.name, "cut")
    approved = guarded.bob.approve_change(run.name, "cut").decision
    asking.join(30)

    assert (small.principal, small.approved_by) == ("ada", "")
    assert [(one.request_id, one.principal, one.verb, one.value) for one in held] == [
        ("cut", "ada", "scale", 0.1)
    ]
    assert held[0].ratio == pytest.approx(10.0)
    assert (approved.principal, approved.approved_by) == ("ada", "bob")
    assert answers == [approved], "whoever asked and waits is answered too"
    assert [one.decision.approved_by for one in run.history[known:]] == ["", "bob"]


def test_people_see_and_approve_from_a_terminal(guarded, run, ask):
    shell = {"RHEOSTAT_ADDRESS": guarded.address, "RHEOSTAT_TOKEN": guarded.token_of_bob}
    run.change("hold", 1.0, client=guarded.ada, request_id="up", wait=False)
    shown = ask("lr", "held", run.name, variables=shell)
    done = ask("lr", "approve", run.name, "up", variables=shell)
    after = ask("lr", "held", run.name, variables=shell)

    assert ("up" in shown.stdout, "hold 1" in shown.stdout) == (True, True), shown.stderr
    assert "Acts from step" in done.stdout, done.stderr
    assert "No change of small waits" in after.stderr + after.stdout


def test_what_nobody_approves_changes_nothing(guarded, run):
    known = run.history
    guarded.roles.write_text(json.dumps({"approvals": [{"ratio": 1.0, "expires_seconds": 0.2}]}))
    with pytest.raises(FailedPrecondition, match="nobody approved"):
        run.change("scale", 0.99, client=guarded.ada)
    guarded.roles.write_text(json.dumps(RULES))

    assert run.history == known
