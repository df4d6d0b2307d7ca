"""One run of a comparison, from its spec to what it came to."""

import hashlib
import math
from dataclasses import dataclass
from functools import cache

from rheostat.errors import InvalidSpec
from rheostat.learning.child import read_data
from rheostat.spec.models import DataSpec, Spec
from rheostat.trainer.building import VALIDATION_BATCH, Parts, build
from rheostat.trainer.data import Data, load_data
from rheostat.trainer.data.batches import validation_batches
from rheostat.trainer.data.resident import ready_for_many
from rheostat.trainer.learning import NonFiniteLoss
from rheostat.trainer.loop import Loop
from rheostat.trainer.modes import evaluating
from rheostat.trainer.peers import Nobody
from rheostat.trainer.ranks import Alone
from rheostat.trainer.tallying import validate


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to."""

    validation_loss: float
    """After the last step; of the untrained model where the run diverged."""
    validation_accuracy: float | None
    test_loss: float | None
    """None where the data set has no test split of its own, or nobody looked."""
    test_accuracy: float | None
    diverged: bool
    learning_rates: tuple[float, ...]
    """Of the first group, in the last step of each window."""
    factors: tuple[float, ...]
    """The same over what the schedule alone asked for; 1 where that is 0."""


GENERATION = 1
"""Raised when equal specs come to train differently: results of another are not found again."""
_SHAPES_A_RUN = set(Spec.model_fields) - {"name", "checkpoint"}


def fingerprint(spec: Spec, policy: bytes) -> str:
    """Return what a run is known by: all that its result depends on but machine and versions.

    What stands at its default is left out, so that results outlive fields that a spec gains later.

    Args:
        spec: of the run; where its data lie does not matter, nor what it is called or keeps.
        policy: content of the policy file that it names, empty where it names none.
    """
    data = spec.data.model_copy(update={"root": None})
    policies = tuple(
        one.model_copy(update={"args": {**one.args, "file": ""}}) if "file" in one.args else one
        for one in spec.policies
    )
    bare = spec.model_copy(update={"data": data, "policies": policies})
    said = bare.model_dump_json(include=_SHAPES_A_RUN, exclude_defaults=True)
    return hashlib.sha256(f"{GENERATION} {said}".encode() + policy).hexdigest()


def run_trial(spec: Spec, every: int, *, is_tested: bool = True) -> Outcome:
    """Train a run to its end.

    Args:
        spec: of the run.
        every: steps of a window.
        is_tested: whether to look at the test split, if there is one.

    Raises:
        InvalidSpec: if it cannot be run.
    """
    parts = build(spec, spec.name, data=read_data(spec.data))
    loop = Loop(parts, Nobody(), Alone())
    rates: list[float] = []
    factors: list[float] = []
    try:
        while loop.step < parts.steps:
            loop.advance(every)
            rate, base = parts.steering.learning_rates[0], parts.steering.bases[0]
            rates.append(rate)
            factors.append(rate / base if base else 1.0)
        loss, accuracy = _look(parts, parts.data)
        diverged = not math.isfinite(loss)
    except NonFiniteLoss:
        diverged = True
    test_loss = test_accuracy = None
    if diverged:
        loss, accuracy = _look(build(spec, spec.name, data=parts.data), parts.data)
    elif is_tested and (tested := _test_data(spec.data)) is not None:
        test_loss, test_accuracy = _look(parts, tested)
    return Outcome(
        validation_loss=loss,
        validation_accuracy=accuracy,
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        diverged=diverged,
        learning_rates=tuple(rates),
        factors=tuple(factors),
    )


def _look(parts: Parts, data: Data) -> tuple[float, float | None]:
    """Return a model's loss and accuracy on what is set aside in some data."""
    batches = validation_batches(data, VALIDATION_BATCH, parts.device)
    with evaluating(parts.model, parts.optimizer):
        return validate(parts.model, parts.loss, batches)


def _test_data(spec: DataSpec) -> Data | None:
    """Return the data with the test split set aside; None where there is no such split."""
    return _read_test(spec.model_copy(update={"batch_size": 1}).model_dump_json())


@cache
def _read_test(document: str) -> Data | None:
    spec = DataSpec.model_validate_json(document)
    own = load_data(spec)
    try:
        tested = load_data(spec.model_copy(update={"validation": "test"}))
    except InvalidSpec:
        return None
    # Normalised by what the model learns from, which is less than all that is there to learn from.
    return ready_for_many(Data(own.train, tested.validation, own.description))
