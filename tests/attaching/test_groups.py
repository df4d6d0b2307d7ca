"""What the param groups of a script are called."""

import pytest
import torch
from torch import nn

from rheostat.attaching.groups import describe_groups
from rheostat.errors import InvalidRequest


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)))


def names(optimizer, *said, **more):
    return [group.name for group in describe_groups(optimizer, *said, **more)]


def test_the_only_group_is_the_default(model):
    assert names(torch.optim.SGD(model.parameters(), lr=0.1)) == ["default"]


def test_a_group_is_called_as_the_script_calls_it(model):
    groups = [
        {"params": model[0].parameters(), "name": "body"},
        {"params": model[1].parameters(), "name": "head"},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1)

    assert names(optimizer) == ["body", "head"]
    assert names(optimizer, ["first", "second"]) == ["first", "second"]


def test_a_group_is_called_after_the_module_that_all_of_it_is_in(model):
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.1)

    assert names(optimizer) == ["group_0", "group_1"]
    assert names(optimizer, param_names=model) == ["0", "1"]
    assert names(optimizer, param_names=model.named_parameters()) == ["0", "1"]
    described = describe_groups(optimizer, param_names=model)
    assert described[1].names == ("1.0.weight", "1.0.bias", "1.1.weight", "1.1.bias")
    assert (described[1].tensors, described[1].parameters) == (4, 21)


def test_an_optimizer_that_was_given_names_knows_them(model):
    groups = [
        {"params": list(model[0].named_parameters(prefix="body"))},
        {"params": list(model[1].named_parameters(prefix="head"))},
    ]

    assert names(torch.optim.SGD(groups, lr=0.1)) == ["body", "head"]


def test_groups_that_share_their_modules_are_numbered(model):
    weights = [one for one in model.parameters() if one.ndim == 2]
    biases = [one for one in model.parameters() if one.ndim == 1]
    optimizer = torch.optim.SGD([{"params": weights}, {"params": biases}], lr=0.1)

    assert names(optimizer, param_names=model) == ["group_0", "group_1"]


@pytest.mark.parametrize("said", [["one"], ["same", "same"], ["", "other"], [1, 2]])
def test_names_are_one_for_each_group_and_each_another(model, said):
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters()}]
    with pytest.raises(InvalidRequest, match="groups"):
        names(torch.optim.SGD(groups, lr=0.1), said)
