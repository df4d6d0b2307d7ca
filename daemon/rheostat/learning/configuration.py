"""What `rheostat learn ppo` is told: a YAML file, checked before anything is trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from rheostat.errors import InvalidSpec, Violation
from rheostat.learning.environment import LearningRate, mode_of
from rheostat.learning.reading import read_section, with_root
from rheostat.learning.settings import Mode
from rheostat.learning.tasks import Task, tasks_of
from rheostat.spec.loading import read_file
from rheostat.spec.section import Name, Section


class PpoSection(Section):
    """Proximal policy optimization (Schulman et al., arXiv 1707.06347), by stable-baselines3."""

    actions: int = Field(default=20_000, ge=1, description="actions of all children, in all")
    children: int = Field(default=2, ge=1, description="runs that are trained side by side")
    processes: bool = Field(
        default=True, description="each child in a process of its own; else all in this one"
    )
    rollout: int | None = Field(
        default=None,
        ge=2,
        description="actions of each child between two updates; by default those of the longest "
        "episode. Every rollout begins with new episodes",
    )
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(32, 32), description="widths of the hidden layers of actor and critic, with tanh"
    )
    learning_rate: float = Field(default=1e-3, gt=0)
    gamma: float = Field(
        default=1.0, gt=0, le=1, description="discount; 1 because the end of a run is what counts"
    )
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    clip_range: float = Field(default=0.2, gt=0)
    entropy: float = Field(default=0.0, ge=0, description="weight of the entropy bonus")
    epochs: int = Field(default=10, ge=1, description="passes over a rollout in one update")
    minibatches: int = Field(
        default=4, ge=1, description="of one pass; fewer where they would not be of one size"
    )
    log_std: float = Field(
        default=-1.0,
        description="first logarithm of the deviation of continuous actions; with 0, a third of "
        "them would lie at the bounds",
    )
    exploration_every: int | None = Field(
        default=None,
        ge=1,
        description="actions for which one and the same random function of what is seen is added "
        "to the answers (Raffin et al., arXiv 2005.05719); by default each action has noise of its "
        "own. One LR of many hardly shows in the end of a run; all of them, moved together, do",
    )
    clip_observations: float = Field(
        default=10.0, gt=0, description="bound of normalised observations and rewards"
    )
    checkpoint_every: int = Field(default=10, ge=1, description="updates between two checkpoints")


class LearnSection(Section):
    """The file as a whole; its parts are read by themselves."""

    name: Name = Field(default="learned", description="what the policy is called")
    seed: int = Field(default=0, ge=0, lt=2**31, description="two trainings with one are equal")
    environment: dict[str, Any] = Field(default_factory=dict)
    tasks: list[dict[str, Any]]
    ppo: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A training, checked."""

    name: str
    seed: int
    mode: Mode
    tasks: tuple[Task, ...]
    ppo: PpoSection
    document: Mapping[str, Any]
    """The file's content, with the specs that it names in their places."""

    def make_environment(self) -> LearningRate:
        """Make the environment to learn in."""
        return LearningRate(self.tasks, self.mode)


def read_configuration(path: Path, roots: Mapping[str, str] | None = None) -> Configuration:
    """Read a configuration file.

    Args:
        path: the file; specs that it names lie beside it.
        roots: folders by the name of a data set, in place of what the specs say.

    Raises:
        InvalidSpec: with every mistake.
    """
    return configuration_of(read_file(path), path.parent, roots)


def configuration_of(
    document: Mapping[str, Any], folder: Path, roots: Mapping[str, str] | None = None
) -> Configuration:
    """Return the training that a document describes.

    Args:
        document: as `LearnSection` says.
        folder: where the specs lie that its tasks name by a relative path.
        roots: as in `read_configuration`; a policy does not depend on them, nor does its file.

    Raises:
        InvalidSpec: with every mistake.
    """
    whole = read_section(LearnSection, document)
    violations: list[Violation] = []
    tasks: tuple[Task, ...] = ()
    mode, ppo = None, None
    try:
        whole = whole.model_copy(update={"tasks": _with_specs(whole.tasks, folder)})
        tasks = tasks_of([_at_root(task, roots or {}) for task in whole.tasks])
    except InvalidSpec as error:
        violations += error.violations
    try:
        mode = mode_of(whole.environment, "environment")
    except InvalidSpec as error:
        violations += error.violations
    try:
        ppo = read_section(PpoSection, whole.ppo, "ppo")
    except InvalidSpec as error:
        violations += error.violations
    if mode is None or ppo is None or violations:
        raise InvalidSpec(violations)
    return Configuration(
        name=whole.name,
        seed=whole.seed,
        mode=mode,
        tasks=tasks,
        ppo=ppo,
        document={**document, "tasks": whole.tasks},
    )


def _at_root(task: dict[str, Any], roots: Mapping[str, str]) -> dict[str, Any]:
    spec = task.get("spec")
    return {**task, "spec": with_root(spec, roots)} if isinstance(spec, Mapping) else task


def _with_specs(tasks: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Return tasks with the specs in place of the paths that stand for them."""
    return [
        {**task, "spec": read_file(folder / task["spec"])}
        if isinstance(task.get("spec"), str)
        else task
        for task in tasks
    ]
