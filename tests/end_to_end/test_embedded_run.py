"""`rheostat run` without a daemon brings its own, which a second terminal finds all the same."""

import json
import signal


def test_a_run_of_its_own_is_steered_from_a_second_terminal_and_ended_with_ctrl_c(
    begin, rheostat, spec_file, wait_until, tmp_path
):
    first = begin("run", spec_file(name="mine"), "--json")
    wait_until(lambda: "mine is running" in first.stderr.readline(), "it says that it runs")

    scaled = rheostat("lr", "scale", "mine", "0.5", "--reason", "second terminal", "--json")
    first.send_signal(signal.SIGINT)
    output, notes = first.communicate(timeout=60)

    assert scaled.returncode == 0, scaled.stderr
    assert json.loads(scaled.stdout)["groups"] == [{"name": "default", "old": 1e-3, "new": 5e-4}]
    assert "second terminal" in notes, "the first terminal shows what the second one did"
    assert "Stopping at the next step" in notes

    result = json.loads(output.splitlines()[-1])
    assert (result["run"], result["phase"]) == ("mine", "stopped")
    assert result["steps"] > json.loads(scaled.stdout)["applied_step"]
    assert first.returncode == 0

    history = rheostat("lr", "history", "mine", "--json")
    assert [record["reason"] for record in json.loads(history.stdout)] == ["second terminal"]


def test_a_run_for_people_ends_with_a_table_and_what_to_do_next(rheostat, spec_file):
    done = rheostat("run", spec_file(name="mine", train={"steps": 30}))

    assert done.returncode == 0, done.stderr
    assert "validation accuracy" in done.stdout
    assert "30 of 30" in done.stdout
    assert "rheostat lr history mine" in done.stdout
    assert "rheostat lr scale mine 0.5" in done.stderr, "how to steer it was said at the start"


def test_a_run_of_its_own_that_was_ended_goes_on_where_it_stood(
    begin, rheostat, spec_file, wait_until
):
    first = begin("run", spec_file(name="mine", train={"steps": 5000}))
    wait_until(lambda: "mine is running" in first.stderr.readline(), "it says that it runs")
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=60)
    stopped_at = _step(rheostat)

    resumed = rheostat("runs", "resume", "mine")

    assert "rheostat runs resume mine" in said, "it says how to go on"
    assert stopped_at < 5000
    assert resumed.returncode == 0, resumed.stderr
    assert "succeeded" in resumed.stdout
    assert "5000 of 5000" in resumed.stdout
    shown = json.loads(rheostat("runs", "show", "mine", "--json").stdout)
    assert (shown["attempt"], shown["restarts"]) == (2, {})


def _step(rheostat):
    [run] = json.loads(rheostat("runs", "list", "--json").stdout)
    return run["step"]
