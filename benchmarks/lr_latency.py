"""How long a change takes: steps and milliseconds from a client's send to the optimizer.

A real daemon and a real trainer process; a client changes the LR many times, at random moments,
and notes the wall clock before each send and after each answer. Afterwards the history and the step
durations are read back. A decision's time is the moment its applied step began; walking back from
there along the durations gives the step that was in progress when the daemon received the request
(`applied_minus_arrival_steps`), and when the client sent it (`applied_minus_sent_steps`). The
milliseconds are the client's: from its send to its answer, with the disk's sync in between.
"""

import argparse
import random
import time
from array import array
from typing import Any

import numpy as np

from benchmarks.daemon import show
from benchmarks.serving import serving
from rheostat.client import Client
from rheostat.runs.records import Phase
from rheostat.steering.records import Change, Decision, Verb

SPEC = """
name: latency
model: {name: mlp, args: {hidden: [64, 64, 32]}}
data: {name: digits, batch_size: 64}
optimizer: {name: AdamW, lr: 1e-3}
schedule: {name: warmup_cosine, args: {warmup_steps: 100}}
policies: [{name: loss_spike}]
train: {steps: 100000000}
evaluate: {every: 100000000}
"""


def measure(changes: int) -> dict[str, Any]:
    draw = random.Random(0)
    asked: list[tuple[float, float, Decision]] = []  # sent, answered, decided
    with serving() as daemon, Client(daemon.address) as client:
        run = client.create_run(SPEC).name
        while (view := client.get_run(run)).snapshot is None or view.snapshot.step < 200:
            if view.phase is Phase.FAILED:
                raise SystemExit(str(view.failure))
            time.sleep(0.05)
        for index in range(changes):
            time.sleep(draw.uniform(0.0, 0.02))
            sent = time.time()
            wish = Change(verb=Verb.SCALE, value=0.5 if index % 2 else 2.0)
            decision = client.change_learning_rate(run, wish).decision
            assert decision is not None
            asked.append((sent, time.time(), decision))
        durations = array("d")
        for rows in client.export_run(run):
            durations.frombytes(rows.duration)
        client.stop_run(run)
    since_arrival = [_steps_back(durations, one.requested_at, one) for _, _, one in asked]
    since_sent = [_steps_back(durations, sent, one) for sent, _, one in asked]
    milliseconds = [(answered - sent) * 1e3 for sent, answered, _ in asked]
    return {
        "changes": changes,
        "applied_minus_arrival_steps": _percentiles(since_arrival),
        "applied_minus_sent_steps": _percentiles(since_sent),
        "answer_milliseconds": _percentiles(milliseconds),
        "step_milliseconds": float(np.median(durations)) * 1e3,
    }


def _steps_back(durations: "array[float]", moment: float, decision: Decision) -> int:
    """Return how many steps before the applied one the step was that ran at a moment."""
    back, began = 0, decision.time
    while began > moment:
        back += 1
        began -= durations[decision.applied_step - back]
    return back


def _percentiles(values: list[Any]) -> dict[str, float]:
    shares = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    return {name: float(np.percentile(values, share)) for name, share in shares.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    result = measure(options.changes)
    steps, times = result["applied_minus_arrival_steps"], result["answer_milliseconds"]
    show(
        result,
        options.json,
        f"applied - arrival: p50 {steps['p50']:.0f}, p99 {steps['p99']:.0f}, "
        f"max {steps['max']:.0f} steps of {result['step_milliseconds']:.2f} ms; "
        f"answered in p50 {times['p50']:.1f}, p99 {times['p99']:.1f} ms "
        f"({result['changes']} changes)",
    )


if __name__ == "__main__":
    main()
