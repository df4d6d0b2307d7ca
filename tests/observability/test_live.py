"""What a real Prometheus answers that has watched a real daemon.

In the story a daemon trains a run that is steered by everybody who can, one whose loss explodes and
one whose data is missing, and is ended at last; Prometheus watches from beginning to end.
"""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from rheostat.client import Client
from rheostat.steering.records import Change, Verb
from rheostat.telemetry.metrics import METRICS

PATIENCE_SECONDS = 90.0
STEERED = {
    "name": "steered",
    "model": {"name": "mlp", "args": {"hidden": [32]}},
    "data": {"name": "digits"},
    "optimizer": {"name": "AdamW", "lr": 1e-3},
    "groups": [{"name": "head", "match": "^head"}],
    "policies": [
        {
            "name": "rules",
            "args": {
                "rules": [
                    {"name": "ebb", "when": "step > 50", "cooldown": 500, "then": {"scale": 0.99}}
                ]
            },
        },
        {"name": "plateau", "shadow": True},
        {"name": "stumbling:Stumbling"},
    ],
    "guardrails": {"max_lr": 2e-3, "max_drift": 1.05},
    # In float16 it has a loss scale to tell of too.
    "train": {"steps": 10**7, "device": "cpu", "precision": "float16"},
    "evaluate": {"every": 500},
    "checkpoint": {"every": 100},
}
DIVERGING = {
    "name": "diverging",
    "data": {"name": "digits"},
    "optimizer": {"name": "SGD", "lr": 1e6},
    "train": {"steps": 1000, "device": "cpu"},
}
BROKEN = {
    "name": "broken",
    "data": {"name": "mnist", "root": "/nonexistent"},
    "train": {"steps": 1000, "device": "cpu"},
}
CHOICES = {
    "namespace": {"ml"},
    "run": {"steered", "diverging", "broken"},
    "group": {"default", "head"},
}
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: rheostat
    static_configs: [{{targets: ["{target}"], labels: {{namespace: ml}}}}]
"""

AT_ONCE = {
    "RheostatRunFailed": {"broken"},
    "RheostatLossNotFinite": {"diverging"},
    "RheostatPolicyBenched": {"steered"},
    "RheostatTrainerRestarted": {"steered"},
}
"""Alerts that wait for nothing, with the runs they are about."""
WAITING = {
    "RheostatLearningRateAtBound": {"steered"},
    "RheostatGuardrailsAtWork": {"steered"},
    "RheostatPolicyVanished": {"steered"},
}
"""Alerts that are true, but not for as long as they wait."""
AT_THE_ENDS = {"RheostatNoProgress", "RheostatDaemonDown"}
"""Alerts that wait, too: before a trainer has loaded torch, and when the daemon has ended."""
QUIET = {"RheostatLossSpike", "RheostatCheckpointTooOld", "RheostatCheckpointFailed"}
"""Alerts that say nothing here: two compare with half an hour, and the disk is whole.
rules_test.yaml proves them."""


def wait_until(question, what):
    """Ask again and again, and return the first answer that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still waiting until {what}"
        time.sleep(0.1)
    return answer


class Prometheus:
    """A Prometheus that scrapes a daemon and evaluates the chart's rules, both each second."""

    def __init__(self, address):
        self._url = f"http://{address}/api/v1"

    def ask(self, path, **parameters):
        """Return the data of an answer."""
        with urlopen(f"{self._url}/{path}?{urlencode(parameters)}") as answer:
            return json.load(answer)["data"]

    def knows(self, query):
        """Tell whether a query has an answer at present."""
        try:
            return bool(self.ask("query", query=query)["result"])
        except URLError:
            return False

    def wait_for(self, query):
        """Wait until a query has an answer."""
        wait_until(lambda: self.knows(query), query)

    def between(self, query, start, end):
        """Return the series that a query ever had, as labels and numbers; NaN is none."""
        found = self.ask("query_range", query=query, start=start, end=end, step=1)["result"]
        for series in found:
            numbers = [float(value) for _, value in series["values"]]
            if not all(map(math.isnan, numbers)):
                yield series["metric"], numbers


