import json

import pytest

from rheostat.runs.records import Failure, FieldViolation, Phase


def submitted(client):
    return next(json.loads(spec) for what, spec in client.asked if what == "create")


def test_run_ends_with_one_json_line_and_nothing_else_on_stdout(client, rheostat, spec_file):
    result = rheostat("run", spec_file, "--json")

    assert result.exit_code == 0, result.stderr
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {
            "run": "digits",
            "phase": "succeeded",
            "steps": 100,
            "train_loss": 0.125,
            "validation_loss": 0.25,
            "validation_accuracy": 0.975,
        }
    ]


def test_run_tells_how_to_steer_and_where_the_metrics_are(embedded, rheostat, spec_file):
    result = rheostat("run", spec_file, "--state-dir", "here")

    assert 'rheostat lr scale digits 0.5 --reason "too noisy" --state-dir here' in result.stderr
    assert "http://127.0.0.1:2/metrics" in result.stderr
    assert "97.50%" in result.stdout


def test_run_shows_every_decision_from_the_first(client, rheostat, spec_file):
    result = rheostat("run", spec_file)

    assert "step 41: alice scale 0.5" in result.stderr
    assert ("watch", 0) in client.asked


def test_the_name_and_overrides_reach_the_spec(client, rheostat, spec_file):
    options = ["--name", "other", "--set", "train.steps=7", "--set", "optimizer.lr=1e-2"]
    result = rheostat("run", spec_file, *options, "--set", "data.batch_size=16")

    assert result.exit_code == 0, result.stderr
    assert submitted(client) == {
        "name": "other",
        "optimizer": {"lr": 0.01},
        "train": {"steps": 7},
        "data": {"batch_size": 16},
    }


def test_a_relative_data_root_is_the_callers(client, rheostat, spec_file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rheostat("run", spec_file, "--set", "data.root=pictures")

    assert submitted(client)["data"]["root"] == str(tmp_path / "pictures")


def test_an_invalid_spec_is_refused_with_every_mistake_and_never_submitted(
    client, rheostat, spec_file
):
    options = ["--set", "train.steps=0", "--set", "data.batchsize=3"]
    result = rheostat("run", spec_file, *options, "--set", "optimizer.args={weight_deca: 1}")

    assert (result.exit_code, result.stdout, client.asked) == (2, "", [])
    lines = result.stderr.splitlines()
    assert [line.split(" ")[0] for line in lines] == [
        "data.batchsize",
        "train.steps",
        "optimizer.args.weight_deca",
    ]


@pytest.mark.parametrize(
    ("assignment", "mistake"),
    [
        ("train.steps", "--set = train.steps: path=value, such as train.steps=500"),
        ("groups[0].lr=1", "--set groups[0].lr: a path that exists in the spec; it has no [0]"),
        ("name.first=1", "--set name.first: a path that exists in the spec; it has no first there"),
        ("train.steps=[1", "--set train.steps, line 1, column 3: "),
    ],
)
def test_an_override_that_does_not_fit_is_named(client, rheostat, spec_file, assignment, mistake):
    result = rheostat("run", spec_file, "--set", assignment)

    assert result.exit_code == 2
    assert result.stderr.startswith(mistake)


def test_a_missing_spec_is_named(client, rheostat, tmp_path):
    result = rheostat("run", tmp_path / "no.yaml")

    assert result.exit_code == 2
    assert "no.yaml: cannot be read: No such file or directory" in result.stderr


def test_detach_prints_the_name_alone(client, rheostat, spec_file):
    assert rheostat("run", spec_file, "--detach").stdout == "digits\n"


def test_detach_returns_before_the_run_starts(client, rheostat, spec_file):
    result = rheostat("run", spec_file, "--detach", "--json")

    assert json.loads(result.stdout)["phase"] == "queued"
    assert [what for what, *_ in client.asked] == ["create"]


def test_detach_needs_a_daemon_that_stays(embedded, rheostat, spec_file):
    result = rheostat("run", spec_file, "--detach")

    assert (result.exit_code, embedded.asked) == (3, [])
    assert "rheostat serve" in result.stderr


def test_a_failed_run_shows_the_trainers_words(client, rheostat, spec_file, view_of):
    failure = Failure(message="the loss is nan at step 3", traceback="Traceback: line 3")
    client.final = view_of(Phase.FAILED, failure=failure)
    result = rheostat("run", spec_file, "--json")

    assert result.exit_code == 1
    assert result.stderr.endswith("the loss is nan at step 3\nTraceback: line 3\n")
    assert json.loads(result.stdout)["phase"] == "failed"


def test_mistakes_that_only_the_trainer_sees_are_listed(client, rheostat, spec_file, view_of):
    violation = FieldViolation(field="groups[0].match", value="haed", expected="a parameter's name")
    client.final = view_of(Phase.FAILED, failure=Failure(message="x", violations=(violation,)))
    result = rheostat("run", spec_file)

    assert result.exit_code == 2
    assert result.stderr.endswith("groups[0].match = haed: a parameter's name\n")


def interrupt(client, monkeypatch, times):
    """Let the first watches end in Ctrl-C, as at a keyboard."""
    watch, pressed = client.watch_run, []

    def watch_run(run, after_revision=None):
        events = watch(run, after_revision)
        yield next(events)
        if len(pressed) < times:
            pressed.append(run)
            raise KeyboardInterrupt
        yield from events

    monkeypatch.setattr(client, "watch_run", watch_run)


def test_ctrl_c_stops_an_embedded_run_and_still_shows_how_it_ended(
    embedded, rheostat, spec_file, monkeypatch, view_of
):
    embedded.final = view_of(Phase.STOPPED)
    interrupt(embedded, monkeypatch, times=1)
    result = rheostat("run", spec_file, "--json")

    assert result.exit_code == 0, result.stderr
    assert ("stop", "digits") in embedded.asked
    assert json.loads(result.stdout)["phase"] == "stopped"


def test_a_second_ctrl_c_gives_up(embedded, rheostat, spec_file, monkeypatch):
    interrupt(embedded, monkeypatch, times=2)

    assert rheostat("run", spec_file).exit_code == 130


def test_ctrl_c_leaves_a_run_of_a_shared_daemon_alone(client, rheostat, spec_file, monkeypatch):
    interrupt(client, monkeypatch, times=1)
    result = rheostat("run", spec_file, "--json")

    assert result.exit_code == 0, result.stderr
    assert "Detached; digits goes on at 127.0.0.1:1." in result.stderr
    assert ("stop", "digits") not in client.asked
    assert json.loads(result.stdout)["phase"] == "running"
