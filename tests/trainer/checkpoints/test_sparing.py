"""A trainer that compiles nothing does without torch's compiler, which takes a second to import."""

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

TRAIN = """
    import sys
    from pathlib import Path
    from tests.trainer.checkpoints.conftest import Run

    for name, args in {"AdamW": {}, "SGD": {"momentum": 0.9}, "RMSprop": {}}.items():
        spec = {
            "model": {"name": "mlp", "args": {"hidden": [16]}},
            "optimizer": {"name": name, "lr": 0.01, "args": args},
            "train": {"steps": 20, "device": "cpu", "compile": False},
            "checkpoint": {"every": 10},
        }
        folder = Path(sys.argv[1]) / name
        folder.mkdir()
        Run(folder, spec).begin().finish()
        print(name, "torch._dynamo" in sys.modules)
"""


def test_steps_and_checkpoints_are_made_without_the_compiler(tmp_path):
    """That a run which is compiled has it is seen where one is compiled, in `test_exactness`."""
    command = [sys.executable, "-c", textwrap.dedent(TRAIN), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["AdamW False", "SGD False", "RMSprop False"]
