"""What `rheostat.attach` costs a script at each step, beside the same script without it.

Both train the same model on the same preloaded batches with the same optimizer and torch's own
`LambdaLR`, as scripts do. One of them is attached to a whole daemon in a process of its own, and
says its loss at every step. They take turns of ten steps; the result is the median, over pairs of
slices of twenty turns, of the processor time of the training thread that a step takes more: what
other processes do on the same cores is not in it, and nothing of attach ever waits. The ratio is of
the time on the clock. `--watchers`, `--requests` and `--pages` (browsers that have the run's page
open) add clients in a third process, and with them /metrics is scraped each second.

Set OMP_NUM_THREADS=1.
"""

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

import rheostat
from benchmarks.daemon import show
from benchmarks.seat import Peer
from benchmarks.serving import serving

SLICE_STEPS = 200
"""Steps of one slice: long enough for some telemetry flushes."""
TURN_STEPS = 10
"""Of a slice, which both take in turn, so that a moment's noise slows both."""
LEAST_SLICES = 2
HORIZON = 1_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """Who is there beside the script."""

    watchers: int = 0
    requests_per_second: int = 0
    pages: int = 0
    """Browsers that have the run's page open."""


class Script:
    """A training script as one writes it by hand."""

    def __init__(self, hidden: list[int], batch_size: int, groups: int) -> None:
        torch.manual_seed(0)
        sizes = [64, *hidden, 10]
        layers: list[torch.nn.Module] = []
        for wide, narrow in itertools.pairwise(sizes):
            layers += [torch.nn.Linear(wide, narrow), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        parameters = list(self.model.parameters())
        shares = [{"params": parameters[index::groups]} for index in range(groups)]
        self.optimizer = torch.optim.AdamW(shares, lr=1e-3)
        self.scheduler = LambdaLR(
            self.optimizer, lambda step: 0.5 * (1.0 + math.cos(math.pi * step / HORIZON))
        )
        self.batches = [
            (torch.randn(batch_size, 64), torch.randint(10, (batch_size,))) for _ in range(20)
        ]
        self.run: rheostat.AttachedRun | None = None

    def train(self, steps: int) -> tuple[float, float]:
        """Take some steps; return the seconds of a step, of this thread's and on the clock."""
        model, optimizer, scheduler, run = self.model, self.optimizer, self.scheduler, self.run
        loss_of = torch.nn.functional.cross_entropy
        began, began_at = time.thread_time(), time.perf_counter()
        for step in range(steps):
            inputs, targets = self.batches[step % 20]
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(model(inputs), targets)
            loss.backward()
            optimizer.step()
            scheduler.step()
            if run is not None:
                run.step(loss)
        own, clock = time.thread_time() - began, time.perf_counter() - began_at
        return own / steps, clock / steps


def measure(
    seconds: float, hidden: list[int], batch_size: int, groups: int, load: Load
) -> dict[str, Any]:
    bare, attached = (Script(hidden, batch_size, groups) for _ in range(2))
    with (
        serving(with_page=True) as daemon,
        rheostat.attach(attached.optimizer, name="attached", state_dir=daemon.state_dir) as run,
        _beside(run, str(daemon.page), load),
    ):
        attached.run = run
        scripts = {"bare": bare, "attached": attached}
        for script in scripts.values():
            script.train(SLICE_STEPS)
        slices: dict[str, list[tuple[float, float]]] = {name: [] for name in scripts}
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends or len(slices["bare"]) < LEAST_SLICES:
            turns: dict[str, list[tuple[float, float]]] = {name: [] for name in scripts}
            for _ in range(SLICE_STEPS // TURN_STEPS):
                for name, script in scripts.items():
                    turns[name].append(script.train(TURN_STEPS))
                scripts = dict(reversed(scripts.items()))
            for name, taken in turns.items():
                own, clock = (statistics.fmean(column) for column in zip(*taken, strict=True))
                slices[name].append((own, clock))
    pairs = list(zip(slices["bare"], slices["attached"], strict=True))
    added = [(theirs[0] - ours[0]) * 1e6 for ours, theirs in pairs]
    return {
        "added_microseconds": statistics.median(added),
        "added_microseconds_quartiles": statistics.quantiles(added, n=4)[::2],
        "bare_step_milliseconds": statistics.median(own for own, _ in slices["bare"]) * 1e3,
        "ratio": statistics.median(ours[1] / theirs[1] for ours, theirs in pairs),
        "groups": groups,
        "slices": len(pairs),
        "steps_per_slice": SLICE_STEPS,
        "watchers": load.watchers,
        "requests_per_second": load.requests_per_second,
        "pages": load.pages,
    }


def told(result: dict[str, Any]) -> str:
    """Return a result in words."""
    low, high = result["added_microseconds_quartiles"]
    return (
        f"attached: {result['added_microseconds']:.1f} us more a step (quartiles {low:.1f} to "
        f"{high:.1f}) beside {result['bare_step_milliseconds']:.3f} ms bare, bare / attached on "
        f"the clock = {result['ratio']:.3f}; "
        f"{result['slices']} pairs of slices of {SLICE_STEPS} steps, {result['groups']} groups, "
        f"{result['watchers']} watchers, {result['requests_per_second']} requests/s, "
        f"{result['pages']} pages"
    )


@contextmanager
def _beside(run: rheostat.AttachedRun, page: str, load: Load) -> Iterator[None]:
    """Have the run watched, scraped, shown and asked things, if anything of it is wanted."""
    if load == Load():
        yield
        return
    clients = Peer(
        "benchmarks.crowd",
        run.name,
        run.address,
        str(run.metrics_address),
        str(load.watchers),
        str(load.requests_per_second),
        page,
        str(load.pages),
    )
    clients.hear()  # everybody is there
    try:
        yield
    finally:
        clients.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of measuring")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 64, 32])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--groups", type=int, default=1, help="param groups")
    parser.add_argument("--watchers", type=int, default=0, help="clients that watch the run")
    parser.add_argument("--requests", type=int, default=0, help="control requests per second")
    parser.add_argument("--pages", type=int, default=0, help="browsers with the run's page open")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    load = Load(options.watchers, options.requests, options.pages)
    result = measure(options.seconds, options.hidden, options.batch_size, options.groups, load)
    show(result, options.json, told(result))


if __name__ == "__main__":
    main()
