"""The environment: an agent moves the LR of a run, window by window, and is paid for the end."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rheostat.errors import InvalidSpec, Violation
from rheostat.learning.child import Child
from rheostat.learning.reading import read_section
from rheostat.learning.rewards import BaseRuns, Improvement, NegativeLoss, Reward
from rheostat.learning.settings import MODES, AnchoredSection, Mode, Xu2019Section
from rheostat.learning.tasks import Draw, Task, draw, tasks_of
from rheostat.spec.wording import did_you_mean, field_path, written
from rheostat_policies.learned.answers import EXPONENTS, Recursive
from rheostat_policies.learned.features import LARGEST, observed_by

DIGITS = {
    "spec": {
        "name": "digits",
        "model": {"name": "mlp", "args": {"hidden": [64, 32]}},
        "data": {"name": "digits", "batch_size": 64},
        "optimizer": {"name": "Adam", "lr": 1e-3},
        "train": {"steps": 500},
    }
}
"""The task of an environment that is given none: no file, and an episode of about a second."""

Seen = NDArray[np.float32]


class LearningRate(gymnasium.Env[Seen, Any]):
    """A run of the real trainer, which stops every `every` optimizer steps to ask for an action.

    An episode is one run from its first step to its last; the first window passes before there is
    anything to see. With equal seeds two episodes are equal, bit for bit, on one machine.

    Observations are features as they are, neither scaled nor clipped: (groups, features) in the
    mode `anchored`, (7,) in `xu2019`. Actions are one exponent in [-1, 1] per group, 0 being the
    schedule itself; in `xu2019` one exponent, 0 being no change, or 0 keep, 1 raise, 2 lower.

    `reset` takes options that settle what is drawn: `task` (a name), `lr` and `seed` (an index).
    `info` holds step, steps, task, lr, seed, train_loss, validation_loss, learning_rate, base and
    diverged; in the mode `anchored` also improvement, log(base run's validation loss / this one's).

    Args:
        tasks: what episodes are drawn from; all with as many groups in the mode `anchored`.
        mode: what is seen, what actions mean, and what is paid.

    Raises:
        InvalidSpec: if a task cannot be run, or has another number of groups than the first.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (gymnasium's own annotation)

    def __init__(self, tasks: Sequence[Task], mode: Mode) -> None:
        self.tasks = tuple(tasks)
        self.mode = mode
        _check_noise(self.tasks, mode)
        self.groups, self.actions = _sizes_of(self.tasks, mode)
        """Rows that the agent sees: groups it acts on, or 1 for all of them; and the number of
        actions in the longest episode."""
        self._answers = mode.answers
        self._observes = observed_by(mode.features)
        self._base_runs = BaseRuns(mode.every, mode.divergence_ratio, mode.validates)
        width = len(mode.features)
        is_anchored = isinstance(mode, AnchoredSection)
        shape = (self.groups, width) if is_anchored else (width,)
        self.observation_space = spaces.Box(-LARGEST, LARGEST, shape, np.float32)
        if isinstance(mode, Xu2019Section) and mode.discrete:
            self.action_space = spaces.Discrete(len(EXPONENTS))
        else:
            self.action_space = spaces.Box(-1.0, 1.0, (self.groups,), np.float32)
        self._child: Child
        self._draw: Draw
        self._reward: Reward

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Seen, dict[str, Any]]:
        """Begin a run and train its first window.

        Raises:
            InvalidSpec: if the options name no task.
        """
        super().reset(seed=seed)
        self._draw = self._disturbed(draw(self.tasks, self.np_random, options or {}))
        spec = self._draw.spec
        if isinstance(self.mode, AnchoredSection):
            losses = self._base_runs.losses(spec)
            base = losses if self.mode.paid == "windows" else losses[-1:]
            self._reward = Improvement(base, self.mode.divergence_penalty)
        else:
            self._reward = NegativeLoss()
        self._child = Child(
            spec,
            every=self.mode.every,
            validates=self.mode.validates,
            observes=self._observes,
            divergence_ratio=self.mode.divergence_ratio,
        )
        self._child.begin()
        if self.mode.paid == "windows":
            self._reward.begin(self._child.validation_loss)
        return self._seen(), self._info()

    def step(self, action: Any) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        """Train one window with the factors that an action means."""
        child = self._child
        if not child.is_over:
            child.advance(self._factors(action))
        if child.has_diverged:
            reward = self._reward.fine(child.windows_left)
        elif self.mode.paid == "windows" or child.is_over:
            reward = self._reward.pay(child.validation_loss)
        else:
            reward = 0.0
        # As learners keep it; so it is the same, whatever collects it.
        paid = float(np.float32(reward))
        return self._seen(), paid, child.is_over, False, self._info()

    def _factors(self, action: Any) -> Mapping[str, float]:
        """Return the factor by group that an action means now."""
        answers, seat = self._answers, self._child.seat
        observation = self._child.observation()
        if not isinstance(answers, Recursive):
            exponents = answers.exponents(np.reshape(action, (-1, 1)).tolist())
            return answers.factors(exponents, seat.groups, observation)
        if answers.discrete:
            exponents = [EXPONENTS[int(action)]]
        else:
            exponents = answers.exponents([np.ravel(action).tolist()])
        return answers.factors(exponents, seat.groups, observation, self._disturbance())

    def _disturbance(self) -> float:
        noise = self.mode.noise if isinstance(self.mode, Xu2019Section) else 0.0
        return float(self.np_random.normal(0.0, noise)) if noise > 0 else 0.0

    def _disturbed(self, drawn: Draw) -> Draw:
        """Return a draw whose first LR is a little off, where the mode says so."""
        mode, lr = self.mode, drawn.lr
        if not isinstance(mode, Xu2019Section) or mode.initial_noise == 0 or lr is None:
            return drawn
        moved = float(self.np_random.normal(lr, lr * mode.initial_noise))
        return replace(drawn, lr=min(max(moved, mode.min_lr), mode.max_lr))

    def _seen(self) -> Seen:
        seat = self._child.seat
        groups = self._answers.shown(seat.groups)
        rows = seat.look(self.mode.features, self._child.observation(), groups)
        return rows.reshape(self.observation_space.shape or ())

    def _info(self) -> dict[str, Any]:
        observation = self._child.observation()
        info = {
            "task": self._draw.task.name,
            "lr": self._draw.lr,
            "seed": self._draw.seed,
            "step": observation.step,
            "steps": observation.steps,
            "train_loss": observation.train_loss,
            "validation_loss": observation.validation_loss,
            "learning_rate": dict(observation.learning_rate),
            "base": dict(observation.base),
            "diverged": self._child.has_diverged,
        }
        if isinstance(self._reward, Improvement):
            info["improvement"] = self._reward.improvement
        return info


