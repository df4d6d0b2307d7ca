import re
from pathlib import Path

from rheostat.telemetry import metrics

CONTRACT = {
    "rheostat_learning_rate": ("run", "group"),
    "rheostat_learning_rate_component": ("run", "group", "component"),
    "rheostat_train_loss": ("run",),
    "rheostat_validation_loss": ("run",),
    "rheostat_validation_accuracy": ("run",),
    "rheostat_loss_finite": ("run",),
    "rheostat_gradient_norm": ("run",),
    "rheostat_loss_scale": ("run",),
    "rheostat_skipped_updates_total": ("run",),
    "rheostat_steps_total": ("run",),
    "rheostat_samples_total": ("run",),
    "rheostat_step_duration_seconds": ("run",),
    "rheostat_learning_rate_changes_total": ("run", "source"),
    "rheostat_guardrail_interventions_total": ("run", "rule"),
    "rheostat_guardrail_active": ("run", "group", "rule"),
    "rheostat_policy_decisions_total": ("run", "policy", "outcome"),
    "rheostat_policy_decision_duration_seconds": ("run", "policy"),
    "rheostat_policy_state": ("run", "policy", "state"),
    "rheostat_shadow_learning_rate": ("run", "group", "policy"),
    "rheostat_checkpoints_total": ("run", "outcome"),
    "rheostat_checkpoint_duration_seconds": ("run",),
    "rheostat_checkpoint_timestamp_seconds": ("run",),
    "rheostat_trainer_restarts_total": ("run", "reason"),
    "rheostat_run_phase": ("run", "phase"),
    "rheostat_build_info": ("version", "python"),
    "rheostat_insecure": (),
}
"""What dashboards rely on: add to it, never rename."""


def test_names_and_labels_are_what_dashboards_rely_on():
    assert {metric.name: metric.labels for metric in metrics.METRICS} == CONTRACT


def test_every_metric_of_the_module_is_in_the_table():
    described = {
        value for value in vars(metrics).values() if isinstance(value, metrics.MetricDescription)
    }

    assert described == set(metrics.METRICS)


def test_counters_and_only_counters_end_in_total():
    for metric in metrics.METRICS:
        assert metric.name.endswith("_total") == (metric.kind == "counter")


def test_every_help_text_is_a_sentence():
    for metric in metrics.METRICS:
        assert re.fullmatch(r"[A-Z][^\n]+\.", metric.help)


def test_the_page_of_metrics_shows_the_table():
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text()

    assert f"<!-- table: metrics -->\n{metrics.as_markdown()}<!-- end -->" in page


def test_the_docs_table_has_a_row_for_each_metric():
    header, rule, *rows = metrics.as_markdown().splitlines()

    assert header.count("|") == rule.count("|") == 5
    assert [row.split("`")[1] for row in rows] == list(CONTRACT)
    assert all(row.count("|") == 5 for row in rows)
