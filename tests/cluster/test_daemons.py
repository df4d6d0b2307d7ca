"""Daemons that share the resources of a namespace, die and end."""


def test_each_of_two_daemons_trains_what_is_its_own(start_daemon, apply):
    one, two = start_daemon("one"), start_daemon("two")
    for_one, for_two = apply("for-one", daemon="one"), apply("for-two", daemon="two")
    assert for_one.until_phase("running")["daemon"] == "one"
    assert for_two.until_phase("running")["daemon"] == "two"

    for_anybody = apply("for-anybody")
    taken_by = for_anybody.until(lambda status: status.get("daemon"))

    runs = {"one": one.client.list_runs(), "two": two.client.list_runs()}
    assert "for-anybody" in [run.name for run in runs[taken_by]]
    assert sum(len(found) for found in runs.values()) == 3


def test_a_daemon_that_was_killed_takes_up_its_resources_again(start_daemon, apply, eventually):
    first = start_daemon()
    digits = apply("survivor")
    digits.until_phase("running")
    digits.patch(learningRate={"set": 2e-4})
    digits.until(lambda status: status.get("acted", {}).get("generation") == 2)
    first.kill()

    again = start_daemon()

    digits.patch(learningRate={"set": 3e-4})
    digits.until(lambda status: status.get("acted", {}).get("generation") == 3)
    assert digits.status["phase"] == "running"
    assert [run.name for run in again.client.list_runs()] == ["survivor"]
    made = [one.decision for one in again.client.list_decisions("survivor")]
    assert [one.value for one in made if one.verb == "set"] == [2e-4, 3e-4]
    digits.delete()
    eventually(digits.is_gone, "the run has stopped")
    [kept] = again.client.list_runs()
    assert kept.phase == "stopped"
    assert [one.reason for one in again.client.list_checkpoints("survivor")][-1] == "stop"


def test_a_daemon_that_is_told_to_end_leaves_a_true_status(start_daemon, apply):
    daemon = start_daemon()
    digits = apply("drained")
    digits.until_phase("running")

    assert daemon.terminate() == 0

    assert digits.status["phase"] == "queued"
    start_daemon()  # goes on with it
    digits.until_phase("running")
