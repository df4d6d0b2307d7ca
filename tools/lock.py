"""Write the lock files of the image, `locks/*.txt`: every package with the hashes of its files.

    python tools/lock.py            write them
    python tools/lock.py --check    say whether they still hold what pyproject.toml asks for

Versions come from `constraints.txt`, on which the tests have run. Torch has a file of its own, as
other builds of it come from other indexes with other hashes. uv (MIT or Apache-2.0) resolves for
every Python and platform at once; the check needs neither uv nor a network.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "locks"
TORCH = ("torch", "torchvision")
SBOM = ("cyclonedx-bom",)


def wanted() -> dict[str, list[str]]:
    """Return requirements by lock file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["kubernetes"]]
    return {
        "base": [one for one in asked if _name(one) not in TORCH],
        "torch": [one for one in asked if _name(one) in TORCH],
        "sbom": list(SBOM),
    }


def write() -> None:
    """Resolve and write every file."""
    LOCKS.mkdir(exist_ok=True)
    constraints = [ROOT / "constraints.txt"]
    with tempfile.TemporaryDirectory() as folder:
        for name, requirements in wanted().items():
            file, pins = Path(folder) / f"{name}.in", Path(folder) / f"{name}.pins"
            file.write_text("\n".join(requirements) + "\n")
            given = [] if name == "sbom" else [f"--constraint={one}" for one in constraints]
            subprocess.run(
                [
                    *("uv", "pip", "compile", "--quiet", "--generate-hashes", "--universal"),
                    *(
                        "--python-version=3.11",
                        "--no-header",
                        "--no-annotate",
                        "--no-emit-index-url",
                    ),
                    *("--no-emit-find-links", *given, f"--output-file={LOCKS / name}.txt", file),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            # What two files share has one version.
            pins.write_text("\n".join(f"{one}=={version}" for one, version in locked(name).items()))
            constraints.append(pins)


def locked(name: str) -> dict[str, str]:
    """Return versions by the name of the package."""
    text = (LOCKS / f"{name}.txt").read_text()
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE))


def stale() -> list[str]:
    """Return what the files lack, or have in another version than the tests."""
    tested = dict(re.findall(r"^([^=\s]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.M))
    tested = {_name(one): version for one, version in tested.items()}
    found = []
    for name, requirements in wanted().items():
        versions = {_name(one): version for one, version in locked(name).items()}
        found += [f"{name}: no {one}" for one in requirements if _name(one) not in versions]
        if name != "sbom":
            found += [
                f"{name}: {one}=={version}, but constraints.txt has {tested[one]}"
                for one, version in versions.items()
                if tested.get(one, version) != version
            ]
    return found


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s;<>=!~\[]", requirement, maxsplit=1)[0]).lower()


if __name__ == "__main__":
    if "--check" not in sys.argv:
        write()
    if problems := stale():
        sys.exit("\n".join([*problems, "run: python tools/lock.py"]))
