"""A real daemon on a real API server."""

from rheostat.steering.records import Change, Verb

FOREVER = 10**7


def small_run(**sections):
    return {
        "model": {"name": "mlp", "args": {"hidden": [32]}},
        "data": {"name": "digits"},
        "optimizer": {"name": "AdamW", "lr": 1e-3},
        "train": {"steps": FOREVER, "device": "cpu"},
        "evaluate": {"every": 1000},
        **sections,
    }


def test_a_run_is_trained_steered_shown_as_drifted_and_stopped(start_daemon, apply):
    daemon = start_daemon()
    resource = apply("digits", small_run())
    running = resource.until_phase("running")
    print(running)
    resource.patch({"learningRate": {"scale": 0.5, "reason": "too noisy"}})
    status = resource.until(lambda s: s["acted"]["generation"] == 2 and s["lastDecision"] and s, "was steered")
    print(status)
    import json
    print(json.dumps(resource.get(), indent=1)[:6000])
    daemon.client.change_learning_rate("digits", Change(verb=Verb.SCALE, value=0.1))
    print(resource.until(lambda s: s.get("drift"), "drifts"))
    resource.patch({"learningRate": {"scale": 0.25}})
    print(resource.until(lambda s: not s.get("drift") and s, "drifts no more"))
    for e in resource.events.values(): print(e.reason, e.count, e.message)
    resource.delete()
    import time; t=time.time()
    from conftest import wait_until
    wait_until(resource.is_gone, "gone")
    print(time.time()-t, daemon.client.get_run("digits").phase)
    print(daemon.log.read_text())
    assert 0
