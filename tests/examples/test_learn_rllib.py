"""The RLlib example trains, and what comes out answers in numpy as it does in RLlib."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from rheostat_policies.learned.policy_file import read_policy_file

EXAMPLES = Path(__file__).parents[2] / "examples"
# In a process of its own: Ray starts others, and warns of its own deprecations.
TRAIN = """
import sys
from pathlib import Path

import numpy as np
import torch

from learn_rllib import ENVIRONMENT, configuration, policy_of

spec = {**ENVIRONMENT["tasks"][0]["spec"], "train": {"steps": 40}}
settings = {**ENVIRONMENT, "tasks": [{"spec": spec}]}
algorithm = configuration(settings, runners=0, batch=12).build_algo()
assert np.isfinite(algorithm.train()["env_runners"]["episode_return_mean"])
policy = policy_of(algorithm, settings, updates=1)
rows = np.random.default_rng(0).normal(size=(8, len(policy.features))).astype(np.float32)
theirs = algorithm.get_module().forward_inference({"obs": torch.from_numpy(rows)})
means = theirs["action_dist_inputs"][:, :1].detach().numpy()
assert np.allclose(policy.network(rows), means, atol=1e-5), (policy.network(rows), means)
Path(sys.argv[1]).write_bytes(policy.to_bytes())
algorithm.stop()
"""


@pytest.mark.timeout(300)
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is large: pip install 'rheostat[ray]'")
def test_it_trains_a_controller_whose_file_answers_as_its_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(tmp_path / "a.policy")],
        capture_output=True,
        text=True,
        cwd=EXAMPLES,
        timeout=280,
    )

    assert done.returncode == 0, done.stderr
    policy = read_policy_file(tmp_path / "a.policy")
    assert policy.features[0] == "progress"
    assert policy.every == 10
