"""Many children for one learner: side by side, a row for each group, at a learner's scale."""

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecNormalize,
)

from rheostat.learning.configuration import Configuration
from rheostat.learning.environment import LearningRate
from rheostat.trainer.devices import one_thread


class GroupRows(VecEnvWrapper):
    """Makes each param group of each child an environment of its own, paid with its child.

    One network then decides for every group by that group's row, so it can be used on a run with
    any number of groups.
    """

    def __init__(self, children: VecEnv) -> None:
        seen = children.observation_space
        assert isinstance(seen, spaces.Box)
        self._rows, width = seen.shape
        super().__init__(
            children,
            observation_space=spaces.Box(seen.low[0], seen.high[0], (width,), np.float32),
            action_space=spaces.Box(-1.0, 1.0, (1,), np.float32),
        )
        self.num_envs = children.num_envs * self._rows

    def reset(self) -> NDArray[np.float32]:
        """Begin an episode in every child."""
        seen = self.venv.reset()
        assert isinstance(seen, np.ndarray)
        return self._apart(seen)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Act on the groups of every child."""
        self.venv.step_async(actions.reshape(self.venv.num_envs, self._rows))

    def step_wait(self) -> Any:
        """Return what came of it, for each group of each child."""
        seen, rewards, are_over, infos = self.venv.step_wait()
        assert isinstance(seen, np.ndarray)
        return (
            self._apart(seen),
            np.repeat(rewards, self._rows),
            np.repeat(are_over, self._rows),
            [self._info(info, row) for info in infos for row in range(self._rows)],
        )

    def _apart(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        return seen.reshape(self.num_envs, -1)

    def _info(self, info: dict[str, Any], row: int) -> dict[str, Any]:
        last = info.get("terminal_observation")
        return info if last is None else {**info, "terminal_observation": last[row]}


def make_children(configuration: Configuration) -> VecNormalize:
    """Make the children of a training, each with an operation's work on one thread."""
    ppo = configuration.ppo
    apart = ppo.processes and ppo.children > 1
    make = _make_apart if apart else _make
    makers: list[Callable[[], Any]] = [lambda: make(configuration)] * ppo.children
    children: VecEnv = SubprocVecEnv(makers) if apart else DummyVecEnv(makers)
    if len(children.observation_space.shape or ()) == 2:
        children = GroupRows(children)
    return VecNormalize(
        children,
        gamma=ppo.gamma,
        clip_obs=ppo.clip_observations,
        clip_reward=ppo.clip_observations,
    )


def _make_apart(configuration: Configuration) -> LearningRate:
    # Ctrl-C reaches every process of a terminal; the learner's own hears it and ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return _make(configuration)


def _make(configuration: Configuration) -> LearningRate:
    one_thread()
    return configuration.make_environment()
