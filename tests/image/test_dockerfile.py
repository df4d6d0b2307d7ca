"""The Dockerfile before anything is built from it."""

import subprocess
from pathlib import Path

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"


def check(*command):
    done = subprocess.run([*command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_finds_nothing(linters):
    check(linters / "hadolint", DOCKERFILE)


def test_checkov_finds_nothing(linters):
    options = ("--framework=dockerfile", "--compact", "--quiet", "--skip-download")
    check(linters / "checkov", "--file", DOCKERFILE, *options)
