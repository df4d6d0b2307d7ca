"""The real parts that some pages need: an API server with Helm, packages for Node."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNAVAILABLE = 69
"""Exit code of a script in tools/parts whose part cannot be had on this machine."""


def get_part(*command):
    """Return what a script of tools/parts prints; skip with its reason where it has no part."""
    made = subprocess.run(command, cwd=ROOT / "tools/parts", capture_output=True, text=True)
    if made.returncode == UNAVAILABLE:
        pytest.skip(made.stderr.splitlines()[-1])
    assert made.returncode == 0, made.stderr
    return made.stdout.split()


def cluster(folder):
    """Return what a page wants that has a cluster, and the lines that start one.

    Nothing controls the API server: objects are kept there, and nothing comes of them. It is older
    than the chart allows.
    """
    get_part("./kube_apiserver.sh")
    get_part("./kubectl.sh")
    helm, *_ = get_part(sys.executable, "helm.py")
    (folder / "helm").symlink_to(helm)
    server = folder / "server"
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    lines = (
        f"XDG_CACHE_HOME={cache} tools/parts/api_server.sh {server} > /dev/null &",
        f"export KUBECONFIG={server}/kubeconfig PATH={folder}:$PATH",
        "until kubectl get --raw /readyz; do sleep 0.2; done",
        f"rm helm && cp -r {ROOT}/helm helm",
        "sed -i '/^kubeVersion:/d' helm/rheostat/Chart.yaml",
    )
    return {}, lines


def node(folder):
    """Return where npm finds the packages of the example without a registry."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm: make parts installs it")
    example = shutil.copytree(
        ROOT / "examples/node", folder / "warm", ignore=shutil.ignore_patterns("node_modules")
    )
    cache = folder / "npm"
    hasty = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "1")
    command = ("npm", "install", "--cache", cache, *hasty)
    done = subprocess.run(command, cwd=example, capture_output=True, text=True, timeout=100)
    if done.returncode:
        pytest.skip("the npm registry cannot be reached")
    settings = {"cache": str(cache), "offline": "true", "audit": "false", "fund": "false"}
    return {f"npm_config_{name}": value for name, value in settings.items()}, ()


PARTS = {"cluster": cluster, "node": node}


@pytest.fixture
def parts(tmp_path_factory):
    """What a page needs: environment variables, and lines to type first."""

    def get(needs):
        variables, lines = {}, []
        for need in needs:
            more, first = PARTS[need](tmp_path_factory.mktemp(need))
            variables |= more
            lines += first
        return variables, lines

    return get