@contextmanager
def running(command, log, **options):
    """Have a program run for the life of the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@contextmanager
def living_daemon(folder):
    """Have a daemon; yields its process and where it answers."""
    free_ports = ("--address=127.0.0.1:0", "--metrics-address=127.0.0.1:0")
    command = [sys.executable, "-m", "rheostat", "serve", *free_ports, "--max-concurrent-runs=2"]
    command += ["--allow-import=stumbling:Stumbling", "--data-root=/"]
    plugins = Path(__file__).parent / "plugins"
    environment = os.environ | {
        "RHEOSTAT_STATE_DIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(plugins), os.environ.get("PYTHONPATH", "")]),
    }
    told = folder / "daemon.json"
    with running(command, folder / "serve.log", env=environment) as process:
        wait_until(told.exists, "the daemon is ready")
        yield process, json.loads(told.read_text())


@contextmanager
def living_prometheus(folder, commands, chart, told):
    """Have a Prometheus that has scraped a daemon."""
    config = folder / "prometheus.yml"
    rules = chart / "rules/rheostat.yaml"
    config.write_text(CONFIG.format(rules=rules, target=told["metrics_address"]))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        commands / "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=error",
    ]
    with running(command, folder / "prometheus.log"):
        prometheus = Prometheus(address)
        prometheus.wait_for("up == 1")
        yield prometheus


class Story(NamedTuple):
    """A Prometheus, and when the story was that it knows."""

    prometheus: Prometheus
    start: float
    end: float

    def ask(self, query):
        """Return the series that a query ever had, as labels and numbers."""
        return list(self.prometheus.between(query, self.start, self.end))


@pytest.fixture(scope="session")
def story(chart, prometheus_commands, tmp_path_factory):
    """What happened to a daemon and its runs, as Prometheus knows it."""
    start = time.time()
    folder = tmp_path_factory.mktemp("story")
    with (
        living_daemon(folder) as (daemon, told),
        living_prometheus(folder, prometheus_commands, chart, told) as prometheus,
        Client(told["address"], principal="ada") as client,
    ):
        for spec in (STEERED, DIVERGING, BROKEN):
            client.create_run(json.dumps(spec))
        prometheus.wait_for('rheostat_checkpoints_total{run="steered",outcome="saved"} > 0')
        os.kill(client.get_run("steered").pid, signal.SIGKILL)
        prometheus.wait_for('sum(rheostat_trainer_restarts_total{run="steered"}) > 0')
        prometheus.wait_for('rheostat_run_phase{run="steered",phase="running"} == 1')
        steer(client)
        for alert in (*AT_ONCE, *WAITING):
            prometheus.wait_for(f'ALERTS{{alertname="{alert}"}}')
        # Dashboards ask for rates, which are of two scrapes of a series or more.
        prometheus.wait_for("min(count_over_time(rheostat_guardrail_interventions_total[5m])) >= 2")
        prometheus.wait_for("min(count_over_time(rheostat_policy_decisions_total[5m])) >= 2")
        daemon.terminate()
        prometheus.wait_for('ALERTS{alertname="RheostatDaemonDown"}')
        # Questions are about each second from the start on; the last must lie behind the end.
        yield Story(prometheus, start, time.time() + 1)


def steer(client):
    """Let operators and a remote policy do what they can."""

    def change(verb, value, group, **fields):
        wish = Change(verb=verb, value=value, groups=(group,), **fields)
        client.change_learning_rate("steered", wish)

    change(Verb.SCALE, 1.1, "default", expires_after_steps=50)
    change(Verb.SCALE, 50.0, "default")
    change(Verb.HOLD, 5e-4, "head")
    with client.connect_policy("steered", "remote", every=10):
        pass


def test_a_dashboard_gets_an_answer(story, question, filled_in):
    series = story.ask(filled_in(question.query))

    assert series
    for labels, _ in series:
        assert question.labels <= labels.keys()


def test_there_is_something_to_choose(story, choice, filled_in):
    [label] = choice.labels
    values = {labels[label] for labels, _ in story.ask(filled_in(choice.query))}

    assert values == CHOICES[label]


def test_every_metric_of_the_table_was_scraped(story):
    for metric in METRICS:
        name = metric.name + ("_count" if metric.kind == "histogram" else "")
        assert story.ask(name), name


@pytest.mark.parametrize(("state", "expected"), [("firing", AT_ONCE), ("pending", WAITING)])
def test_the_alerts_that_should_are_raised_and_no_others(story, state, expected):
    raised = {}
    for labels, _ in story.ask(f'ALERTS{{alertstate="{state}"}}'):
        raised.setdefault(labels["alertname"], set()).add(labels.get("run"))

    assert raised.keys() - AT_THE_ENDS == expected.keys()
    assert raised | expected == raised


def test_a_run_that_has_not_begun_and_a_daemon_that_has_ended_are_noticed(story):
    waiting = [labels for labels, _ in story.ask('ALERTS{alertstate="pending"}')]

    assert {one["alertname"] for one in waiting} >= AT_THE_ENDS


def test_each_alert_is_accounted_for(alerts):
    assert {*AT_ONCE, *WAITING, *AT_THE_ENDS, *QUIET} == alerts.keys()


def test_each_decision_of_an_operator_is_marked_once(story, dashboards, filled_in):
    marks = {one["name"]: one["target"]["expr"] for one in dashboards["run"]["annotations"]["list"]}
    [(_, counts)] = story.ask(filled_in(marks["Operators"]))

    assert sum(counts) == 4  # two scales, a hold, and the policy that was attached
