"""A training's progress on disk, so that it can go on after it was interrupted.

One folder per checkpoint, `<updates>`, with the model as stable-baselines3 saves it and the scale
of observations and rewards as JSON. The model's file can hold Python objects: resume none but your
own. What is made to be passed on is the policy file.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from rheostat.errors import FailedPrecondition

KEPT = 2
MODEL_FILE = "model.zip"
STATE_FILE = "state.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place to go on from."""

    folder: Path
    updates: int
    """Updates of the network so far."""


def save(model: PPO, scale: VecNormalize, updates: int, fingerprint: str, folder: Path) -> None:
    """Write a checkpoint, whole or not at all, and drop all but the newest two.

    Args:
        model: what is trained.
        scale: of its observations and rewards.
        updates: so far.
        fingerprint: of the configuration, which must be the same when it goes on.
        folder: where checkpoints are kept.
    """
    place = folder / f"{updates:08d}"
    beside = folder / "partial"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    model.save(beside / MODEL_FILE)
    state = {
        "fingerprint": fingerprint,
        "observations": _moments(scale.obs_rms),
        "returns": _moments(scale.ret_rms),
    }
    (beside / STATE_FILE).write_text(json.dumps(state))
    shutil.rmtree(place, ignore_errors=True)
    beside.replace(place)
    for old in _all(folder)[:-KEPT]:
        shutil.rmtree(old.folder)


def newest(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint in a folder, None where there is none."""
    found = _all(folder)
    return found[-1] if found else None


def restore(checkpoint: Checkpoint, model: PPO, scale: VecNormalize, fingerprint: str) -> None:
    """Bring a fresh model and scale to where a checkpoint was written.

    Raises:
        FailedPrecondition: if it was written by a training with another configuration.
    """
    state = json.loads((checkpoint.folder / STATE_FILE).read_text())
    if state["fingerprint"] != fingerprint:
        raise FailedPrecondition(
            f"{checkpoint.folder} belongs to another configuration; resume with that one, or "
            "choose another --out"
        )
    saved = PPO.load(checkpoint.folder / MODEL_FILE, device="cpu")
    parameters: Any = saved.get_parameters()  # nested deeper than its type says
    model.set_parameters(parameters, device="cpu")
    model.num_timesteps = saved.num_timesteps
    model._n_updates = saved._n_updates
    scale.obs_rms = _read_moments(state["observations"])  # type: ignore[assignment]
    scale.ret_rms = _read_moments(state["returns"])


def _all(folder: Path) -> list[Checkpoint]:
    places = sorted(one for one in folder.glob("*") if one.name.isdigit())
    return [Checkpoint(place, int(place.name)) for place in places]


def _moments(moments: Any) -> dict[str, Any]:
    return {
        "mean": np.asarray(moments.mean).tolist(),
        "variance": np.asarray(moments.var).tolist(),
        "count": float(moments.count),
    }


def _read_moments(state: dict[str, Any]) -> RunningMeanStd:
    moments = RunningMeanStd(shape=np.shape(state["mean"]))
    moments.mean = np.array(state["mean"], dtype=np.float64)
    moments.var = np.array(state["variance"], dtype=np.float64)
    moments.count = state["count"]
    return moments
