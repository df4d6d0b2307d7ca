"""A learned policy at work: inside the trainer, in shadow, and in a program of its own."""

from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from rheostat_policies import Learned
from rheostat_policies.learned.answers import Anchored
from rheostat_policies.learned.network import Network
from rheostat_policies.learned.normaliser import Normaliser
from rheostat_policies.learned.policy_file import LearnedPolicy


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A policy that lowers the LR as the run goes on."""
    policy = LearnedPolicy(
        every=100,
        features=("log_factor",),
        normaliser=Normaliser(mean=[0.0], deviation=[1.0]),
        network=Network([(np.full((1, 1), 0.4, np.float32), np.full(1, -0.5, np.float32))], "tanh"),
        answers=Anchored(reach=1.0),
        provenance={},
        configuration={},
    )
    path = tmp_path_factory.mktemp("policies") / "lower.safetensors"
    path.write_bytes(policy.to_bytes())
    return path


def test_it_steers_from_a_spec_and_every_change_is_explained(daemon, file):
    attached = {"name": "learned", "args": {"file": str(file)}}
    run = daemon.create(policies=[attached], train={"steps": 250})

    view = run.end()

    first, second = run.history
    (changed,) = first.decision.groups
    assert first.decision.source == "policy:learned"
    assert first.decision.reason == "the network answers -0.500 at step 100"
    assert (first.decision.applied_step, second.decision.applied_step) == (100, 200)
    assert changed.new == pytest.approx(1e-3 * np.exp(-0.5))
    assert view.snapshot.groups[0].factors["learned"] == pytest.approx(np.exp(-0.7))


def test_it_can_be_put_in_shadow_while_the_run_trains(daemon, file):
    attached = {"name": "learned", "args": {"file": str(file)}, "shadow": True}
    with daemon.training(policies=[attached]) as run:
        run.advance(300)
        (group,) = run.view.snapshot.groups

    assert group.learning_rate == group.base
    assert group.shadows["learned"] < group.base


def test_it_steers_over_the_network_too(daemon, file):
    with daemon.training() as run:
        serving = Thread(
            target=daemon.client.serve_policy,
            args=(run.name, "far", Learned(file=str(file))),
            kwargs={"mode": "lockstep", "deadline": 10.0},
        )
        serving.start()
        run.advance(1000)
        run.stop()
        serving.join()

    reasons = [one.decision.reason for one in run.history if one.decision.source == "policy:far"]
    assert reasons
    assert reasons[0].startswith("the network answers -0.500 at step ")


def test_a_file_that_is_not_there_is_looked_for_where_the_caller_is(ask, spec_file):
    attached = {"name": "learned", "args": {"file": "none"}}

    done = ask("validate", spec_file(policies=[attached]))

    assert done.returncode == 2
    assert f"policies[0].args.file = {Path('none').absolute()}: must be" in done.stderr
    assert "a learned policy: it cannot be read" in done.stderr
