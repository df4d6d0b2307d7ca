import shutil
import subprocess

import pytest

OFFLINE = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ERR_SOCKET_TIMEOUT",
)


@pytest.fixture(scope="module")
def policy(tmp_path_factory, root):
    """The example as somebody has it who was given its folder and the proto files."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm: make parts installs it")
    folder = tmp_path_factory.mktemp("node")
    node = folder / "examples" / "node"
    unwanted = shutil.ignore_patterns("node_modules")
    shutil.copytree(root / "examples" / "node", node, ignore=unwanted)
    shutil.copytree(root / "proto", folder / "proto")
    hasty = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock")
    tries = ("--fetch-retries", "1", "--fetch-timeout", "20000")
    done = subprocess.run(
        ("npm", "install", *hasty, *tries), cwd=node, capture_output=True, text=True, timeout=100
    )
    if done.returncode and any(code in done.stderr for code in OFFLINE):
        pytest.skip("the npm registry cannot be reached")
    assert done.returncode == 0, done.stderr
    return node / "policy.mjs"


def test_a_program_in_another_language_steers_a_run_by_the_proto_files(
    policy, client, training, endless
):
    with training(client, endless) as run:
        command = ("node", policy, run.name, client.address, "10")
        program = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        decision = run.first_decision("node")
        run.advance(100)
        status = run.policy("node")

    output, errors = program.communicate(timeout=10)
    [group] = decision.groups
    assert decision.reason.startswith("mean loss ")
    assert decision.value == 0.5
    assert group.factors["node"] < 1
    assert (status.mode, status.connected, status.outcomes["failed"]) == ("async", True, 0)
    assert output.startswith("steering small from step ")
    assert output.endswith("small has ended\n")
    assert (program.returncode, errors) == (0, "")


def test_a_program_in_another_language_is_told_what_is_wrong(policy, client):
    command = ("node", policy, "nobody", client.address)

    done = subprocess.run(command, capture_output=True, text=True, timeout=10)

    assert done.returncode == 5  # NOT_FOUND
    assert "no run is named 'nobody'" in done.stderr
