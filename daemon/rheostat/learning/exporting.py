"""From a trained stable-baselines3 model to a policy file."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from rheostat.learning.configuration import Configuration
from rheostat_policies.learned.network import Layer, Network
from rheostat_policies.learned.normaliser import Normaliser
from rheostat_policies.learned.policy_file import LearnedPolicy

_ACTOR = "mlp_extractor.policy_net"
_HEAD = "action_net"


def learned_policy(
    model: PPO, scale: VecNormalize, configuration: Configuration, actions: int
) -> LearnedPolicy:
    """Return what the actor of a model does, to be saved.

    Args:
        model: with the default MLP policy.
        scale: of the observations that it was shown.
        configuration: of the training.
        actions: that it was trained for, of all children together.
    """
    mode = configuration.mode
    return LearnedPolicy(
        every=mode.every,
        features=tuple(mode.features),
        normaliser=normaliser_of(scale),
        network=actor_of(model),
        answers=mode.answers,
        provenance={
            "name": configuration.name,
            "algorithm": "ppo",
            "seed": configuration.seed,
            "actions": actions,
            **{name: version(name) for name in ("rheostat", "stable-baselines3", "torch")},
        },
        configuration=configuration.document,
    )


def normaliser_of(scale: VecNormalize) -> Normaliser:
    """Return the scale that observations have come to."""
    moments: Any = scale.obs_rms
    return Normaliser(
        mean=moments.mean.tolist(),
        deviation=np.sqrt(moments.var + scale.epsilon).tolist(),
        clip=scale.clip_obs,
    )


def actor_of(model: PPO) -> Network:
    """Return a model's actor, whose answer to a row is the mean or the scores of its actions."""
    weights = {name: one.numpy(force=True) for name, one in model.policy.state_dict().items()}
    hidden = sorted(
        int(name.split(".")[2])
        for name in weights
        if name.startswith(f"{_ACTOR}.") and name.endswith(".weight")
    )
    names = [*(f"{_ACTOR}.{index}" for index in hidden), _HEAD]
    layers = [_layer(weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in names]
    return Network(layers, "tanh")


def _layer(weights: NDArray[Any], biases: NDArray[Any]) -> Layer:
    return weights.astype(np.float32), biases.astype(np.float32)


def save(policy: LearnedPolicy, path: Path) -> None:
    """Write a policy file beside its final place, then move it there."""
    beside = path.with_suffix(".partial")
    beside.write_bytes(policy.to_bytes())
    beside.replace(path)
