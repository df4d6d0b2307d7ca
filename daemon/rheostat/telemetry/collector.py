"""Turns what the daemon knows of its runs into metric families, anew at each scrape."""

import itertools
import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, get_args

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.runs.histogram import Histogram
from rheostat.runs.records import Phase, Result, RunView, Snapshot
from rheostat.runs.restarting import Reason
from rheostat.steering.records import GroupState, PolicyStatus
from rheostat.telemetry import metrics
from rheostat.telemetry.metrics import MetricDescription

KEEP_FINISHED_SECONDS = 15 * 60.0
"""How long a finished run is still shown: long enough for the slowest scraper to see its last
values, short enough that the series of a busy daemon stay few."""

NON_FINITE_LOSS = "NonFiniteLoss"
"""The kind of failure of a run whose training loss was not finite. No snapshot has such a loss,
since its step was never finished."""
CHECKPOINT_OUTCOMES = ("saved", "failed", "refused")

Sample = tuple[MetricDescription, float | None, tuple[str, ...]]
"""A metric, its value or None where there is none yet, and its label values after `run`."""


class RunSource(Protocol):
    """What telemetry reads: `RunService` is one. Called on the event loop, must not block."""

    def views(self) -> Sequence[RunView]:
        """Return every run."""

    @property
    def durations(self) -> Mapping[str, Histogram]:
        """Step durations by run; a run may be missing."""

    @property
    def policy_durations(self) -> Mapping[str, Mapping[str, Histogram]]:
        """Durations of policies' answers by run, then by policy; a run may be missing."""

    @property
    def changes(self) -> Mapping[str, Mapping[str, int]]:
        """Number of decisions by run, then by source; a run may be missing."""

    @property
    def checkpoints(self) -> Mapping[str, Mapping[str, int]]:
        """Number of attempts to take a checkpoint by run, then by outcome; a run may be missing."""

    @property
    def checkpoint_durations(self) -> Mapping[str, Histogram]:
        """Durations of checkpoints by run; a run may be missing."""

    @property
    def newest_checkpoints(self) -> Mapping[str, CheckpointInfo]:
        """The newest checkpoint by run; a run without any is missing."""


