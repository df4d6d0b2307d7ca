"""The mistakes in a spec that only torch, the data and the model can see."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from pydantic import ValidationError

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.groups import GROUP_ENTRY, GroupEntry, OptimizerSpec
from rheostat.spec.models import DataSpec, ModelSpec, TrainSpec
from rheostat.spec.section import Section, salvaged
from rheostat.trainer.activations import forget_activations
from rheostat.trainer.data import load_data
from rheostat.trainer.data.batches import make_batches
from rheostat.trainer.devices import find_device
from rheostat.trainer.groups import make_groups
from rheostat.trainer.losses import find_loss
from rheostat.trainer.models import build_model
from rheostat.trainer.optimizers import check_arguments, make_optimizer
from rheostat.trainer.precision import check_precision, check_scaling
from rheostat.trainer.ring import lag_of

S = TypeVar("S", bound=Section)
T = TypeVar("T")


def check(document: Mapping[str, Any]) -> list[Violation]:
    """Return every mistake in the fields that are well-formed by themselves.

    Those that do not parse are passed over here: `spec.validation` has named their mistakes.
    Each check goes as far as what it builds on stands, so one bad name hides as little as possible.
    """
    violations: list[Violation] = []

    def attempt(build: Callable[[], T]) -> T | None:
        try:
            return build()
        except InvalidSpec as error:
            violations.extend(error.violations)
            return None

    train = _section(TrainSpec, document.get("train"))
    if train is not None:
        device = attempt(lambda: find_device(train.device))
        if device is not None:
            attempt(lambda: check_precision(train.precision, device))
        attempt(lambda: find_loss(train.loss))
    data_spec = _section(DataSpec, document.get("data"))
    data = attempt(lambda: load_data(data_spec)) if data_spec else None
    if data is not None and data_spec is not None:
        size, cpu = data_spec.batch_size, torch.device("cpu")
        attempt(lambda: make_batches(data, size, 0, cpu, data_spec))
    model_spec = _section(ModelSpec, document.get("model"))
    model = None
    if model_spec is not None and data is not None:
        model = attempt(lambda: build_model(model_spec, data.description))
    if model is not None and train is not None:
        attempt(lambda: forget_activations(model, train.activation_checkpointing))
    entries = list(_entries(document.get("groups")))
    optimizer = _section(OptimizerSpec, document.get("optimizer"))
    if optimizer is not None:
        cls = attempt(lambda: check_arguments(optimizer, entries))
        groups = None
        if model is not None and len(entries) == len(document.get("groups") or ()):
            groups = attempt(lambda: make_groups(model, [entry for _, entry in entries]))
        if cls is not None and groups is not None:
            may_fuse = train is not None and not train.compile
            made = attempt(lambda: make_optimizer(optimizer, groups, may_fuse=may_fuse))
            if made is not None and train is not None:
                attempt(lambda: check_scaling(train.precision, made))
                attempt(lambda: lag_of(train, made, torch.device("cpu")))
    return violations


def _section(model: type[S], value: Any) -> S | None:
    return salvaged(model, {} if value is None else value)


def _entries(value: Any) -> Iterator[tuple[int, GroupEntry]]:
    for index, one in enumerate(value if isinstance(value, list) else ()):
        try:
            yield index, GROUP_ENTRY.validate_python(one)
        except ValidationError:
            continue
