"""Forks of runs that scripts train: each waits until a script is started under its name."""

import json
from collections.abc import Iterator
from typing import Any

from rheostat.errors import FailedPrecondition, InvalidSpec, Violation
from rheostat.runs.records import GENERATORS, STEERING, RunView
from rheostat.runs.starting import RUN_VARIABLE
from rheostat.spec.admission import Admission
from rheostat.spec.attached import AttachedSpec, attached_spec
from rheostat.spec.loading import read_document
from rheostat.spec.wording import field_path, written

_SETTABLE = ("name", "policies", "guardrails", "train")
_SCRIPTS_OWN = (
    "what the script itself sets: change it there, or steer the fork's LR while it trains "
    "(rheostat lr, rheostat schedule)"
)


def load_fork(text: str, parent: RunView) -> AttachedSpec:
    """Return what a fork is to be, of a run that a script trains.

    Args:
        text: YAML or JSON: the parent's spec with changes, or the changes alone.
        parent: the run that is forked.

    Raises:
        InvalidSpec: with every mistake, and all that only the script can say otherwise.
    """
    document = read_document(text, "spec")
    said = {key: value for key, value in json.loads(parent.spec).items() if key not in _SETTABLE}
    asked = {key: value for key, value in document.items() if key not in _SETTABLE}
    if differing := list(_differing(said, asked, ())):
        raise InvalidSpec(
            Violation(field_path(path), written(value), _SCRIPTS_OWN) for path, value in differing
        )
    return attached_spec(said | document)


def check_admission(admission: Admission, parsed: AttachedSpec, parent: AttachedSpec) -> None:
    """Refuse policies that the script has not named itself, and that nobody may name from afar.

    Raises:
        InvalidSpec: with every such place.
    """
    refused = [
        violation
        for index, policy in enumerate(parsed.policies)
        if policy not in parent.policies
        for violation in admission.violations(policy.model_dump(mode="json"), f"policies[{index}]")
    ]
    if refused:
        raise InvalidSpec(refused)


def differences_of_scripts(before: AttachedSpec, after: AttachedSpec) -> Iterator[str]:
    """Yield what the checkpoint of a run cannot say of a fork with another spec."""
    steering = [(one.policies, one.guardrails, one.train.steps) for one in (before, after)]
    if steering[0] != steering[1]:
        yield STEERING
    if before.train.seed != after.train.seed:
        yield GENERATORS


def spec_of_fork(fork: RunView, said: AttachedSpec) -> AttachedSpec:
    """Return what a fork is, once its script has said what it is itself.

    What was asked for when it was forked counts over what the script says.
    """
    asked, anew = (
        AttachedSpec.model_validate_json(fork.spec),
        fork.origin.anew if fork.origin else (),
    )
    train = said.train
    if STEERING in anew:
        train = train.model_copy(update={"steps": asked.train.steps or train.steps})
        said = said.model_copy(update={"policies": asked.policies, "guardrails": asked.guardrails})
    if GENERATORS in anew:
        train = train.model_copy(update={"seed": asked.train.seed})
    return said.model_copy(update={"train": train})


def require_restore(fork: RunView, *, restores: bool) -> None:
    """Refuse a script that cannot be brought to where a fork begins.

    Raises:
        FailedPrecondition: in that case.
    """
    if fork.origin is not None and not restores:
        raise FailedPrecondition(
            f"run {fork.name} begins at a checkpoint of {fork.origin.run}, and the script has not "
            "said how it is brought there: attach it with save=... and restore=..., functions of a "
            "folder, or under another name"
        )


def how_to_begin(run: str) -> str:
    """Return what to do for a fork that waits for its script."""
    return (
        f"It begins when its script is started under its name: {RUN_VARIABLE}={run} python "
        f"script.py, or rheostat.attach(..., name={run!r})"
    )


def _differing(
    before: Any, after: Any, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each value of a document that is not as it was, with its place."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in after.items():
            yield from _differing(before.get(key), value, (*path, str(key)))
    elif before != after:
        yield path, after
