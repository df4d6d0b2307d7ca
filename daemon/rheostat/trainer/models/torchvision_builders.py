"""Every image classifier of torchvision, as `torchvision:<builder>`."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from torch import nn

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.arguments import check_arguments
from rheostat.spec.wording import written
from rheostat.trainer.data.factories import Factory
from rheostat.trainer.data.records import DataDescription
from rheostat.trainer.models.images import image_shape

_NOT_TO_GIVE = {
    "weights": "absent; nothing is ever downloaded",
    "weights_backbone": "absent; nothing is ever downloaded",
    "num_classes": "absent; the data tell it",
}


def find_builder(builder: str) -> Factory:
    """Return the factory of one of torchvision's classifiers.

    Raises:
        InvalidSpec: torchvision has no classifier of that name.
    """
    # Imported here because torchvision takes longer to import than most models to build.
    from torchvision import models

    # The top module lists the classifiers; detectors and the like sit in modules below it.
    known = models.list_models(module=models)
    if builder not in known:
        similar = get_close_matches(builder, known) or ["resnet50"]
        expected = f"a classifier of torchvision, such as {', '.join(similar)}"
        raise InvalidSpec([Violation("model.name", f"torchvision:{builder}", expected)])

    def build(*, example: DataDescription, **args: Any) -> nn.Module:
        _check_args(models.get_model_builder(builder), args)
        _check_channels(builder, example)
        model: nn.Module = models.get_model(
            builder, weights=None, num_classes=example.outputs, **args
        )
        return model

    return build


def _check_args(builder: Factory, args: Mapping[str, Any]) -> None:
    violations = [
        Violation(f"model.args.{name}", written(args[name]), expected)
        for name, expected in _NOT_TO_GIVE.items()
        if name in args
    ]
    others = {name: value for name, value in args.items() if name not in _NOT_TO_GIVE}
    violations += check_arguments(builder, others, path="model.args")
    if violations:
        raise InvalidSpec(violations)


def _check_channels(builder: str, example: DataDescription) -> None:
    channels, _, _ = image_shape(example, f"torchvision:{builder}", smallest=1)
    if channels != 3:
        expected = f"a model for {channels}-channel images, such as resnet18; this one takes 3"
        raise InvalidSpec([Violation("model.name", f"torchvision:{builder}", expected)])
