"""The table of every metric: the collector fills it, the docs print it, a test guards it.

Names and labels are a contract with dashboards and alerts: they are added to, never renamed. The
values of every label come from a spec or from a list in the code, so the number of series is
bounded; nothing that a caller types freely becomes a label.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class MetricDescription:
    """One metric as `/metrics` shows it."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str
    """What it tells, as a sentence."""


LEARNING_RATE = MetricDescription(
    "rheostat_learning_rate",
    "gauge",
    ("run", "group"),
    "The learning rate that the optimizer holds for a param group.",
)
LEARNING_RATE_COMPONENT = MetricDescription(
    "rheostat_learning_rate_component",
    "gauge",
    ("run", "group", "component"),
    "How a learning rate is made up: base of the schedule, factor:<policy>, operator factor, "
    "hold while an operator holds it, and applied after the guardrails.",
)
TRAIN_LOSS = MetricDescription(
    "rheostat_train_loss", "gauge", ("run",), "Loss of the last finished training step."
)
VALIDATION_LOSS = MetricDescription(
    "rheostat_validation_loss", "gauge", ("run",), "Loss of the newest validation."
)
VALIDATION_ACCURACY = MetricDescription(
    "rheostat_validation_accuracy",
    "gauge",
    ("run",),
    "Accuracy of the newest validation, from 0 to 1.",
)
LOSS_FINITE = MetricDescription(
    "rheostat_loss_finite",
    "gauge",
    ("run",),
    "Whether the losses of a run are finite: 1, or 0 once one was NaN or infinite; a training loss "
    "that is not ends the run.",
)
GRADIENT_NORM = MetricDescription(
    "rheostat_gradient_norm",
    "gauge",
    ("run",),
    "The newest measured total gradient norm, before clipping.",
)
LOSS_SCALE = MetricDescription(
    "rheostat_loss_scale",
    "gauge",
    ("run",),
    "What float16 multiplied the loss of the newest step by; absent in other precisions.",
)
SKIPPED_UPDATES = MetricDescription(
    "rheostat_skipped_updates_total",
    "counter",
    ("run",),
    "Updates left out because the loss scale was too large for the step's gradients.",
)
STEPS = MetricDescription("rheostat_steps_total", "counter", ("run",), "Finished optimizer steps.")
SAMPLES = MetricDescription(
    "rheostat_samples_total", "counter", ("run",), "Training samples that finished steps have seen."
)
STEP_DURATION = MetricDescription(
    "rheostat_step_duration_seconds",
    "histogram",
    ("run",),
    "Time from one step boundary to the next, since the daemon was started.",
)
LEARNING_RATE_CHANGES = MetricDescription(
    "rheostat_learning_rate_changes_total",
    "counter",
    ("run", "source"),
    "Decisions that changed a learning rate, by who made them: operator, policy:<name>, "
    "guardrail, expiry or rollback.",
)
GUARDRAIL_INTERVENTIONS = MetricDescription(
    "rheostat_guardrail_interventions_total",
    "counter",
    ("run", "rule"),
    "Steps at which a guardrail bent the learning rate of a group, counted for each group.",
)
GUARDRAIL_ACTIVE = MetricDescription(
    "rheostat_guardrail_active",
    "gauge",
    ("run", "group", "rule"),
    "Whether a guardrail bends the learning rate of a group at this moment, 1 or 0, for those that "
    "have bent one of the run.",
)
POLICY_DECISIONS = MetricDescription(
    "rheostat_policy_decisions_total",
    "counter",
    ("run", "policy", "outcome"),
    "Answers of a policy, by outcome: changed, kept, failed, slow, late, or missed where none came "
    "in time.",
)
POLICY_DECISION_DURATION = MetricDescription(
    "rheostat_policy_decision_duration_seconds",
    "histogram",
    ("run", "policy"),
    "Time a policy took for an answer; over the network there and back for a remote one.",
)
POLICY_STATE = MetricDescription(
    "rheostat_policy_state",
    "gauge",
    ("run", "policy", "state"),
    "What a policy is: 1 for active, shadow, benched or vanished where it is so, else 0.",
)
SHADOW_LEARNING_RATE = MetricDescription(
    "rheostat_shadow_learning_rate",
    "gauge",
    ("run", "group", "policy"),
    "The learning rate that a policy in shadow would have given.",
)
CHECKPOINTS = MetricDescription(
    "rheostat_checkpoints_total",
    "counter",
    ("run", "outcome"),
    "Checkpoints by outcome, since the daemon was started: saved, failed where the disk did not "
    "take one, refused where one was damaged and an older one was used.",
)
CHECKPOINT_DURATION = MetricDescription(
    "rheostat_checkpoint_duration_seconds",
    "histogram",
    ("run",),
    "Time from the step boundary at which a checkpoint was taken until it was on the disk, since "
    "the daemon was started; the run trains meanwhile.",
)
CHECKPOINT_TIMESTAMP = MetricDescription(
    "rheostat_checkpoint_timestamp_seconds",
    "gauge",
    ("run",),
    "When the newest checkpoint was taken, in seconds since the epoch.",
)
TRAINER_RESTARTS = MetricDescription(
    "rheostat_trainer_restarts_total",
    "counter",
    ("run", "reason"),
    "Trainers that took the place of one that had died, by how that one ended: killed by a signal, "
    "exited without a word, failed with an exception, or lost with the daemon that had started it.",
)
RUN_PHASE = MetricDescription(
    "rheostat_run_phase",
    "gauge",
    ("run", "phase"),
    "Where a run stands: 1 for the phase it is in, 0 for the others.",
)
BUILD_INFO = MetricDescription(
    "rheostat_build_info",
    "gauge",
    ("version", "python"),
    "Always 1; the labels say which Rheostat and which Python the daemon runs.",
)
INSECURE = MetricDescription(
    "rheostat_insecure",
    "gauge",
    (),
    "Whether the daemon was started with --insecure, by which other machines may reach it without "
    "TLS, or without being asked who they are: 1 or 0.",
)

METRICS = (
    LEARNING_RATE,
    LEARNING_RATE_COMPONENT,
    TRAIN_LOSS,
    VALIDATION_LOSS,
    VALIDATION_ACCURACY,
    LOSS_FINITE,
    GRADIENT_NORM,
    LOSS_SCALE,
    SKIPPED_UPDATES,
    STEPS,
    SAMPLES,
    STEP_DURATION,
    LEARNING_RATE_CHANGES,
    GUARDRAIL_INTERVENTIONS,
    GUARDRAIL_ACTIVE,
    POLICY_DECISIONS,
    POLICY_DECISION_DURATION,
    POLICY_STATE,
    SHADOW_LEARNING_RATE,
    CHECKPOINTS,
    CHECKPOINT_DURATION,
    CHECKPOINT_TIMESTAMP,
    TRAINER_RESTARTS,
    RUN_PHASE,
    BUILD_INFO,
    INSECURE,
)
"""Every metric, in the order it is exposed."""


def as_markdown() -> str:
    """Return the table as it stands in the docs."""
    rows = (
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels)} | {metric.help} |\n"
        for metric in METRICS
    )
    table = "| metric | type | labels | what it tells |\n|---|---|---|---|\n" + "".join(rows)
    return table.replace("<", r"\<")  # else Markdown takes <policy> for a tag
