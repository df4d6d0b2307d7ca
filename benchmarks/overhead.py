"""What steering costs: the steered loop beside a bare one, interleaved in one process.

Both loops train the same model on the same preloaded batches with the same optimizer. The bare
loop is what one would write by hand: forward, backward, step, nothing else. The steered loop is
the trainer's own `Loop`, linked to a whole daemon in a process of its own, with telemetry at every
step and one policy; `--watchers` and `--requests` add clients in a third process, and /metrics is
scraped each second. Slices of both alternate, so a noisy machine slows both; the ratio of their
medians is the result.

Then what `rheostat.attach` adds to a step of a script (`benchmarks.attach`), beside the same
clients, a scraper and a browser that has the run's page open.

Set OMP_NUM_THREADS=1.
"""

import argparse
import statistics
import time
from typing import Any

import torch

from benchmarks import attach
from benchmarks.daemon import show
from benchmarks.seat import Crowd, seat
from rheostat.spec.models import Spec
from rheostat.trainer.building import build
from rheostat.trainer.loop import Loop

SLICE_STEPS = 400
"""Steps of one slice: long enough for several telemetry flushes, short enough to share noise."""


def spec_of(hidden: list[int], batch_size: int) -> Spec:
    return Spec.model_validate(
        {
            "name": "overhead",
            "model": {"name": "mlp", "args": {"hidden": hidden}},
            "data": {"name": "digits", "batch_size": batch_size},
            "optimizer": {"name": "AdamW", "lr": 1e-3},
            "schedule": {"name": "warmup_cosine", "args": {"warmup_steps": 100}},
            "policies": [{"name": "loss_spike"}],
            "train": {"steps": 10_000_000, "seed": 0},
            "evaluate": {"every": 10_000_000},
        }
    )


class Bare:
    """The loop one writes by hand."""

    def __init__(self, spec: Spec) -> None:
        parts = build(spec, "bare")
        self.model, self.loss, self.optimizer = parts.model, parts.loss, parts.optimizer
        self.batches = [parts.batches.batch(step) for step in range(parts.batches.steps_per_epoch)]
        self.model.train()
        self.step = 0

    def run(self, steps: int) -> float:
        model, loss_of, optimizer, batches = self.model, self.loss, self.optimizer, self.batches
        began = time.perf_counter()
        for step in range(self.step, self.step + steps):
            inputs, targets = batches[step % len(batches)]
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(model(inputs), targets)
            loss.backward()
            optimizer.step()
        self.step += steps
        return time.perf_counter() - began


class Steered:
    """The trainer's own loop, run in slices."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        loop.parts.model.train()

    def run(self, steps: int) -> float:
        began = time.perf_counter()
        self.loop.advance(steps)
        return time.perf_counter() - began


def measure(
    seconds: float, hidden: list[int], batch_size: int, watchers: int, requests: int
) -> dict[str, Any]:
    spec = spec_of(hidden, batch_size)
    with seat(spec, Crowd(watchers, requests)) as taken:
        loops = {"bare": Bare(spec), "steered": Steered(taken.loop)}
        for loop in loops.values():
            loop.run(SLICE_STEPS)
        slices: dict[str, list[float]] = {name: [] for name in loops}
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            for name, loop in loops.items():
                slices[name].append(loop.run(SLICE_STEPS) / SLICE_STEPS)
            loops = dict(reversed(loops.items()))  # neither always runs on the other's warm cache
    medians = {name: statistics.median(values) for name, values in slices.items()}
    pairs = zip(slices["bare"], slices["steered"], strict=True)
    return {
        "ratio": medians["bare"] / medians["steered"],
        "ratio_of_pairs": statistics.median(bare / steered for bare, steered in pairs),
        "bare_step_milliseconds": medians["bare"] * 1e3,
        "steered_step_milliseconds": medians["steered"] * 1e3,
        "added_microseconds": (medians["steered"] - medians["bare"]) * 1e6,
        "slices": len(slices["bare"]),
        "steps_per_slice": SLICE_STEPS,
        "watchers": watchers,
        "requests_per_second": requests,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of measuring")
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 128, 64])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--watchers", type=int, default=0, help="clients that watch the run")
    parser.add_argument("--requests", type=int, default=0, help="control requests per second")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    result = measure(
        options.seconds, options.hidden, options.batch_size, options.watchers, options.requests
    )
    load = attach.Load(options.watchers, options.requests, pages=1)
    attached = attach.measure(options.seconds, options.hidden, options.batch_size, 1, load)
    show(
        result | {"attached": attached},
        options.json,
        f"steered / bare = {result['ratio']:.3f}  ({result['bare_step_milliseconds']:.3f} ms bare, "
        f"{result['added_microseconds']:.1f} us more steered; {result['slices']} slices of "
        f"{SLICE_STEPS} steps each, {options.watchers} watchers, {options.requests} requests/s, "
        f"{result['threads']} thread)\n{attach.told(attached)}",
    )


if __name__ == "__main__":
    main()
