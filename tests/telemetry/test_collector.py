import math
import platform

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from prometheus_client.registry import DuplicateTimeseries

from rheostat.runs.records import Failure, Phase, Result, RunView
from rheostat.telemetry.collector import RunCollector
from rheostat.telemetry.metrics import METRICS


@pytest.fixture
def clock():
    """The time, as a list whose only element a test may change."""
    return [10_000.0]


@pytest.fixture
def registry(source, clock):
    registry = CollectorRegistry()
    registry.register(RunCollector(source, version="1.2.3", clock=lambda: clock[0]))
    return registry


@pytest.fixture
def value(registry):
    """What a sample reads now, None when there is none."""

    def read(name, **labels):
        return registry.get_sample_value(name, labels)

    return read


def test_every_metric_of_the_table_has_a_sample_and_no_other_metric_has(registry):
    families = list(registry.collect())

    names = {f"{f.name}_total" if f.type == "counter" else f.name for f in families}
    assert names == {metric.name for metric in METRICS}
    assert all(family.samples for family in families)


def test_each_group_shows_the_learning_rate_its_optimizer_holds(value):
    assert value("rheostat_learning_rate", run="digits", group="body") == 0.05
    assert value("rheostat_learning_rate", run="digits", group="head") == 0.001


def test_each_component_of_a_learning_rate_is_shown(registry):
    components = {
        (sample.labels["group"], sample.labels["component"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "rheostat_learning_rate_component"
    }

    assert components == {
        ("body", "base"): 0.1,
        ("body", "factor:loss_spike"): 0.25,
        ("body", "operator"): 2.0,
        ("body", "applied"): 0.05,
        ("head", "base"): 0.1,
        ("head", "factor:loss_spike"): 1.0,
        ("head", "operator"): 1.0,
        ("head", "hold"): 0.002,
        ("head", "applied"): 0.001,
    }


def test_losses_are_shown_to_the_last_bit(value):
    assert value("rheostat_train_loss", run="digits") == 0.1 + 0.2
    assert value("rheostat_validation_loss", run="digits") == 0.4
    assert value("rheostat_validation_accuracy", run="digits") == 0.95
    assert value("rheostat_gradient_norm", run="digits") == 1.5


def test_counts_are_shown(value):
    assert value("rheostat_steps_total", run="digits") == 40
    assert value("rheostat_samples_total", run="digits") == 2560
    assert value("rheostat_learning_rate_changes_total", run="digits", source="operator") == 2
    assert value("rheostat_guardrail_interventions_total", run="digits", rule="max_lr") == 7
    answers = {"run": "digits", "policy": "loss_spike"}
    assert value("rheostat_policy_decisions_total", outcome="kept", **answers) == 38


def test_a_guardrail_is_active_where_it_bends_and_only_there(value):
    assert value("rheostat_guardrail_active", run="digits", group="head", rule="max_lr") == 1
    assert value("rheostat_guardrail_active", run="digits", group="body", rule="max_lr") == 0


def test_what_a_shadow_would_give_is_shown_once_a_group_whatever_the_guardrails_do(
    source, registry
):
    snapshot = source.runs["digits"].snapshot
    shadowed = [replace(group, shadows={"plateau": 0.004}) for group in snapshot.groups]
    for rules in ({}, {"min_lr": 1, "max_lr": 7}):
        changed = replace(snapshot, groups=tuple(shadowed), guardrail_interventions=rules)
        source.replace("digits", snapshot=changed)

        samples = [
            (sample.labels["group"], sample.value)
            for family in registry.collect()
            for sample in family.samples
            if sample.name == "rheostat_shadow_learning_rate"
        ]
        assert samples == [("body", 0.004), ("head", 0.004)]


@pytest.mark.parametrize(
    ("train_loss", "validation_loss", "is_finite"),
    [(0.5, 0.4, 1), (0.5, None, 1), (0.5, math.nan, 0), (math.inf, 0.4, 0), (None, None, None)],
)
def test_whether_the_losses_are_finite_is_told_once_there_is_one(
    source, value, train_loss, validation_loss, is_finite
):
    snapshot = source.runs["digits"].snapshot
    changed = replace(snapshot, train_loss=train_loss, validation_loss=validation_loss)
    source.replace("digits", snapshot=changed)

    assert value("rheostat_loss_finite", run="digits") == is_finite


def test_a_run_that_ended_at_a_loss_that_was_not_finite_says_so(source, value):
    failure = Failure(message="the loss of step 41 is nan", kind="NonFiniteLoss")
    source.replace("digits", phase=Phase.FAILED, finished_at=9_999.0, failure=failure)

    assert value("rheostat_train_loss", run="digits") == 0.1 + 0.2
    assert value("rheostat_loss_finite", run="digits") == 0


def test_restarts_and_checkpoints_are_counted_from_0_on(value):
    restarts = [
        value("rheostat_trainer_restarts_total", run="digits", reason=reason)
        for reason in ("killed", "exited", "failed", "lost")
    ]
    checkpoints = [
        value("rheostat_checkpoints_total", run="digits", outcome=outcome)
        for outcome in ("saved", "failed", "refused")
    ]

    assert restarts == [2, 0, 0, 0]
    assert checkpoints == [3, 1, 0]
    assert value("rheostat_checkpoint_timestamp_seconds", run="digits") == 1.7e9
    assert value("rheostat_checkpoint_duration_seconds_count", run="digits") == 4


def test_step_durations_are_a_cumulative_histogram(value):
    buckets = [
        value("rheostat_step_duration_seconds_bucket", run="digits", le=edge)
        for edge in ("0.001", "0.01", "+Inf")
    ]

    assert buckets == [2, 3, 4]
    assert value("rheostat_step_duration_seconds_count", run="digits") == 4
    assert value("rheostat_step_duration_seconds_sum", run="digits") == pytest.approx(7.0065)


def test_exactly_one_phase_is_the_present_one(value):
    phases = {phase: value("rheostat_run_phase", run="digits", phase=phase) for phase in Phase}

    assert phases.pop(Phase.RUNNING) == 1
    assert set(phases.values()) == {0}


def test_the_build_is_named(value):
    assert value("rheostat_build_info", version="1.2.3", python=platform.python_version()) == 1


def test_a_queued_run_counts_from_zero_and_has_no_loss_yet(source, value):
    source.runs["waiting"] = RunView(name="waiting", phase=Phase.QUEUED, spec="{}")

    assert value("rheostat_steps_total", run="waiting") == 0
    assert value("rheostat_run_phase", run="waiting", phase="queued") == 1
    assert value("rheostat_train_loss", run="waiting") is None
    assert value("rheostat_step_duration_seconds_count", run="waiting") is None


def test_a_finished_run_shows_its_result(source, value):
    source.replace(
        "digits",
        phase=Phase.SUCCEEDED,
        finished_at=9_999.0,
        result=Result(steps=41, train_loss=0.2, validation_loss=0.3, validation_accuracy=0.97),
    )

    assert value("rheostat_steps_total", run="digits") == 41
    assert value("rheostat_validation_accuracy", run="digits") == 0.97
    assert value("rheostat_learning_rate", run="digits", group="body") == 0.05


def test_a_finished_run_goes_after_a_quarter_of_an_hour(source, clock, registry, value):
    source.replace("digits", phase=Phase.FAILED, finished_at=10_000.0)

    clock[0] = 10_900.0
    assert value("rheostat_run_phase", run="digits", phase="failed") == 1
    clock[0] = 10_900.1
    samples = [sample for family in registry.collect() for sample in family.samples]
    assert {sample.name for sample in samples} == {"rheostat_build_info", "rheostat_insecure"}


def test_series_do_not_grow_with_time(source, registry):
    def count():
        return sum(len(family.samples) for family in registry.collect())

    before = count()
    later = replace(source.runs["digits"].snapshot, step=10**9, revision=10**6)
    source.replace("digits", snapshot=later)
    source.durations["digits"].observe_many([0.002] * 1000)

    assert count() == before


def test_nothing_is_registered_beside_the_registry_it_was_given(registry, source):
    with pytest.raises(DuplicateTimeseries):
        registry.register(RunCollector(source, version="1.2.3"))
    CollectorRegistry().register(RunCollector(source, version="1.2.3"))
