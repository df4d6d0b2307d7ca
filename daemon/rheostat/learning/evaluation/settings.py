"""What `rheostat learn evaluate` is told: the controller, its one setting, and the tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from rheostat.errors import InvalidSpec, Violation
from rheostat.learning.reading import read_section, with_root
from rheostat.spec.loading import read_file
from rheostat.spec.models import Spec
from rheostat.spec.section import Name, Section
from rheostat.spec.validation import parse
from rheostat_policies.feedback.learned import find_policy
from rheostat_policies.learned.policy_file import LearnedPolicy
from rheostat_policies.learned.shipped import shipped_names

Lr = Annotated[float, Field(gt=0)]


class EvaluateSection(Section):
    """The file as a whole."""

    name: Name = Field(default="evaluation", description="what the evaluation is called")
    policy: str | None = Field(
        default=None,
        description="policy file, or the name of one that is shipped; by default one_cycle",
    )
    lr: float = Field(default=1e-2, gt=0, description="peak LR of the controller, on every task")
    schedule: dict[str, Any] = Field(
        default_factory=lambda: {"name": "OneCycleLR", "args": {"cycle_momentum": False}},
        description="its base schedule, on every task",
    )
    seeds: int = Field(default=10, ge=2, description="runs of each contender in the tables")
    first_seed: int = Field(default=1000, ge=0, description="of those; none that was trained on")
    peaks: tuple[Lr, ...] = Field(
        default=(3e-2, 1e-2, 3e-3, 1e-3),
        description="peak LRs that the usual schedules choose from, on each task",
    )
    usual: tuple[Literal["constant", "cosine", "linear", "OneCycle", "WSD", "plateau"], ...] = (
        Field(
            default=("constant", "cosine", "linear", "OneCycle", "WSD", "plateau"),
            description="the usual schedules to compare with",
        )
    )
    search_seeds: int = Field(
        default=3, ge=1, description="runs of a setting that is chosen; not those of the tables"
    )
    finalists: int = Field(
        default=6,
        ge=1,
        description="settings of the 48 that have all search seeds; the others have one",
    )
    trained: list[dict[str, Any] | str] = Field(
        default_factory=list,
        description="specs, or their paths, of tasks that the policy was trained on",
    )
    unseen: list[dict[str, Any] | str] = Field(
        default_factory=list, description="the same of tasks that it was not trained on"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedTask:
    """One training job to compare on."""

    name: str
    """Unique among the tasks of an evaluation."""
    spec: Spec
    """Its optimizer's LR, schedule and policies are the contenders' to say."""
    is_trained: bool
    """Whether the policy was trained on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """An evaluation, checked."""

    name: str
    policy_file: Path
    policy: LearnedPolicy
    tasks: tuple[EvaluatedTask, ...]
    section: EvaluateSection


def read_plan(path: Path, roots: Mapping[str, str] | None = None) -> EvaluationPlan:
    """Read an evaluation file.

    Args:
        path: the file; specs and policy that it names lie beside it.
        roots: folders by the name of a data set, in place of what the specs say.

    Raises:
        InvalidSpec: with every mistake.
    """
    return plan_of(read_file(path), path.parent, roots or {})


def plan_of(document: Mapping[str, Any], folder: Path, roots: Mapping[str, str]) -> EvaluationPlan:
    """Return the evaluation that a document describes; see `read_plan`."""
    section = read_section(EvaluateSection, document)
    violations: list[Violation] = []
    file = section.policy
    if file is not None and file not in shipped_names():
        file = str(folder / Path(file).expanduser())
    try:
        policy_file, policy = find_policy(file)
    except ValueError as error:
        violations.append(Violation("policy", str(section.policy), f"a policy file: {error}"))
    tasks: list[EvaluatedTask] = []
    for field, entries in (("trained", section.trained), ("unseen", section.unseen)):
        for index, entry in enumerate(entries):
            place = f"{field}[{index}]"
            spec = _spec(entry, place, folder, roots, violations)
            if spec is None:
                continue
            if spec.name in {task.name for task in tasks}:
                expected = "a name that no other task has"
                violations.append(Violation(f"{place}.name", spec.name, expected))
            is_trained = field == "trained"
            tasks.append(EvaluatedTask(name=spec.name, spec=spec, is_trained=is_trained))
    if not section.trained and not section.unseen:
        violations.append(Violation("unseen", "", "at least one task, here or in trained"))
    if violations:
        raise InvalidSpec(violations)
    return EvaluationPlan(
        name=section.name,
        policy_file=policy_file,
        policy=policy,
        tasks=tuple(tasks),
        section=section,
    )


def _spec(
    entry: dict[str, Any] | str,
    place: str,
    folder: Path,
    roots: Mapping[str, str],
    violations: list[Violation],
) -> Spec | None:
    document = read_file(folder / entry) if isinstance(entry, str) else entry
    spec, wrong = parse(with_root(document, roots), import_plugins=True)
    violations += [Violation(f"{place}.{one.field}", one.value, one.expected) for one in wrong]
    return spec


def seeds_of(first: int, count: int) -> Sequence[int]:
    """Return so many seeds, counted from the first."""
    return range(first, first + count)
