"""The example package and a broken one, as users have them: installed, and found by entry point."""

import json
import sysconfig
import venv
from importlib.metadata import distributions
from pathlib import Path

import pytest

from rheostat.steering.records import Change, PolicyEdit, Verb

MISBEHAVING = Path(__file__).parent / "misbehaving"
BENCHED = ("raising", "sleeping", "babbling")
REFORM_STEP = 2000
"""Until then they misbehave."""
ATTACH = """
import sys
from rheostat.client import Client
from rheostat.steering.records import Change, PolicyEdit, Verb

address, run, args = sys.argv[1:]
edit = PolicyEdit(policy="slope_brake", args=args)
Client(address).change_learning_rate(run, Change(verb=Verb.ATTACH, policy=edit))
"""


@pytest.fixture(scope="module")
def outside(tmp_path_factory, terminal, root):
    """A terminal in a fresh environment into which both packages are installed.

    What the project's own environment has is visible in it, since torch takes minutes to install.
    """
    folder = tmp_path_factory.mktemp("outside")
    venv.create(folder / "venv")
    [site_packages] = (folder / "venv" / "lib").glob("python*/site-packages")
    ours = sysconfig.get_path("purelib")
    (site_packages / "project.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    outside = terminal(folder / "state", folder / "venv" / "bin" / "python")
    alone = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    outside.run("-m", "pip", "install", *alone, root / "examples" / "plugin", MISBEHAVING)
    return outside


@pytest.fixture(scope="module")
def client(outside):
    with outside.daemon() as client:
        yield client


@pytest.fixture(scope="module")
def misled(client, training, wait_until):
    """A run with four broken policies, all of which have misbehaved."""
    until = dict.fromkeys(BENCHED, REFORM_STEP) | {"hanging": 1}
    policies = [{"name": name, "args": {"until": step}} for name, step in until.items()]
    spec = {
        "name": "misled",
        "model": {"name": "mlp", "args": {"hidden": [32]}},
        "schedule": {"name": "stairs"},
        "policies": policies,
        "train": {"steps": 10**7, "device": "cpu"},
        "evaluate": {"every": 1000},
    }
    with training(client, json.dumps(spec)) as run:
        for name in BENCHED:
            wait_until(lambda name=name: run.policy(name).benched, f"{name} is benched")
        yield run


def revive(run, name):
    """Ask a policy again that was benched."""
    change = Change(verb=Verb.REVIVE, policy=PolicyEdit(policy=name))
    run.client.change_learning_rate(run.name, change)


def test_this_environment_knows_nothing_of_the_packages():
    ours = {found.metadata["Name"] for found in distributions()}

    assert ours.isdisjoint({"rheostat-spirals", "rheostat-misbehaving"})


def test_the_tests_of_the_package_pass_where_it_is_installed(outside, root):
    plugin = root / "examples" / "plugin"

    output = outside.run("-m", "pytest", "-q", "-p", "no:cacheprovider", plugin, cwd=plugin)

    assert " passed" in output


def test_a_spec_that_names_all_four_is_planned(outside, root):
    spec = root / "examples" / "plugin" / "spirals.yaml"

    plan = json.loads(outside.run("-m", "rheostat", "plan", spec, "--json", "--at", "0:2000:700"))

    [group] = plan["groups"]
    assert group["parameters"] == 2 * 32 + 32 + 32 * 32 + 32 + 32 * 2 + 2
    assert plan["learning_rate"]["default"] == pytest.approx([1e-2, 1e-2 * 0.1**0.5, 1e-3])


def test_a_spec_that_names_all_four_is_trained(outside, root):
    spec = root / "examples" / "plugin" / "spirals.yaml"

    *_, last = outside.run("-m", "rheostat", "run", spec, "--json").splitlines()

    result = json.loads(last)
    assert (result["phase"], result["steps"]) == ("succeeded", 2000)
    assert result["validation_accuracy"] > 0.95
    history = json.loads(outside.run("-m", "rheostat", "lr", "history", "spirals", "--json"))
    [one, *_] = [record for record in history if record["source"] == "policy:slope_brake"]
    assert one["reason"].startswith("the loss ")


def test_a_policy_of_the_package_is_attached_to_a_run_by_name(client, misled, outside):
    [installed] = [one for one in client.list_policy_types() if one.name == "slope_brake"]

    outside.run("-c", ATTACH, client.address, misled.name, '{"window": 10, "min_fall": 0.9}')

    assert installed.origin == "rheostat-spirals"
    assert misled.first_decision("slope_brake").value == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("name", "offence", "failure"),
    [
        ("raising", "failed", "RuntimeError: I know no state but my own"),
        ("babbling", "failed", "ValueError: it asked for a factor of nan for group default"),
        ("sleeping", "slow", r"it took 0.1"),
    ],
)
def test_a_policy_that_misbehaves_is_benched_and_the_run_goes_on(misled, name, offence, failure):
    misled.advance(100)

    status = misled.policy(name)
    [bench] = misled.decisions(name)[:1]
    assert bench.verb == "bench"
    assert bench.groups[0].factors[name] == 1.0
    assert status.outcomes[offence] >= 5
    assert status.failure.startswith(failure)


def test_a_policy_that_hangs_is_interrupted_and_asked_again(misled):
    [decision] = misled.decisions("hanging")

    status = misled.policy("hanging")
    assert decision.reason == "well behaved"
    assert (status.benched, status.outcomes["failed"]) == (False, 1)
    assert "was interrupted" in status.failure


@pytest.mark.parametrize("name", BENCHED)
def test_a_policy_is_revived_with_the_state_it_had_before(misled, wait_until, name):
    wait_until(lambda: misled.step > REFORM_STEP, "it would behave again")

    revive(misled, name)

    wait_until(lambda: not misled.policy(name).benched, f"{name} is asked again")
    decision = wait_until(
        lambda: [one for one in misled.decisions(name) if one.verb != "bench"], f"{name} acts"
    )[0]
    assert (decision.value, decision.reason) == (0.5, "well behaved")
