"""From the `model` section of a spec to a network."""

from collections.abc import Mapping

from torch import nn

from rheostat.spec.models import ModelSpec
from rheostat.trainer.data.factories import Factory, FactoryKind
from rheostat.trainer.data.records import DataDescription
from rheostat.trainer.models.gpt import gpt
from rheostat.trainer.models.hugging_face import hugging_face
from rheostat.trainer.models.lenet5 import lenet5
from rheostat.trainer.models.mlp import mlp
from rheostat.trainer.models.resnet18 import resnet18
from rheostat.trainer.models.torchvision_builders import find_builder

BUILTINS: Mapping[str, Factory] = {
    "gpt": gpt,
    "hugging_face": hugging_face,
    "lenet5": lenet5,
    "mlp": mlp,
    "resnet18": resnet18,
}
"""Models by the name a spec uses, besides `torchvision:<builder>`."""

MODEL = FactoryKind(section="model", builtins=BUILTINS, entry_points="rheostat.models")


def build_model(spec: ModelSpec, example: DataDescription) -> nn.Module:
    """Build the network a spec names, with fresh weights drawn from torch's global generator.

    Every factory is called with the spec's `args`, and with the description of the data where its
    signature has the keyword `example`.

    Raises:
        InvalidSpec: the name or an argument is unknown, or the model does not suit the data.
    """
    prefix, _, builder = spec.name.partition(":")
    factory = find_builder(builder) if prefix == "torchvision" else MODEL.find(spec.name)
    model = MODEL.call(factory, spec.args, {"example": example})
    if not isinstance(model, nn.Module):
        made = type(model).__name__
        raise MODEL.invalid_name(spec.name, f"a factory of torch.nn.Module, not of {made}")
    return model
