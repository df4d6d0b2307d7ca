"""What `helm test` does, in the product's image: halve the LR of a run, read it back, undo it."""

import json
import os
import subprocess
import sys
import time

HALF = 0.5


def ask(*arguments):
    """Return the JSON answer of a `rheostat` command."""
    done = subprocess.run(["rheostat", *arguments, "--json"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"rheostat {' '.join(arguments)} failed:\n{done.stderr.strip()}")
    return json.loads(done.stdout)


def running_run(wanted, seconds):
    """Return the wanted run, or the first there is, once it is running."""
    deadline = time.monotonic() + seconds
    while True:
        runs = [one for one in ask("runs", "list") if wanted in ("", one["run"])]
        for one in runs:
            if one["phase"] == "running":
                return one["run"]
        if time.monotonic() > deadline:
            found = ", ".join(f"{one['run']} is {one['phase']}" for one in runs) or "there is none"
            sys.exit(f"no run to steer within {seconds} s: {found}")
        time.sleep(1)


def operators(run):
    """Return what the people's changes multiply each group's LR by."""
    return {group["name"]: group["operator"] for group in ask("lr", "show", run)["groups"]}


def main():
    """Steer, and exit with 1 and the reason if it did not work."""
    run = running_run(os.environ["RUN"], float(os.environ["TIMEOUT_SECONDS"]))
    before = operators(run)
    answer = ask("lr", "scale", run, str(HALF), "--reason", "helm test")
    try:
        after = operators(run)
    finally:
        ask("lr", "scale", run, str(1 / HALF), "--reason", "helm test: undone")
    for group in answer["groups"]:
        name = group["name"]
        print(f"{run}, group {name}: {group['old']} -> {group['new']}", end=" ")
        print(f"at step {answer['applied_step']}, revision {answer['revision']}")
    expected = {name: factor * HALF for name, factor in before.items()}
    if after != expected:
        sys.exit(f"expected the factors {expected} after halving, but read back {after}")
    print("halved, read back, and undone")


if __name__ == "__main__":
    main()
