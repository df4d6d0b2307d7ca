"""Agent steps per second of the environment, beside the way of the public implementation.

Both train the MLP 784-256-128-10 of arXiv 1909.09712 on MNIST with Adam and batches of 1000; an
agent step is 10 optimizer steps and a validation, with the seven observations of the paper. The
public way, written here after its description, is a data set of images that are turned into tensors
one by one, DataLoaders that shuffle for training and for validation, and all 10,000 validation
samples; its children take turns in one process. Ours is `rheostat/Xu2019-v0` itself: with the same
10,000 samples (`same`), with 2,000 (`subset`), and both with bfloat16. What the arithmetic alone
takes, on batches that are ready, is the side `bare`: the optimizer steps and validation of `same`,
and nothing else.

One agent step of each in turn, in one process; medians, in seconds on the wall and of CPU time,
which other programs on the machine change less. Then two children of each in two processes, which
is how children train side by side here: agent steps per second of both together, on the wall and by
the CPU time that a step took while both were at it, beside the public way in its one process and,
for what that way could have, in two. Last four MLPs stacked into batched products beside four by
themselves, and what a step and a decision of the `learned` policy cost with a network of the
default size.

    RHEOSTAT_MNIST=FOLDER OMP_NUM_THREADS=1 python -m benchmarks.environment --json
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset, random_split
from torchvision.transforms import ToTensor

from benchmarks.daemon import show
from rheostat.learning.children import child_task
from rheostat.learning.environment import make_environment
from rheostat.trainer.data.idx import read_mnist
from rheostat.trainer.data.records import ResidentSplit
from rheostat_policies import KEEP, GroupInfo, Learned, Observation, RunInfo
from rheostat_policies.learned.answers import Anchored
from rheostat_policies.learned.features import ANCHORED
from rheostat_policies.learned.network import Network
from rheostat_policies.learned.normaliser import Normaliser
from rheostat_policies.learned.policy_file import LearnedPolicy

Step = Callable[[], object]
NO_CHANGE = 0
BATCH = 1000
WINDOW = 10
ROUNDS = 10
CHILDREN = 4
VALIDATED = 10
"""Batches of a whole validation."""
SUBSET = 1 / 30
"""Share of the training set that makes 2,000 validation samples."""


class Images(Dataset[tuple[Tensor, int]]):
    """MNIST as torchvision has it: an image object per sample, then a transform."""

    def __init__(self, root: str) -> None:
        split = read_mnist(root).train
        assert isinstance(split, ResidentSplit)
        self.data, self.targets, self.transform = split.inputs[:, 0], split.targets, ToTensor()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.data[index].numpy())
        return self.transform(image), int(self.targets[index])


class PublicWay:
    """One environment of the public implementation, without its framework around it."""

    def __init__(self, root: str) -> None:
        train, validation = random_split(Images(root), [50_000, 10_000])
        self.train = DataLoader(train, batch_size=BATCH, shuffle=True)
        self.validation = DataLoader(validation, batch_size=BATCH, shuffle=True)
        self.batches = iter(self.train)
        layers = [nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.Linear(128, 10))
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.scheduler = LambdaLR(self.optimizer, lambda step: 1.0)
        self.before: list[Tensor] = [torch.zeros(BATCH, 10)] * 10

    def step(self) -> tuple[float, ...]:
        losses = []
        for _ in range(WINDOW):
            try:
                inputs, targets = next(self.batches)
            except StopIteration:
                self.batches = iter(self.train)
                inputs, targets = next(self.batches)
            self.optimizer.zero_grad()
            loss = self.loss(self.model(inputs), targets)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        self.scheduler.step()
        with torch.no_grad():
            found = [(self.model(inputs), targets) for inputs, targets in self.validation]
        outputs = [one for one, _ in found]
        changes = [(now - old).var() for now, old in zip(outputs, self.before, strict=True)]
        self.before = outputs
        weights = list(self.model.parameters())[-2]
        return (
            statistics.fmean(losses),
            statistics.fmean(self.loss(one, wanted).item() for one, wanted in found),
            statistics.fmean(one.var().item() for one in outputs),
            statistics.fmean(one.item() for one in changes),
            weights.mean().item(),
            weights.var().item(),
            self.optimizer.param_groups[0]["lr"],
        )


class Bare:
    """The arithmetic of an agent step, and nothing else."""

    def __init__(self) -> None:
        layers = [nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.Linear(128, 10))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.inputs, self.targets = torch.randn(BATCH, 1, 28, 28), torch.randint(10, (BATCH,))

    def step(self) -> None:
        for _ in range(WINDOW):
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.model(self.inputs), self.targets)
            loss.backward()
            self.optimizer.step()
        with torch.no_grad():
            for _ in range(VALIDATED):
                nn.functional.cross_entropy(self.model(self.inputs), self.targets).item()


def environment(root: str, *, validation: float | None = None, precision: str = "float32") -> Step:
    """Make ours, begun, and return its agent step."""
    task = child_task("mlp", "mnist", root=root, steps=100_000)
    spec = task["spec"]
    spec["data"]["validation"] = validation
    spec["train"]["precision"] = precision
    made = make_environment([task], mode="xu2019")
    made.reset(seed=0)
    return lambda: made.step(NO_CHANGE)


SIDES: Mapping[str, Callable[[str], Step]] = {
    "public": lambda root: PublicWay(root).step,
    "same": environment,
    "same_bfloat16": partial(environment, precision="bfloat16"),
    "subset": partial(environment, validation=SUBSET),
    "subset_bfloat16": partial(environment, validation=SUBSET, precision="bfloat16"),
    "bare": lambda root: Bare().step,
}
"""What makes the agent step of each, by the folder of MNIST's files."""
APART = ("public", "same", "same_bfloat16")
"""Those that are measured in processes of their own too."""


