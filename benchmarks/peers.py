"""A step of Rheostat beside one of the loops and trainers that people use.

All train the same model on the same data with the same optimizer and schedule, each in a process
of its own (`benchmarks.contestant`), in slices that take turns, so that a noisy machine slows them
all:

    bare        by hand, on batches that are ready: forward, backward, step, nothing else
    dataloader  by hand, with a DataLoader and LambdaLR
    rheostat    the trainer's own loop, with all that is on by default and a policy, linked to a
                whole daemon that is scraped each second, watched, and asked to change LRs
    hugging_face, lightning, ignite
                each trainer with a DataLoader and its way to step LambdaLR; logging, progress
                bars and checkpoints are off

A step is timed from one call of the model to the next, so that what a trainer does before its first
step and after its last is not counted. `ratio` is how many steps one takes in the time of a bare
one: the median of the ratios within each round, in which all have the same neighbours. The ratios
of medians over all rounds, and of the fastest slices, as noise only adds, are told beside it.

Three sizes: `mlp`, half a millisecond a step on 8x8 digits; `lenet5` on Fashion-MNIST; `resnet18`
on random 32x32 images, 8 in a batch. Set OMP_NUM_THREADS=1.

    python -m benchmarks.peers --json --size mlp --rounds 5
"""

import argparse
import platform
import statistics
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from benchmarks.contestant import RHEOSTAT
from benchmarks.contestants import MAKERS
from benchmarks.daemon import show
from benchmarks.seat import Crowd, Peer
from rheostat.spec.models import Spec

LIBRARIES = {
    "hugging_face": ("transformers", "accelerate"),
    "lightning": ("lightning",),
    "ignite": ("ignite",),
}
INSTALL = "pip install 'rheostat[bench]'"
SIZES: Mapping[str, Mapping[str, Any]] = {
    "mlp": {
        "steps": 400,
        "model": {"name": "mlp", "args": {"hidden": [64, 64, 32]}},
        "data": {"name": "digits", "batch_size": 64},
    },
    "lenet5": {
        "steps": 150,
        "model": {"name": "lenet5"},
        "data": {"name": "fashion_mnist", "batch_size": 64},
    },
    "resnet18": {
        "steps": 8,
        "model": {"name": "resnet18"},
        "data": {"name": "benchmarks.peers:images", "batch_size": 8},
    },
}


def images() -> tuple[Tensor, Tensor]:
    """Return what a ResNet-18 trains on when nobody looks at what it learns."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (1000, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return pixels, torch.randint(0, 10, (1000,), generator=generator)


def spec_of(size: str, root: str | None) -> Spec:
    sections = SIZES[size]
    data = {**sections["data"], **({"root": root} if root and size == "lenet5" else {})}
    return Spec.model_validate(
        {
            "name": f"peers-{size}",
            "model": sections["model"],
            "data": data,
            "optimizer": {"name": "AdamW", "lr": 1e-3},
            "schedule": {"name": "warmup_cosine", "args": {"warmup_steps": 100}},
            "policies": [{"name": "loss_spike"}],
            "train": {"steps": 1_000_000, "seed": 0},
            "evaluate": {"every": 1_000_000},
        }
    )


def measure(
    size: str,
    rounds: int,
    steps: int | None,
    crowd: Crowd,
    root: str | None,
    progress: Progress,
) -> dict[str, Any]:
    """Let all of them train in turn, and return their steps and ratios."""
    spec, steps = spec_of(size, root), steps or SIZES[size]["steps"]
    with ExitStack() as stack:
        made, skipped = contestants(spec, crowd, stack)
        found: dict[str, list[float]] = {name: [] for name in made}
        task = progress.add_task(size, total=(rounds + 1) * len(made))
        order = list(made)
        for number in range(rounds + 1):
            for name in order:
                progress.update(task, description=f"{size}: {name}")
                made[name].say(str(steps))
                seconds = made[name].hear()["step_seconds"]
                if number:  # the first round warms up
                    found[name].append(seconds)
                progress.advance(task)
            order = [*order[1:], order[0]]
    medians = {name: statistics.median(values) for name, values in found.items()}
    within = {
        name: statistics.median(bare / own for bare, own in zip(found["bare"], values, strict=True))
        for name, values in found.items()
    }
    return {
        "step_milliseconds": {name: 1e3 * seconds for name, seconds in medians.items()},
        "ratio": within,
        "ratio_of_medians": {name: medians["bare"] / one for name, one in medians.items()},
        "ratio_of_fastest": {name: min(found["bare"]) / min(own) for name, own in found.items()},
        "steps_per_slice": steps,
        "skipped": skipped,
    }


def contestants(
    spec: Spec, crowd: Crowd, stack: ExitStack
) -> tuple[dict[str, Peer], dict[str, str]]:
    """Return who is there, until the stack ends, and why others are not."""
    made, skipped = dict[str, Peer](), dict[str, str]()
    load = (str(crowd.watchers), str(crowd.requests_per_second))
    for name in (*MAKERS, RHEOSTAT):
        if missing := [one for one in LIBRARIES.get(name, ()) if find_spec(one) is None]:
            skipped[name] = f"{missing[0]} is not installed; {INSTALL}"
            continue
        made[name] = Peer("benchmarks.contestant", name, *load)
        stack.callback(made[name].end)
        made[name].say(spec.model_dump_json())
    for one in made.values():
        one.hear()
    return made, skipped


def table(results: Mapping[str, Any]) -> str:
    lines = []
    for size, result in results["sizes"].items():
        for name, milliseconds in result["step_milliseconds"].items():
            ratio, medians, fastest = (
                result[which][name] for which in ("ratio", "ratio_of_medians", "ratio_of_fastest")
            )
            lines.append(
                f"{size:>9}  {name:<13} {milliseconds:9.3f} ms a step  {ratio:.3f} of bare  "
                f"{medians:.3f} by medians  {fastest:.3f} by the fastest slices"
            )
        lines += [f"{size:>9}  SKIPPED {name}: {why}" for name, why in result["skipped"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--size", choices=SIZES, action="append", help="one of them; by default all"
    )
    parser.add_argument("--rounds", type=int, default=7, help="slices of each that are counted")
    parser.add_argument("--steps", type=int, help="counted steps of a slice; by default by size")
    parser.add_argument("--watchers", type=int, default=10, help="clients that watch the run")
    parser.add_argument("--requests", type=int, default=20, help="control requests per second")
    parser.add_argument("--root", help="folder of Fashion-MNIST; by default Debian's")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    crowd = Crowd(options.watchers, options.requests)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        sizes = {
            size: measure(size, options.rounds, options.steps, crowd, options.root, progress)
            for size in options.size or SIZES
        }
    results = {
        "sizes": sizes,
        "rounds": options.rounds,
        "watchers": options.watchers,
        "requests_per_second": options.requests,
        "threads": torch.get_num_threads(),
        "machine": platform.platform(),
        "torch": torch.__version__,
    }
    show(results, options.json, table(results))


if __name__ == "__main__":
    main()
