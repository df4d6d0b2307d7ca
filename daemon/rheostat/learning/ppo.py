"""Training a controller by PPO, so that the same configuration gives the same file."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecNormalize

from rheostat.errors import FailedPrecondition
from rheostat.learning import checkpoints
from rheostat.learning.configuration import Configuration
from rheostat.learning.exporting import learned_policy, save
from rheostat.learning.vectors import make_children
from rheostat.trainer.data.ordering import derive_seed
from rheostat.trainer.devices import one_thread

POLICY_FILE = "policy.safetensors"
CHECKPOINT_FOLDER = "checkpoints"
TENSORBOARD_FOLDER = "tensorboard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a training is, after one update or before the first."""

    updates: int
    of: int
    """Updates in all."""
    actions: int
    """Actions so far, of all children together."""
    episodes: int
    """Episodes that ended in this rollout."""
    diverged: int
    """Those of them that diverged."""
    validation_loss: float | None = None
    """Mean final validation loss of the others; None where there are none."""
    improvement: float | None = None
    """Their mean log(base run's final validation loss / theirs); None as well in `xu2019`."""


class _Episodes(BaseCallback):
    """Notes how the episodes of a rollout end.

    Args:
        rows: groups of a child, all of which tell its end.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.ended = self.diverged = 0
        self.validation_loss: float | None = None
        self.improvement: float | None = None
        self._rows = rows
        self._ends: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        pairs = zip(self.locals["infos"], self.locals["dones"], strict=True)
        self._ends += [info for info, is_over in pairs if is_over]
        return True

    def _on_rollout_end(self) -> None:
        ends = self._ends[:: self._rows]
        good = [end for end in ends if not end["diverged"]]
        self.ended, self.diverged = len(ends), len(ends) - len(good)
        self.validation_loss = self._mean("validation_loss", good)
        self.improvement = self._mean("improvement", good)

    def _mean(self, name: str, ends: list[dict[str, Any]]) -> float | None:
        values = [end[name] for end in ends if name in end]
        if not values:
            return None
        self.logger.record(f"rollout/{name}", mean := fmean(values))
        return mean


def train(
    configuration: Configuration, folder: Path, *, resume: bool = False, tensorboard: bool = False
) -> Iterator[Progress]:
    """Train a controller, yield after each update, and leave `policy.safetensors` in a folder.

    Every update starts anew from the configuration's seed and its own number: generators, and
    episodes. So a training that was resumed, at any checkpoint, gives the very file that the
    uninterrupted one gives, and so does one with its children in one process.

    Args:
        configuration: what to train.
        folder: takes the policy file, the checkpoints, and what TensorBoard reads.
        resume: whether to go on from the newest checkpoint there, if there is one.
        tensorboard: whether to write for it.

    Raises:
        FailedPrecondition: if the folder holds a training that is not to be resumed, or another's.
    """
    kept = folder / CHECKPOINT_FOLDER
    begun = checkpoints.newest(kept)
    if begun is not None and not resume:
        raise FailedPrecondition(
            f"{folder} holds a training with {begun.updates} updates; go on with --resume, or "
            "choose another --out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    one_thread()
    with _children(configuration) as scale:
        rollout = configuration.ppo.rollout or max(2, max(scale.get_attr("actions")))
        model = _model(configuration, scale, rollout)
        log = [TENSORBOARD_FOLDER] if tensorboard else []
        model.set_logger(configure(str(folder / TENSORBOARD_FOLDER) if log else None, log))
        fingerprint = _fingerprint(configuration)
        updates = 0
        if begun is not None:
            checkpoints.restore(begun, model, scale, fingerprint)
            updates = begun.updates
        actions = rollout * configuration.ppo.children
        of = -(-configuration.ppo.actions // actions)
        yield Progress(updates=updates, of=of, actions=updates * actions, episodes=0, diverged=0)
        while updates < of:
            episodes = _Episodes(scale.num_envs // configuration.ppo.children)
            _update(model, configuration.seed, updates, episodes)
            updates += 1
            if updates % configuration.ppo.checkpoint_every == 0 or updates == of:
                checkpoints.save(model, scale, updates, fingerprint, kept)
            yield Progress(
                updates=updates,
                of=of,
                actions=updates * actions,
                episodes=episodes.ended,
                diverged=episodes.diverged,
                validation_loss=episodes.validation_loss,
                improvement=episodes.improvement,
            )
        policy = learned_policy(model, scale, configuration, of * actions)
        save(policy, folder / POLICY_FILE)


@contextmanager
def _children(configuration: Configuration) -> Iterator[VecNormalize]:
    children = make_children(configuration)
    try:
        yield children
    finally:
        children.close()


def _model(configuration: Configuration, scale: VecNormalize, rollout: int) -> PPO:
    """Make a learner whose first answers are 0, which is the base schedule."""
    ppo = configuration.ppo
    samples = rollout * scale.num_envs
    minibatches = next(n for n in range(ppo.minibatches, 0, -1) if samples % n == 0)
    hidden = list(ppo.hidden)
    model = PPO(
        "MlpPolicy",
        scale,
        learning_rate=ppo.learning_rate,
        n_steps=rollout,
        batch_size=samples // minibatches,
        n_epochs=ppo.epochs,
        gamma=ppo.gamma,
        gae_lambda=ppo.gae_lambda,
        clip_range=ppo.clip_range,
        ent_coef=ppo.entropy,
        use_sde=ppo.exploration_every is not None,
        sde_sample_freq=ppo.exploration_every or -1,
        policy_kwargs={
            "net_arch": {"pi": hidden, "vf": hidden},
            "log_std_init": ppo.log_std,
        },
        seed=configuration.seed,
        device="cpu",
    )
    head: Any = model.policy.action_net
    head.weight.data.zero_()
    head.bias.data.zero_()
    return model


def _update(model: PPO, seed: int, number: int, episodes: _Episodes) -> None:
    """Collect one rollout of new episodes, and learn from it."""
    own = derive_seed(seed, number) % 2**31
    set_random_seed(own)
    assert model.env is not None
    model.env.seed(own)
    model._last_obs = None  # so that the episodes begin anew, with these seeds
    samples = model.n_steps * model.env.num_envs
    model.learn(samples, callback=episodes, reset_num_timesteps=False)


def _fingerprint(configuration: Configuration) -> str:
    text = json.dumps(configuration.document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
