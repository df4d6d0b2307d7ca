import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from rheostat.errors import InvalidSpec
from rheostat.spec.models import ModelSpec
from rheostat.trainer.data import DataDescription
from rheostat.trainer.models import build_model

DIGITS = DataDescription((1, 8, 8), 10, 100, 10)
MNIST = DataDescription((1, 28, 28), 10, 100, 10)
CIFAR10 = DataDescription((3, 32, 32), 10, 100, 10)
FEATURES = DataDescription((7,), 3, 100, 10)
NUMBERS = DataDescription((7,), None, 100, 10, target_width=2)


def build(name, example, **args):
    return build_model(ModelSpec(name=name, args=args), example)


def outputs(model, example):
    return tuple(model(torch.randn(2, *example.input_shape)).shape)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", ["mlp", "lenet5", "resnet18"])
@pytest.mark.parametrize("example", [DIGITS, MNIST, CIFAR10])
def test_built_in_models_fit_images_of_every_built_in_set(name, example):
    assert outputs(build(name, example), example) == (2, 10)


def test_mlp_has_three_hidden_layers_by_default():
    linear = [layer for layer in build("mlp", MNIST).modules() if isinstance(layer, nn.Linear)]

    assert [layer.out_features for layer in linear] == [256, 128, 64, 10]


def test_mlp_layers_can_be_chosen():
    assert parameters(build("mlp", FEATURES, hidden=[5])) == 7 * 5 + 5 + 5 * 3 + 3
    assert parameters(build("mlp", FEATURES, hidden=[])) == 7 * 3 + 3


def test_mlp_predicts_numbers_where_targets_are_numbers():
    assert outputs(build("mlp", NUMBERS), NUMBERS) == (2, 2)


@pytest.mark.parametrize("example", [MNIST, DataDescription((1, 32, 32), 10, 1, 1)])
def test_lenet5_is_the_one_of_the_paper_where_images_are_those_of_the_paper(example):
    assert parameters(build("lenet5", example)) == 61_706


@pytest.mark.parametrize("side", [4, 5, 9, 12, 20, 31, 33, 64])
def test_lenet5_fits_images_of_any_size(side):
    example = DataDescription((3, side, side + 1), 4, 1, 1)

    assert outputs(build("lenet5", example), example) == (2, 4)


def test_resnet18_keeps_the_resolution_in_its_stem():
    model = build("resnet18", CIFAR10)

    assert model.layer1(model.maxpool(model.conv1(torch.randn(1, 3, 32, 32)))).shape[2:] == (32, 32)


def test_a_torchvision_classifier_gets_the_number_of_classes():
    assert outputs(build("torchvision:mobilenet_v2", CIFAR10, width_mult=0.25), CIFAR10) == (2, 10)


def test_a_model_draws_its_weights_from_the_global_generator():
    torch.manual_seed(5)
    first = build("mlp", DIGITS)
    torch.manual_seed(5)
    second = build("mlp", DIGITS)

    assert first.head.weight.equal(second.head.weight)


@pytest.mark.parametrize(
    ("name", "example", "args", "complaint"),
    [
        ("mlp", DIGITS, {"hiddn": [5]}, r"model\.args\.hiddn = \[5\]: .*did you mean hidden\?"),
        ("mlp", DIGITS, {"hidden": [5, 0]}, r"model\.args\.hidden = \[5, 0\]: .*at least 1"),
        ("mlp", DIGITS, {"hidden": "5"}, r"model\.args\.hidden = .*a list"),
        ("mlp", DIGITS, {"example": 1}, r"model\.args\.example = 1: unknown argument"),
        ("mpl", DIGITS, {}, r"model\.name = mpl: unknown name, did you mean mlp\?"),
        ("lenet5", FEATURES, {}, r"model\.name = lenet5: a model for inputs of shape \(7,\)"),
        ("torchvision:resnet19", CIFAR10, {}, r"model\.name = torchvision:resnet19: .*resnet18"),
        ("torchvision:resnet18", MNIST, {}, r"a model for 1-channel images, such as resnet18"),
        (
            "torchvision:resnet18",
            CIFAR10,
            {"weights": "DEFAULT"},
            r"args\.weights = DEFAULT: absent",
        ),
        ("torchvision:resnet18", CIFAR10, {"num_classes": 3}, r"args\.num_classes = 3: absent"),
        (
            "torchvision:resnet18",
            CIFAR10,
            {"wdth": 3},
            r"model\.args\.wdth = 3: no such argument",
        ),
        ("no_such_module:net", DIGITS, {}, r"model\.name = no_such_module:net: cannot be imported"),
        ("math:nothing", DIGITS, {}, r"model\.name = math:nothing: no 'nothing' there"),
        ("math:pi", DIGITS, {}, r"model\.name = math:pi: a function or class, not a float"),
    ],
)
def test_what_cannot_be_built_is_refused_with_its_field(name, example, args, complaint):
    with pytest.raises(InvalidSpec, match=complaint):
        build_model(ModelSpec(name=name, args=args), example)


@pytest.fixture
def plugin(monkeypatch):
    module = ModuleType("plugin")
    monkeypatch.setitem(sys.modules, "plugin", module)
    return module


def test_a_factory_that_asks_gets_the_description_of_the_data(plugin):
    plugin.factory = lambda bias, example: nn.Linear(*example.input_shape, example.classes, bias)

    model = build("plugin:factory", FEATURES, bias=False)

    assert outputs(model, FEATURES) == (2, 3)
    assert model.bias is None


def test_a_class_that_does_not_ask_gets_its_args_alone(plugin):
    plugin.Net = nn.Linear

    assert outputs(build("plugin:Net", FEATURES, in_features=7, out_features=2), FEATURES) == (2, 2)


def test_a_factory_must_return_a_module(plugin):
    plugin.factory = dict

    with pytest.raises(InvalidSpec, match=r"a factory of torch\.nn\.Module, not of dict"):
        build("plugin:factory", FEATURES)
