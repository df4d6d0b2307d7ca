import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTO = Path(__file__).parents[2] / "proto"
BUF = shutil.which("buf", path=Path(sys.executable).parent) or shutil.which("buf")


@pytest.mark.skipif(BUF is None, reason="buf is not installed; pip install '.[dev]' brings it")
@pytest.mark.parametrize("command", [["lint"], ["format", "--diff", "--exit-code"]])
def test_the_contract_keeps_buf_s_rules(command):
    done = subprocess.run([BUF, *command], cwd=PROTO, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")
