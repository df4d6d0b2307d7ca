"""That each benchmark still measures: what it says of a machine, no test can know."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(module, *options):
    """Return what a benchmark prints, measured as briefly as can be."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", "--json", *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_steered_loop_is_measured_beside_a_bare_one():
    result = run("overhead", "--seconds", "0.5", "--hidden", "8", "--requests", "20")

    assert result["ratio"] > 0
    assert result["slices"] >= 1
    assert result["attached"]["pages"] == 1
    assert result["attached"]["slices"] >= 2


def test_an_attached_script_is_measured_beside_one_that_is_not():
    result = run("attach", "--seconds", "0.5", "--hidden", "8", "--watchers", "1")

    assert result["ratio"] > 0
    assert result["slices"] >= 2
    assert len(result["added_microseconds_quartiles"]) == 2


def test_a_loop_is_measured_while_clients_watch_and_ask():
    options = ("--watchers", "3", "--requests", "20", "--seconds", "1")
    [result] = run("control_plane", *options)["results"]

    assert result["ratio"] > 0
    assert result["watchers"] == 3
    assert result["watchers_that_missed_a_decision"] == 0
    assert result["daemon_megabytes"]["last"] < 200


def test_the_way_of_a_change_is_measured():
    result = run("lr_latency", "--changes", "3")

    assert result["applied_minus_arrival_steps"]["p50"] >= 0


def test_decisions_are_measured_by_how_many_there_are():
    result = run("history", "--decisions", "10", "300")["milliseconds"]

    assert set(result) == {"10", "300"}
    assert all(one["last_page"] > 0 for one in result.values())


def test_the_start_of_a_daemon_is_measured():
    assert run("startup", "--rounds", "1")["resident_megabytes"] > 10


def test_what_the_page_reads_and_tells_is_measured():
    result = run("page", "--steps", "3000", "--groups", "2")

    assert result["buckets"] <= 2048
    assert result["bytes"]["news"] < result["bytes"]["all"]


def test_steering_is_measured_beside_a_scheduler():
    result = run("steering", "--groups", "1", "50")

    assert all(result[groups]["steering_microseconds"] > 0 for groups in ("1", "50"))


def test_peers_train_beside_it_as_far_as_they_are_installed():
    options = ("--size", "mlp", "--rounds", "1", "--steps", "10", "--watchers", "2")
    result = run("peers", *options)["sizes"]["mlp"]

    assert {"bare", "dataloader", "rheostat"} <= set(result["ratio"])
    missing = {"hugging_face", "lightning", "ignite"} - set(result["ratio"])
    assert set(result["skipped"]) == missing
    assert result["ratio"]["bare"] == 1
    assert all(milliseconds > 0 for milliseconds in result["step_milliseconds"].values())