def side_by_side(root: str, rounds: int) -> dict[str, dict[str, float]]:
    """Return seconds of an agent step of each, one of each in turn."""
    sides = {name: make(root) for name, make in SIDES.items()}
    wall: dict[str, list[float]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, step in sides.items():
            began, worked = time.perf_counter(), time.process_time()
            step()
            if number:  # the first is warm-up
                wall[name].append(time.perf_counter() - began)
                cpu[name].append(time.process_time() - worked)
    return {
        name: {
            "seconds": statistics.median(wall[name]),
            "cpu_seconds": statistics.median(cpu[name]),
            "steps_per_second": 1 / statistics.median(wall[name]),
            "times_public": statistics.median(wall["public"]) / statistics.median(wall[name]),
            "times_public_by_cpu": statistics.median(cpu["public"]) / statistics.median(cpu[name]),
        }
        for name in sides
    }


_own: list[Step] = []
"""In a worker: the agent step of its child."""


def prepare(name: str, root: str) -> None:
    torch.set_num_threads(1)
    _own.append(SIDES[name](root))
    _own[0]()


def work(steps: int) -> float:
    """Take agent steps and return the CPU seconds of each."""
    began = time.process_time()
    for _ in range(steps):
        _own[0]()
    return (time.process_time() - began) / steps


def processes(name: str, root: str, rounds: int) -> dict[str, float]:
    """Return agent steps per second of a child in a process, and of two in two."""
    steps = 2
    context = get_context("spawn")
    with ProcessPoolExecutor(2, context, initializer=prepare, initargs=(name, root)) as pool:
        list(pool.map(work, [1, 1]))  # both are there
        wall: dict[int, list[float]] = {1: [], 2: []}
        cpu: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for count in (1, 2):
                began = time.perf_counter()
                took = list(pool.map(work, [steps] * count))
                wall[count].append((time.perf_counter() - began) / (steps * count))
                cpu[count].append(statistics.fmean(took) / count)
    one, two = (1 / statistics.median(wall[count]) for count in (1, 2))
    one_by_cpu, two_by_cpu = (1 / statistics.median(cpu[count]) for count in (1, 2))
    return {
        "one": one,
        "two": two,
        "ratio": two / one,
        "one_by_cpu": one_by_cpu,
        "two_by_cpu": two_by_cpu,
        "ratio_by_cpu": two_by_cpu / one_by_cpu,
    }


def stacked(rounds: int) -> dict[str, float]:
    """Return milliseconds of an optimizer step of four MLPs, stacked and one by one."""
    widths = (784, 256, 128, 10)
    pairs = list(pairwise(widths))
    inputs = torch.randn(CHILDREN, BATCH, 784)
    targets = torch.randint(10, (CHILDREN, BATCH))

    def training(children: int) -> Callable[[int], None]:
        weights = [nn.Parameter(torch.randn(children, ins, outs) / ins**0.5) for ins, outs in pairs]
        biases = [nn.Parameter(torch.zeros(children, 1, outs)) for _, outs in pairs]
        optimizer = torch.optim.Adam([*weights, *biases])

        def step(first: int) -> None:
            values = inputs[first : first + children]
            for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                values = torch.baddbmm(bias, values, weight)
                values = values.relu() if index < len(weights) - 1 else values
            wanted = targets[first : first + children]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(values.flatten(0, 1), wanted.flatten())
            (loss * children).backward()
            optimizer.step()

        return step

    together, apart = training(CHILDREN), [training(1) for _ in range(CHILDREN)]
    times: dict[str, list[float]] = {"stacked": [], "one_by_one": []}
    for _ in range(rounds * 3):
        began = time.process_time()
        together(0)
        times["stacked"].append(time.process_time() - began)
        began = time.process_time()
        for index, one in enumerate(apart):
            one(index)
        times["one_by_one"].append(time.process_time() - began)
    medians = {f"{name}_milliseconds": 1e3 * statistics.median(one) for name, one in times.items()}
    ratio = medians["one_by_one_milliseconds"] / medians["stacked_milliseconds"]
    return {**medians, "ratio": ratio}


def deciding() -> dict[str, float]:
    """Return microseconds of a decision of the `learned` policy, and of a step without one."""
    random, widths = np.random.default_rng(0), (len(ANCHORED), 32, 32, 1)
    layers = [
        (random.normal(size=(outs, ins)).astype(np.float32), np.zeros(outs, np.float32))
        for ins, outs in pairwise(widths)
    ]
    made = LearnedPolicy(
        every=WINDOW,
        features=ANCHORED,
        normaliser=Normaliser(mean=[0.0] * len(ANCHORED), deviation=[1.0] * len(ANCHORED)),
        network=Network(layers, "tanh"),
        answers=Anchored(),
        provenance={},
        configuration={},
    )
    with NamedTemporaryFile() as file:
        Path(file.name).write_bytes(made.to_bytes())
        policy = Learned(file=file.name)
    steps, lrs, factors = 10_000, {"default": 0.1}, {"default": 1.0}
    state = policy.initial_state(
        RunInfo(name="b", steps=steps, groups=(GroupInfo(name="default", parameters=1),))
    )
    times: dict[bool, list[float]] = {True: [], False: []}
    for step in range(steps):
        extras = (None, None, None, lrs)
        seen = Observation(
            step, steps, 1.0 + step % 7, None, None, None, 2.0, lrs, lrs, factors, *extras
        )
        began = time.perf_counter()
        action, state = policy.decide(state, seen)
        times[action is not KEEP].append(time.perf_counter() - began)
    return {
        "decision_microseconds": 1e6 * statistics.median(times[True]),
        "step_microseconds": 1e6 * statistics.median(times[False]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--mnist",
        default=os.environ.get("RHEOSTAT_MNIST"),
        help="folder of MNIST's files; RHEOSTAT_MNIST by default",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="agent steps of each side")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.mnist is None:
        parser.error("--mnist or RHEOSTAT_MNIST must name the folder of MNIST's files")
    torch.set_num_threads(1)
    sides = side_by_side(options.mnist, options.rounds)
    apart = {name: processes(name, options.mnist, max(2, options.rounds // 3)) for name in APART}
    machine = {
        name: {
            "times_public": one["two"] / apart["public"]["one"],
            "times_public_by_cpu": one["two_by_cpu"] / apart["public"]["one_by_cpu"],
        }
        for name, one in apart.items()
    }
    result = {
        "agent_step": sides,
        "processes": apart,
        "two_processes": machine,
        "stacked_on_cpu": stacked(options.rounds),
        "learned_policy": deciding(),
        "threads": 1,
    }
    lines = [
        f"{name:>15}: {1e3 * side['seconds']:6.0f} ms an agent step, "
        f"{1e3 * side['cpu_seconds']:6.0f} ms of CPU, "
        f"{side['times_public']:.1f} times the public way "
        f"({side['times_public_by_cpu']:.1f} by CPU)"
        for name, side in sides.items()
    ]
    lines += [
        f"{name:>15}: two children in two processes {one['times_public']:.1f} times the public way "
        f"in its one ({one['times_public_by_cpu']:.1f} by CPU)"
        for name, one in machine.items()
    ]
    lines.append(
        f"four MLPs stacked on the CPU: {result['stacked_on_cpu']['ratio']:.2f} times one by one; "
        "a decision of the learned policy: "
        f"{result['learned_policy']['decision_microseconds']:.0f} us"
    )
    show(result, options.json, "\n".join(lines))


if __name__ == "__main__":
    main()
