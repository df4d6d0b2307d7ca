"""A trainer that compiles nothing does without torch's compiler, which takes a second to import."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

TRAIN = """
    import sys
    from pathlib import Path
    from tests.trainer.checkpoints.conftest import Run

    spec = {
        "model": {"name": "mlp", "args": {"hidden": [16]}},
        "optimizer": {"name": sys.argv[2], "lr": 0.01, "args": eval(sys.argv[3])},
        "train": {"steps": 20, "device": "cpu", "compile": eval(sys.argv[4])},
        "checkpoint": {"every": 10},
    }
    Run(Path(sys.argv[1]), spec).begin().finish()
    print("torch._dynamo" in sys.modules)
"""


def imports_compiler(folder: Path, optimizer: str, args: str = "{}", mode: str = "False") -> str:
    code = textwrap.dedent(TRAIN)
    command = [sys.executable, "-c", code, str(folder), optimizer, args, mode]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("optimizer", "args"), [("AdamW", "{}"), ("SGD", "{'momentum': 0.9}"), ("RMSprop", "{}")]
)
def test_steps_and_checkpoints_are_made_without_the_compiler(tmp_path, optimizer, args):
    assert imports_compiler(tmp_path, optimizer, args) == "False"


def test_a_run_that_is_compiled_has_it(tmp_path):
    assert imports_compiler(tmp_path, "SGD", mode="True") == "True"
