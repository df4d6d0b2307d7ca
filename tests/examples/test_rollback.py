"""The example that goes back by itself holds what the documentation claims of it."""

import json
import math
import subprocess
import sys


def test_with_rollback_it_ends_where_the_undisturbed_one_does_and_without_it_does_not(
    root, tmp_path
):
    picture = tmp_path / "rollback.svg"
    done = subprocess.run(
        (sys.executable, str(root / "tools" / "draw_rollback.py"), "--output", str(picture)),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    loss = {name: one["validation_loss"] for name, one in figures.items()}

    assert figures["with-rollback"]["phase"] == "succeeded"
    # One for each harm; on a slow disk the newest checkpoint is older, and it may take another.
    assert figures["with-rollback"]["rollbacks"] in (2, 3)
    assert abs(loss["with-rollback"] / loss["undisturbed"] - 1) < 0.02
    assert figures["without"] == {
        "phase": "failed",
        "validation_loss": math.inf,
        "rollbacks": 0,
    }
    assert picture.read_text().startswith("<?xml")
