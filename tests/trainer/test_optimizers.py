"""The optimizer a spec names, or the several, over the groups of a model."""

from typing import Any

import pytest
from torch import nn
from torch.optim import SGD, AdamW, Muon, Optimizer

from rheostat.errors import InvalidSpec
from rheostat.spec.groups import GROUP_ENTRY, GroupEntry, OptimizerSpec
from rheostat.trainer.groups import make_groups
from rheostat.trainer.optimizers import check_arguments, lrs_of, make_optimizer, parts_of
from rheostat.trainer.split import SplitOptimizer


def a_model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))


def entries(*given: dict[str, Any]) -> list[GroupEntry]:
    return [GROUP_ENTRY.validate_python(entry) for entry in given]


def optimizer_of(spec: OptimizerSpec, *given: dict[str, Any]) -> Optimizer:
    return make_optimizer(spec, make_groups(a_model(), entries(*given)))


def test_groups_with_the_runs_optimizer_share_one() -> None:
    optimizer = optimizer_of(OptimizerSpec(), {"name": "biases", "match": "bias", "lr_scale": 2})

    assert type(optimizer) is AdamW
    assert len(optimizer.param_groups) == 2


def test_muon_and_adamw_step_as_one_in_the_order_of_the_groups() -> None:
    spec = OptimizerSpec(lr=0.01, args={"weight_decay": 0.3})
    given = entries(
        {"name": "first", "match": "^0"},
        {"preset": "muon_2d", "lr": 0.2, "args": {"momentum": 0.8}},
    )
    groups = make_groups(a_model(), given)

    optimizer = make_optimizer(spec, groups)

    assert isinstance(optimizer, SplitOptimizer)
    assert [type(part) for part in parts_of(optimizer)] == [AdamW, Muon]
    assert [group.name for group in groups] == ["first", "first.muon", "default", "default.muon"]
    assert [group.get("momentum") for group in optimizer.param_groups] == [None, 0.8, None, 0.8]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.1, 0.3, 0.1]
    assert lrs_of(groups, optimizer) == [0.01, 0.2, 0.01, 0.2]
    for group, carrier in zip(groups, optimizer.param_groups, strict=True):
        assert [
            one is two for (_, one), two in zip(group.parameters, carrier["params"], strict=True)
        ]


def test_an_optimizer_without_an_lr_has_that_of_its_class() -> None:
    own = {"name": "first", "match": "^0", "optimizer": {"name": "SGD"}}
    groups = make_groups(a_model(), entries(own))

    optimizer = make_optimizer(OptimizerSpec(lr=0.5), groups)

    assert lrs_of(groups, optimizer) == [SGD([nn.Parameter()]).defaults["lr"], 0.5]


@pytest.mark.parametrize(
    ("given", "mistake"),
    [
        (
            [{"name": "a", "match": "0", "args": {"momentun": 1}}],
            "groups[0].args.momentun = 1: one of SGD's arguments",
        ),
        (
            [{"name": "a", "match": "0", "optimizer": {"name": "Muom"}}],
            "groups[0].optimizer.name = Muom: a class of torch.optim or module:Class; did you mean "
            "Muon?",
        ),
        (
            [{"name": "a", "match": "0", "optimizer": {"name": "Adam", "args": {"beta": 1}}}],
            "groups[0].optimizer.args.beta = 1: one of Adam's arguments",
        ),
        (
            [
                {
                    "name": "a",
                    "match": "0",
                    "optimizer": {"name": "Adam"},
                    "args": {"nesterov": True},
                }
            ],
            "groups[0].args.nesterov = True: one of Adam's arguments",
        ),
        (
            [{"preset": "muon_2d", "args": {"betas": 1}}],
            "groups[0].args.betas = 1: one of Muon's arguments",
        ),
    ],
)
def test_what_an_optimizer_does_not_have_is_refused_at_its_place(
    given: list[dict[str, Any]], mistake: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        check_arguments(OptimizerSpec(name="SGD"), list(enumerate(entries(*given))))

    [violation] = refused.value.violations
    assert str(violation).startswith(mistake)


def test_an_argument_that_a_preset_brings_to_the_wrong_optimizer_is_refused() -> None:
    betas = {"name": "first", "match": "^0", "args": {"betas": [0.9, 0.99]}}

    with pytest.raises(InvalidSpec, match=r"group first\.muon, args\.betas = .*Muon's arguments"):
        optimizer_of(OptimizerSpec(), betas, {"preset": "muon_2d"})
    with pytest.raises(InvalidSpec, match=r"group default\.no_decay, args\.weight_decay = 0\.0"):
        optimizer_of(OptimizerSpec(name="Rprop"), {"preset": "no_decay_1d"})


def test_vectors_for_muon_are_refused_in_its_own_words() -> None:
    own = {"name": "first", "match": "^0", "optimizer": {"name": "Muon"}}

    with pytest.raises(InvalidSpec, match=r"groups\[0\]\.optimizer\.args .*only supports 2D"):
        optimizer_of(OptimizerSpec(), own)


def test_an_optimizer_that_runs_the_model_itself_cannot_step_beside_another() -> None:
    own = {"name": "first", "match": "^0", "optimizer": {"name": "LBFGS"}}

    with pytest.raises(InvalidSpec, match=r"groups\[0\]\.optimizer\.name = LBFGS"):
        optimizer_of(OptimizerSpec(), own)
