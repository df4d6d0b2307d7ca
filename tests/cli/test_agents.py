import msgspec
import pytest
from tests.cli.conftest import DECISION, doubles

from rheostat.cli.agents import Terms, Tools
from rheostat.errors import FailedPrecondition, InvalidRequest
from rheostat.runs.records import StepRows


class Recording:
    """Hands everything on to a client, and notes which changes were asked for."""

    def __init__(self, client):
        self.client = client
        self.changes = []

    def __getattr__(self, name):
        return getattr(self.client, name)

    def change_learning_rate(self, run, change, **waiting):
        self.changes.append(change)
        result = self.client.change_learning_rate(run, change, **waiting)
        return msgspec.structs.replace(result, dry_run=change.dry_run)


@pytest.fixture
def recording(client):
    return Recording(client)


def test_in_shadow_a_change_is_asked_as_a_dry_run_only(recording):
    answer = Tools(recording, Terms()).change_learning_rate("digits", "scale", "noisy", 0.5)

    assert [change.dry_run for change in recording.changes] == [True]
    assert answer["shadow"] is True
    assert answer["dry_run"] is True


def test_an_agent_that_acts_changes_the_revision_it_has_looked_at_and_says_why(recording):
    tools = Tools(recording, Terms(acts=True))
    answer = tools.change_learning_rate("digits", "scale", "noisy", 0.5, groups=["default"])

    looked, acted = recording.changes
    assert looked.dry_run
    assert not acted.dry_run
    assert (acted.expected_revision, acted.reason, acted.groups) == (1, "noisy", ("default",))
    assert answer["applied_step"] == DECISION.applied_step
    assert answer["shadow"] is False


@pytest.mark.parametrize(
    ("verb", "value"), [("scale", 0.4), ("scale", 2.1), ("hold", 1.1e-3), ("set", 2e-4)]
)
def test_a_change_that_moves_an_lr_too_far_is_refused_with_how_far_it_may(recording, verb, value):
    tools = Tools(recording, Terms(acts=True, max_factor=2.0))
    with pytest.raises(InvalidRequest, match=r"from [\d.e-]+ to [\d.e-]+: .*factor of 2 at most"):
        tools.change_learning_rate("digits", verb, "because", value)
    assert recording.changes == []


def test_a_release_goes_back_to_the_schedule_and_is_never_too_far(recording):
    tools = Tools(recording, Terms(acts=True, max_factor=1.01))
    tools.change_learning_rate("digits", "release", "done")

    assert recording.changes[-1].verb == "release"


def test_runs_that_an_agent_was_not_given_it_may_see_and_not_change(recording):
    tools = Tools(recording, Terms(acts=True, runs=("mine-*",)))

    assert tools.show_run("digits")["run"] == "digits"
    with pytest.raises(FailedPrecondition, match=r"digits is not among .* may change: mine-\*"):
        tools.change_learning_rate("digits", "scale", "because", 0.9)
    with pytest.raises(FailedPrecondition):
        tools.pause_run("digits", "because")


def test_an_agent_must_say_why(recording):
    with pytest.raises(InvalidRequest, match="reason"):
        Tools(recording, Terms(acts=True)).change_learning_rate("digits", "scale", " ", 0.9)


def test_in_shadow_nothing_is_paused(recording):
    shadow, acting = Tools(recording, Terms()), Tools(recording, Terms(acts=True))

    assert shadow.pause_run("digits", "look")["phase"] == "running"
    assert acting.pause_run("digits", "look")["phase"] == "paused"


def test_curves_are_thinned_and_what_is_not_finite_is_none(client):
    losses = [1.0] * 5000
    losses[1234] = float("nan")
    client.rows = [
        StepRows(
            first_step=0,
            count=5000,
            train_loss=doubles(*losses),
            learning_rate={"default": doubles(*range(5000))},
            duration=b"",
        )
    ]
    curves = Tools(client, Terms()).read_curves("digits", points=30)

    rates = curves["learning_rate.default"]
    assert len(rates["steps"]) <= 31
    assert rates["values"][-1] == 4999.0
    assert set(curves["train_loss"]["values"]) <= {1.0, None}


@pytest.mark.parametrize("factor", [1.0, 0.0, float("nan"), float("inf")])
def test_a_bound_that_bounds_nothing_is_refused(factor):
    with pytest.raises(InvalidRequest, match="max_factor"):
        Terms(max_factor=factor)