class RunCollector(Collector):
    """A Prometheus collector over a `RunSource`; register it with a registry of your own."""

    def __init__(
        self,
        source: RunSource,
        *,
        version: str,
        is_insecure: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._is_insecure = is_insecure
        self._version = version
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples: what registering needs to know."""
        histograms = (
            metrics.STEP_DURATION,
            metrics.POLICY_DECISION_DURATION,
            metrics.CHECKPOINT_DURATION,
        )
        return [*_simple_families().values(), *map(_histogram_family, histograms)]

    def collect(self) -> Iterable[Metric]:
        """Return every family of the table, with a sample for each run that is shown."""
        views = [view for view in self._source.views() if self._is_shown(view)]
        families = _simple_families()
        families[metrics.BUILD_INFO].add_metric([self._version, platform.python_version()], 1)
        families[metrics.INSECURE].add_metric([], float(self._is_insecure))
        for view in views:
            for metric, value, labels in self._samples(view):
                if value is not None:
                    families[metric].add_metric([view.name, *labels], value)
        source = self._source
        return [
            *families.values(),
            _durations(metrics.STEP_DURATION, views, source.durations),
            self._policy_durations(views),
            _durations(metrics.CHECKPOINT_DURATION, views, source.checkpoint_durations),
        ]

    def _is_shown(self, view: RunView) -> bool:
        return view.finished_at is None or self._clock() - view.finished_at <= KEEP_FINISHED_SECONDS

    def _samples(self, view: RunView) -> Iterator[Sample]:
        yield from _progress(view)
        for phase in Phase:
            yield metrics.RUN_PHASE, float(phase is view.phase), (phase.value,)
        for source, count in self._source.changes.get(view.name, {}).items():
            yield metrics.LEARNING_RATE_CHANGES, count, (source,)
        # From 0 on, so that an increase shows the first of its kind.
        checkpoints = self._source.checkpoints.get(view.name, {})
        for outcome in CHECKPOINT_OUTCOMES:
            yield metrics.CHECKPOINTS, checkpoints.get(outcome, 0), (outcome,)
        newest = self._source.newest_checkpoints.get(view.name)
        yield metrics.CHECKPOINT_TIMESTAMP, newest.created_at if newest else None, ()
        for reason in get_args(Reason):
            yield metrics.TRAINER_RESTARTS, view.restarts.get(reason, 0), (reason,)
        if view.snapshot is not None:
            yield from _steering(view.snapshot)

    def _policy_durations(self, views: Sequence[RunView]) -> HistogramMetricFamily:
        family = _histogram_family(metrics.POLICY_DECISION_DURATION)
        for view in views:
            for policy, histogram in self._source.policy_durations.get(view.name, {}).items():
                _add(family, [view.name, policy], histogram)
        return family


def _durations(
    metric: MetricDescription, views: Sequence[RunView], histograms: Mapping[str, Histogram]
) -> HistogramMetricFamily:
    family = _histogram_family(metric)
    for view in views:
        histogram = histograms.get(view.name)
        if histogram is not None:
            _add(family, [view.name], histogram)
    return family


def _progress(view: RunView) -> Iterator[Sample]:
    # Counters start at 0 with the run, so that a rate over its first steps is right.
    snapshot = view.snapshot or Snapshot(step=0, revision=0, groups=())
    newest = view.result or snapshot
    yield metrics.TRAIN_LOSS, newest.train_loss, ()
    yield metrics.VALIDATION_LOSS, newest.validation_loss, ()
    yield metrics.VALIDATION_ACCURACY, newest.validation_accuracy, ()
    yield metrics.LOSS_FINITE, _is_finite(view, newest), ()
    yield metrics.GRADIENT_NORM, snapshot.gradient_norm, ()
    yield metrics.LOSS_SCALE, snapshot.loss_scale, ()
    if snapshot.loss_scale is not None:
        yield metrics.SKIPPED_UPDATES, snapshot.skipped_updates, ()
    yield metrics.STEPS, view.result.steps if view.result else snapshot.step, ()
    yield metrics.SAMPLES, snapshot.samples, ()


def _is_finite(view: RunView, newest: Snapshot | Result) -> float | None:
    """Return 1 or 0, None before the first loss."""
    if view.failure is not None and view.failure.kind == NON_FINITE_LOSS:
        return 0.0
    losses = [loss for loss in (newest.train_loss, newest.validation_loss) if loss is not None]
    return float(all(map(math.isfinite, losses))) if losses else None


def _steering(snapshot: Snapshot) -> Iterator[Sample]:
    for group in snapshot.groups:
        yield metrics.LEARNING_RATE, group.learning_rate, (group.name,)
        for component, value in _components(group):
            yield metrics.LEARNING_RATE_COMPONENT, value, (group.name, component)
        for policy, learning_rate in group.shadows.items():
            yield metrics.SHADOW_LEARNING_RATE, learning_rate, (group.name, policy)
        for rule in snapshot.guardrail_interventions:
            yield metrics.GUARDRAIL_ACTIVE, float(rule in group.guardrails), (group.name, rule)
    for rule, count in snapshot.guardrail_interventions.items():
        yield metrics.GUARDRAIL_INTERVENTIONS, count, (rule,)
    for one in snapshot.policies:
        for outcome, count in one.outcomes.items():
            yield metrics.POLICY_DECISIONS, count, (one.name, outcome)
        for state, is_in_it in _states(one):
            yield metrics.POLICY_STATE, float(is_in_it), (one.name, state)


def _states(policy: PolicyStatus) -> Iterator[tuple[str, bool]]:
    """Yield what a policy can be, and whether it is; more than one may be so."""
    is_gone = policy.connected is False
    yield "active", not (policy.shadow or policy.benched or is_gone)
    yield "shadow", policy.shadow
    yield "benched", policy.benched
    yield "vanished", is_gone


def _components(group: GroupState) -> Iterator[tuple[str, float | None]]:
    yield "base", group.base
    for policy, factor in group.factors.items():
        yield f"factor:{policy}", factor
    yield "operator", group.operator
    yield "hold", group.hold
    yield "applied", group.learning_rate


def _simple_families() -> dict[MetricDescription, GaugeMetricFamily | CounterMetricFamily]:
    kinds = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}
    return {
        metric: kinds[metric.kind](metric.name, metric.help, labels=metric.labels)
        for metric in metrics.METRICS
        if metric.kind in kinds
    }


def _histogram_family(metric: MetricDescription) -> HistogramMetricFamily:
    return HistogramMetricFamily(metric.name, metric.help, labels=metric.labels, unit="seconds")


def _add(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    edges = [*map(floatToGoString, histogram.buckets), "+Inf"]
    cumulative = itertools.accumulate(histogram.counts)
    family.add_metric(labels, list(zip(edges, cumulative, strict=True)), histogram.sum)
