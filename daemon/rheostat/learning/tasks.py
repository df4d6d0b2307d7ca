"""What episodes are drawn from: training jobs, each with its learning rates and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rheostat.errors import InvalidSpec, Violation
from rheostat.learning.reading import read_section
from rheostat.learning.settings import TaskSection
from rheostat.spec.models import Spec
from rheostat.spec.validation import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One training job and its variations."""

    name: str
    """Unique among the tasks of an environment."""
    spec: Spec
    lrs: tuple[float, ...]
    """Values of `optimizer.lr` to draw from; empty where the spec leaves it to the optimizer."""
    seeds: int
    """Values of `train.seed` to draw from, counted from the spec's, >= 1."""

    def variation(self, lr: float | None, seed: int) -> Spec:
        """Return the spec with another first LR (None leaves it), and the seed of that index."""
        optimizer, train = self.spec.optimizer, self.spec.train
        if lr is not None:
            optimizer = optimizer.model_copy(update={"lr": lr})
        train = train.model_copy(update={"seed": train.seed + seed})
        return self.spec.model_copy(update={"optimizer": optimizer, "train": train})


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One episode's job."""

    task: Task
    lr: float | None
    """First LR; None is the optimizer's own."""
    seed: int
    """Index of the seed, counted from 0."""

    @property
    def spec(self) -> Spec:
        """Return the spec to train."""
        return self.task.variation(self.lr, self.seed)


def draw(tasks: Sequence[Task], random: np.random.Generator, wishes: Mapping[str, Any]) -> Draw:
    """Choose a task, an LR and a seed, each with equal chances.

    Args:
        tasks: to choose from.
        random: what chooses.
        wishes: what is settled already, by the names `task`, `lr` and `seed`; as many numbers are
            drawn all the same.

    Raises:
        InvalidSpec: if a wish names no task.
    """
    index, lr_share, seed_share = int(random.integers(len(tasks))), random.random(), random.random()
    names = [task.name for task in tasks]
    wished = wishes.get("task")
    if wished is not None and wished not in names:
        raise InvalidSpec([Violation("task", str(wished), f"one of {', '.join(names)}")])
    task = tasks[index if wished is None else names.index(wished)]
    lr = task.lrs[int(lr_share * len(task.lrs))] if task.lrs else None
    seed = int(seed_share * task.seeds)
    return Draw(task=task, lr=wishes.get("lr", lr), seed=wishes.get("seed", seed))


def tasks_of(documents: Sequence[Mapping[str, Any]], path: str = "tasks") -> tuple[Task, ...]:
    """Return the tasks that documents describe.

    Args:
        documents: as `TaskSection` says; a task is called what its spec is, or that with a number.
        path: where they stand, for the errors.

    Raises:
        InvalidSpec: with every mistake, at `tasks[0].spec.train` and the like.
    """
    tasks: list[Task] = []
    violations: list[Violation] = []
    for index, document in enumerate(documents):
        try:
            section = read_section(TaskSection, document, f"{path}[{index}]")
        except InvalidSpec as error:
            violations += error.violations
            continue
        spec, wrong = parse(section.spec, import_plugins=True)
        violations += [
            Violation(f"{path}[{index}].spec.{one.field}", one.value, one.expected) for one in wrong
        ]
        if spec is not None:
            taken = {task.name for task in tasks}
            name = spec.name if spec.name not in taken else f"{spec.name}-{index}"
            own = () if spec.optimizer.lr is None else (spec.optimizer.lr,)
            lrs = section.lrs or own
            tasks.append(Task(name=name, spec=spec, lrs=lrs, seeds=section.seeds))
    if not documents:
        violations.append(Violation(path, "", "at least one task"))
    if violations:
        raise InvalidSpec(violations)
    return tuple(tasks)
