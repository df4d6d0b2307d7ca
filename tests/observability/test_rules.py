"""The alert rules as files: that Prometheus takes them, that they are tested, and told of."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from rheostat.cli.main import app

RULES_TEST = Path(__file__).with_name("rules_test.yaml")
RUNBOOK = Path(__file__).parents[2] / "docs/runbook.md"


@pytest.fixture(scope="session")
def promtool(prometheus_commands):
    """Return what promtool says; it must find nothing wrong."""

    def run(*arguments):
        command = [prometheus_commands / "promtool", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def sections():
    """The text of each section of the runbook, by its heading."""
    parts = re.split(r"^## (\w+)\n", RUNBOOK.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_prometheus_takes_the_rules(promtool, chart, alerts):
    said = promtool("check", "rules", "--lint-fatal", chart / "rules/rheostat.yaml")

    assert f"{len(alerts)} rules found" in said


def test_the_rules_do_what_their_tests_say(promtool):
    promtool("test", "rules", RULES_TEST)


def test_an_alert_is_tested_with_and_without_a_cause(alert):
    tests = YAML(typ="safe", pure=True).load(RULES_TEST)["tests"]
    expected = [
        bool(one["exp_alerts"])
        for test in tests
        for one in test["alert_rule_test"]
        if one["alertname"] == alert["alert"]
    ]

    assert {True, False} == set(expected)


def test_an_alert_says_how_bad_it_is_and_what_to_read(alert, sections):
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert page == "docs/runbook.md"
    assert anchor == alert["alert"].lower()  # as Markdown makes anchors of headings
    assert alert["alert"] in sections


def test_the_runbook_tells_of_alerts_in_their_order_and_of_nothing_else(alerts, sections):
    assert list(sections) == list(alerts)


def test_a_section_of_the_runbook_says_what_it_means_how_to_look_and_what_to_do(alert, sections):
    section = sections[alert["alert"]]

    words = [section.index(word) for word in ("**What**", "**Look**", "**Do**")]
    assert words == sorted(words)
    assert re.search(r"^    \S", section, re.MULTILINE), "no command"


@pytest.fixture
def exit_code(monkeypatch, tmp_path):
    """Return the exit code of a command line that reaches no daemon: 2 where it is malformed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RHEOSTAT_ADDRESS", "127.0.0.1:1")
    (tmp_path / "SPEC").write_text("{data: {name: digits}, train: {steps: 1}}")
    return lambda line: CliRunner().invoke(app, shlex.split(line)).exit_code


def commands_of_the_runbook():
    return sorted(set(re.findall(r"^    rheostat (.+)$", RUNBOOK.read_text(), re.MULTILINE)))


@pytest.mark.parametrize("line", commands_of_the_runbook())
def test_a_command_of_the_runbook_is_well_formed(exit_code, line):
    assert exit_code(line) == 3


@pytest.mark.parametrize("line", ["runs look RUN", "lr scale RUN 0.5 --because x", "lr set RUN"])
def test_a_command_that_is_malformed_is_found(exit_code, line):
    assert exit_code(line) == 2