def make_environment(
    tasks: Sequence[Mapping[str, Any]] = (DIGITS,), **settings: Any
) -> LearningRate:
    """Make the environment from plain data, as a configuration file or another library has it.

    Args:
        tasks: a mapping each, as `rheostat.learning.settings.TaskSection` says.
        **settings: of the mode, `mode` among them; see `AnchoredSection` and `Xu2019Section`.

    Raises:
        InvalidSpec: with every mistake.
    """
    return LearningRate(tasks_of(tasks), mode_of(settings))


def mode_of(settings: Mapping[str, Any], path: str = "") -> Mode:
    """Return the mode that settings describe.

    Args:
        settings: as `AnchoredSection` and `Xu2019Section` say.
        path: where they stand, for the errors.

    Raises:
        InvalidSpec: with every mistake.
    """
    name = settings.get("mode", "anchored")
    if name not in MODES:
        field = field_path(("mode",), path)
        raise InvalidSpec([Violation(field, written(name), did_you_mean(str(name), MODES))])
    return read_section(MODES[name], settings, path)


def _check_noise(tasks: Sequence[Task], mode: Mode) -> None:
    if isinstance(mode, Xu2019Section) and mode.initial_noise > 0:
        blind = [task.name for task in tasks if not task.lrs]
        if blind:
            expected = f"0, or an optimizer.lr to move in the specs of {', '.join(blind)}"
            raise InvalidSpec([Violation("initial_noise", f"{mode.initial_noise:g}", expected)])


def _sizes_of(tasks: Sequence[Task], mode: Mode) -> tuple[int, int]:
    """Return rows and longest episode; building each task finds its mistakes too."""
    children = [Child(task.spec, every=mode.every) for task in tasks]
    counts = [len(child.seat.groups) for child in children]
    longest = max(child.windows_left for child in children) - 1
    if not isinstance(mode, AnchoredSection):
        return 1, longest
    for task, count in zip(tasks, counts, strict=True):
        if count != counts[0]:
            expected = f"{counts[0]} groups, as {tasks[0].name} has: an agent acts on all of them"
            raise InvalidSpec([Violation("tasks", f"{task.name} with {count}", expected)])
    return counts[0], longest
