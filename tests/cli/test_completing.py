import os
import subprocess
import sys

import pytest
import structlog

from rheostat.client import Client
from rheostat.embedding import embedded


def complete(words, **variables):
    """Return what bash is offered for the last word of a command line."""
    environment = {
        **os.environ,
        "_RHEOSTAT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", "from rheostat.cli.main import app; app(prog_name='rheostat')"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.split()


@pytest.fixture
def state_dir(tmp_path, monkeypatch):
    monkeypatch.delenv("RHEOSTAT_ADDRESS", raising=False)
    yield tmp_path
    structlog.reset_defaults()  # a daemon of our own has written to a file that is closed


def test_verbs_are_offered():
    assert complete("rheostat lr re") == ["release"]


def test_the_names_of_a_living_daemons_runs_are_offered(state_dir):
    spec = '{"name": "spirals", "model": {"name": "mlp"}, "train": {"steps": 1}}'
    with embedded(state_dir) as endpoints, Client(endpoints.address) as client:
        client.create_run(spec)

        assert complete("rheostat runs show spi", RHEOSTAT_STATE_DIR=str(state_dir)) == ["spirals"]
        assert complete("rheostat runs show x", RHEOSTAT_STATE_DIR=str(state_dir)) == []


def test_nothing_is_offered_and_no_daemon_started_where_none_lives(state_dir):
    assert complete("rheostat runs show d", RHEOSTAT_STATE_DIR=str(state_dir)) == []
    assert os.listdir(state_dir) == []
