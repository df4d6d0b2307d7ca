import json
import subprocess
import sys

from ruamel.yaml import YAML


def test_the_example_steers_a_run_of_digits_until_it_ends(client, training, root):
    example = (root / "examples" / "remote_policy.py", "digits", client.address)
    spec = YAML(typ="safe").load(root / "examples" / "digits.yaml")
    spec["model"]["args"] = {"hidden": [32]}  # to be quick
    spec["optimizer"]["lr"] = 1e-2  # and restless, so that it is over its best loss soon

    with training(client, json.dumps(spec)) as run:
        program = subprocess.Popen((sys.executable, *example), stderr=subprocess.PIPE, text=True)
        decision = run.first_decision("patient")

    _, errors = program.communicate(timeout=10)
    [group] = decision.groups
    assert decision.reason.startswith("validation loss 0.")
    assert group.factors["patient"] < 1
    assert (program.returncode, errors) == (0, "")
