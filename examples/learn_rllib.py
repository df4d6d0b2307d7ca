"""Train a controller by PPO of Ray RLlib, on as many machines as the Ray cluster has.

pip install 'rheostat[learn,ray]'
python examples/learn_rllib.py --runners 8 --updates 100 --out controller.safetensors

The environment is the one that `rheostat learn ppo` uses, and what comes out is the same kind of
file: attach it as `learned`. Unlike that command this one cannot be repeated to the last bit, since
its episodes arrive in the order in which the machines finish them.
"""

import argparse
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.tune.registry import register_env

from rheostat_policies.learned.answers import Anchored
from rheostat_policies.learned.network import Network
from rheostat_policies.learned.normaliser import Normaliser
from rheostat_policies.learned.policy_file import LearnedPolicy

ENVIRONMENT: dict[str, Any] = {
    "tasks": [
        {
            "spec": {
                "name": "digits",
                "model": {"name": "mlp", "args": {"hidden": [64, 32]}},
                "data": {"name": "digits", "batch_size": 16, "validation": 0.5},
                "optimizer": {"name": "Adam"},
                "schedule": {"name": "OneCycleLR", "args": {"cycle_momentum": False}},
                "train": {"steps": 200},
            },
            "lrs": [3e-3, 1e-2, 3e-2],
        }
    ],
    "every": 10,
    "reach": 1.3,
    "paid": "end",
    # Ratios and logarithms, which lie around 0 as they are: RLlib is shown them without a scale.
    "features": ["progress", "train_loss_drop", "train_loss_fall", "train_loss_trend", "log_base"],
}
HIDDEN = [16, 16]


def make_environment(settings: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """Make the environment, which RLlib wants flat: so the runs have one param group."""
    made = gymnasium.make("rheostat.learning:rheostat/LearningRate-v0", **settings)
    return gymnasium.wrappers.FlattenObservation(made)


def configuration(settings: dict[str, Any], runners: int, batch: int = 960) -> PPOConfig:
    """Return what RLlib is told.

    Args:
        settings: of the environment.
        runners: processes that collect episodes; 0 is this one.
        batch: actions between two updates.
    """
    register_env("rheostat", make_environment)
    return (
        PPOConfig()
        .environment("rheostat", env_config=settings)
        .env_runners(num_env_runners=runners, batch_mode="complete_episodes")
        .training(
            gamma=1.0,
            lambda_=1.0,
            lr=1e-3,
            train_batch_size_per_learner=batch,
            minibatch_size=batch // 4,
            num_epochs=5,
        )
        .rl_module(
            model_config=DefaultModelConfig(
                fcnet_hiddens=HIDDEN, fcnet_activation="tanh", vf_share_layers=False
            )
        )
    )


def policy_of(algorithm: Algorithm, settings: dict[str, Any], updates: int) -> LearnedPolicy:
    """Return what the actor of an algorithm does, to be saved."""
    weights = algorithm.get_module().get_state()
    encoder = sorted(name for name in weights if name.startswith("encoder.actor_encoder."))
    (head,) = (name for name in weights if name.startswith("pi.") and name.endswith("weight"))
    names = [*(name for name in encoder if name.endswith("weight")), head]
    layers = [(weights[name], weights[name.replace("weight", "bias")]) for name in names]
    # The head's second output is the logarithm of a deviation, of use in training alone.
    layers[-1] = (layers[-1][0][:1], layers[-1][1][:1])
    features = tuple(settings["features"])
    return LearnedPolicy(
        every=settings["every"],
        features=features,
        normaliser=Normaliser(mean=[0.0] * len(features), deviation=[1.0] * len(features)),
        network=Network([(np.float32(one), np.float32(two)) for one, two in layers], "tanh"),
        answers=Anchored(reach=settings["reach"]),
        provenance={"algorithm": "ppo, by Ray RLlib", "updates": updates},
        configuration=settings,
    )


def main() -> None:
    """Train, and write the policy file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runners", type=int, default=2)
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--out", type=Path, default=Path("controller.safetensors"))
    args = parser.parse_args()
    algorithm = configuration(ENVIRONMENT, args.runners).build_algo()
    for update in range(args.updates):
        result = algorithm.train()
        paid = result["env_runners"].get("episode_return_mean", float("nan"))
        print(f"update {update + 1}/{args.updates}  improvement {paid:+.4f}")
    args.out.write_bytes(policy_of(algorithm, ENVIRONMENT, args.updates).to_bytes())
    algorithm.stop()


if __name__ == "__main__":
    main()
