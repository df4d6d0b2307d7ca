"""Presets: which terms each parameter ends up on, beside the libraries the recipes come from."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from rheostat.errors import InvalidSpec
from rheostat.spec.groups import GROUP_ENTRY
from rheostat.trainer.groups import ParamGroup, make_groups


def groups_of(model: nn.Module, *entries: dict[str, Any]) -> tuple[ParamGroup, ...]:
    return make_groups(model, [GROUP_ENTRY.validate_python(entry) for entry in entries])


def refusals_of(model: nn.Module, *entries: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidSpec) as refused:
        groups_of(model, *entries)
    return [str(violation) for violation in refused.value.violations]


def names_of(groups: Sequence[ParamGroup]) -> list[str]:
    return [group.name for group in groups]


def terms_by_parameter(
    groups: Sequence[ParamGroup], lr: float, weight_decay: float
) -> dict[str, tuple[float, float]]:
    """Return the LR and the weight decay of each parameter."""
    return {
        name: (
            (lr if group.lr is None else group.lr) * group.terms.lr_scale,
            group.terms.args.get("weight_decay", weight_decay),
        )
        for group in groups
        for name, _ in group.parameters
    }


def terms_in_torch(
    model: nn.Module, groups: Sequence[dict[str, Any]], lr: float, weight_decay: float
) -> dict[str, tuple[float, float]]:
    """Return the same of groups that another library made; `lr_scale` is timm's."""
    optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"] * group.get("lr_scale", 1.0), group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def a_stack(layers: int = 4, **others: nn.Module) -> nn.Module:
    """Return a model with an embedding, numbered layers, a final norm and a head."""
    return nn.ModuleDict(
        {
            "embeddings": nn.Embedding(5, 3),
            "layers": nn.ModuleList(
                nn.ModuleDict({"dense": nn.Linear(3, 3), "norm": nn.LayerNorm(3)})
                for _ in range(layers)
            ),
            "norm": nn.LayerNorm(3),
            "head": nn.Linear(3, 2),
            **others,
        }
    )


# --- layer_decay -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decay", "min_scale", "args"),
    [
        (0.75, 0.0, {}),
        (0.5, 0.01, {}),
        (0.9, 0.0, {"num_classes": 0}),
        (0.65, 0.0, {"class_token": False, "global_pool": "avg", "reg_tokens": 2}),
    ],
)
def test_layer_decay_gives_each_parameter_of_a_vit_what_timm_gives_it(
    decay: float, min_scale: float, args: dict[str, Any]
) -> None:
    models = pytest.importorskip("timm.models", reason="pip install timm to compare with it")
    optim = pytest.importorskip("timm.optim", reason="pip install timm to compare with it")
    size = {"img_size": 32, "patch_size": 16, "embed_dim": 8, "num_heads": 2, "depth": 12}
    model = models.VisionTransformer(**size, **args)
    theirs = optim.param_groups_layer_decay(
        model, weight_decay=0.05, layer_decay=decay, min_scale=min_scale
    )

    ours = groups_of(
        model,
        {"preset": "layer_decay", "decay": decay, "min_scale": min_scale},
        {"preset": "no_decay_1d"},
    )

    expected = terms_in_torch(model, theirs, lr=1e-3, weight_decay=0.05)
    assert terms_by_parameter(ours, lr=1e-3, weight_decay=0.05) == expected
    assert len(ours) <= len(theirs)


def test_layer_decay_follows_its_formula_from_stem_to_head() -> None:
    groups = groups_of(a_stack(), {"preset": "layer_decay", "decay": 0.5})

    assert [(group.name, group.terms.lr_scale) for group in groups] == [
        ("layer_0", 1 / 32),  # embeddings
        ("layer_1", 1 / 16),  # layers.0
        ("layer_2", 1 / 8),
        ("layer_3", 1 / 4),
        ("layer_4", 1 / 2),  # layers.3 and the final norm
        ("layer_5", 1.0),  # head
    ]
    assert [name for name, _ in groups[4].parameters][-2:] == ["norm.weight", "norm.bias"]


def test_layers_of_equal_scale_are_one_group() -> None:
    groups = groups_of(
        a_stack(),
        {"preset": "layer_decay", "decay": 0.5, "min_scale": 0.2},
        {"preset": "no_decay_1d"},
    )

    assert names_of(groups) == [
        "layer_0-2",
        "layer_1-2.no_decay",  # the stem has no vectors
        "layer_3",
        "layer_3.no_decay",
        "layer_4",
        "layer_4.no_decay",
        "layer_5",
        "layer_5.no_decay",
    ]


def test_a_rule_before_layer_decay_keeps_what_it_takes_and_moves_no_layer() -> None:
    groups = groups_of(
        a_stack(), {"name": "mine", "match": "^head"}, {"preset": "layer_decay", "decay": 0.5}
    )

    assert names_of(groups) == ["mine", "layer_0", "layer_1", "layer_2", "layer_3", "layer_4"]
    assert groups[-1].terms.lr_scale == 0.5


def test_layers_counted_in_two_numbers_are_in_the_order_of_both() -> None:
    stages = nn.ModuleList(
        nn.ModuleDict({"blocks": nn.ModuleList(nn.Linear(2, 2) for _ in range(2))})
        for _ in range(2)
    )
    model = nn.ModuleDict({"stages": stages})
    pattern = r"^stages\.(\d+)\.blocks\.(\d+)\."

    groups = groups_of(model, {"preset": "layer_decay", "decay": 0.5, "layers": pattern})

    assert [group.terms.lr_scale for group in groups] == [0.125, 0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    "prefix",
    ["layers.{}.", "layer.{}.", "blocks.{}.", "h.{}.", "encoder.layers.layer_{}.", "layer{}."],
)
def test_the_common_ways_to_count_layers_are_known(prefix: str) -> None:
    model = nn.Module()
    for index in range(3):
        *path, last = (prefix.format(index) + "weight").split(".")
        holder = model
        for part in path:
            if not hasattr(holder, part):
                holder.add_module(part, nn.Module())
            holder = getattr(holder, part)
        holder.register_parameter(last, nn.Parameter(torch.ones(2, 2)))

    groups = groups_of(model, {"preset": "layer_decay", "decay": 0.5})

    assert [group.terms.lr_scale for group in groups] == [0.25, 0.5, 1.0]


def test_a_model_with_two_stacks_of_layers_must_say_which_one_counts() -> None:
    model = nn.ModuleDict({"encoder": a_stack(2), "decoder": a_stack(3)})

    [mistake] = refusals_of(model, {"preset": "layer_decay"})

    assert mistake.startswith("groups[0].layers: an expression for one stack of layers; there are")
    assert "decoder.layers., encoder.layers." in mistake


def test_a_model_without_numbered_layers_is_refused_with_its_names() -> None:
    [mistake] = refusals_of(nn.Linear(2, 2), {"preset": "layer_decay"})

    assert mistake.startswith("groups[0].layers: an expression that finds a layer's number")
    assert "weight, bias" in mistake


def test_an_expression_that_captures_no_number_is_refused() -> None:
    [mistake] = refusals_of(a_stack(), {"preset": "layer_decay", "layers": r"layers\.(\d\.\w+)"})

    assert "captures numbers only" in mistake


# --- tiers and head ----------------------------------------------------------------------------

DEBERTA_RECIPE = (
    {"preset": "head", "lr": 1e-4},
    {"preset": "tiers"},
    {"preset": "no_decay_1d", "groups": ["low", "middle", "high"]},
)


def a_deberta(kind: str = "DebertaV2Model") -> nn.Module:
    """Return a DeBERTa-v3 of 24 layers as the large one has, but narrow; nothing is downloaded."""
    transformers = pytest.importorskip(
        "transformers", reason="pip install transformers to compare with its DeBERTa"
    )
    config = transformers.DebertaV2Config(
        num_hidden_layers=24,
        hidden_size=8,
        num_attention_heads=2,
        intermediate_size=8,
        vocab_size=16,
        max_position_embeddings=16,
        type_vocab_size=0,
        position_biased_input=False,
        relative_attention=True,
        position_buckets=4,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
    )
    model: nn.Module = getattr(transformers, kind)(config)
    return model


@pytest.mark.parametrize("base", [2e-5, 5e-5, 1e-3])
def test_the_recipe_gives_each_parameter_of_deberta_what_pytorch_optimizer_gives_it(
    base: float,
) -> None:
    library = pytest.importorskip(
        "pytorch_optimizer", reason="pip install pytorch_optimizer to compare with it"
    )
    model = a_deberta("DebertaV2ForSequenceClassification")
    assert len(list(model.named_parameters())) == 394  # 390 of the backbone, as the indices want
    theirs = library.deberta_v3_large_lr_scheduler(model, base_lr=base, head_lr=1e-4, wd=0.01)

    ours = groups_of(model, *DEBERTA_RECIPE)

    expected = terms_in_torch(model, theirs, lr=base, weight_decay=0.01)
    actual = terms_by_parameter(ours, lr=base, weight_decay=0.01)
    assert actual.keys() == expected.keys()
    for name, (lr, weight_decay) in expected.items():
        assert actual[name] == (pytest.approx(lr, rel=1e-15), weight_decay), name
    assert len(theirs) == 391
    assert names_of(ours) == [
        "head",
        "low",
        "low.no_decay",
        "middle",
        "middle.no_decay",
        "high",
        "high.no_decay",
    ]


def test_the_recipe_fits_the_backbone_alone() -> None:
    library = pytest.importorskip(
        "pytorch_optimizer", reason="pip install pytorch_optimizer to compare with it"
    )
    model = a_deberta()
    _head, *theirs = library.deberta_v3_large_lr_scheduler(model)

    ours = groups_of(model, {"preset": "tiers"}, {"preset": "no_decay_1d"})

    expected = terms_in_torch(model, theirs, lr=2e-5, weight_decay=0.01)
    actual = terms_by_parameter(ours, lr=2e-5, weight_decay=0.01)
    assert actual == {
        name: (pytest.approx(lr, rel=1e-15), decay) for name, (lr, decay) in expected.items()
    }


def test_the_parameters_that_wrong_indices_lose_are_refused_by_name() -> None:
    """A notebook took the offsets of RoBERTa: backbone [:389], attention [391:]; two are lost."""
    attention = nn.ModuleDict({"hidden_layer": nn.Linear(8, 8), "final_layer": nn.Linear(8, 1)})
    model = nn.ModuleDict(
        {"deberta": a_deberta(), "attention": attention, "regressor": nn.Linear(8, 1)}
    )
    names = [name for name, _ in model.named_parameters()]
    trained = {*names[:391], *names[393:]}  # two places on: this DeBERTa has two tensors more
    assert sorted({*names} - trained) == [
        "attention.final_layer.weight",
        "attention.hidden_layer.bias",
    ]

    [mistake] = refusals_of(model, {"preset": "head", "match": "^regressor"}, {"preset": "tiers"})

    assert mistake.startswith("groups[1].preset = tiers: ")
    assert mistake.endswith(
        "in no group: attention.hidden_layer.weight, attention.hidden_layer.bias, "
        "attention.final_layer.weight, attention.final_layer.bias"
    )

    head = {"preset": "head", "match": "^(attention|regressor)"}
    groups = groups_of(model, head, {"preset": "tiers"})
    assert sorted(name for group in groups for name, _ in group.parameters) == sorted(names)


def test_layers_before_the_first_tier_are_refused_by_name() -> None:
    tiers = [{"name": "upper", "first_layer": 2}]

    [mistake] = refusals_of(a_stack(3), {"preset": "head"}, {"preset": "tiers", "tiers": tiers})

    assert "in no group: layers.0.dense.weight" in mistake
    assert "layers.1.norm.bias" in mistake
    assert "layers.2" not in mistake


def test_a_tier_without_layers_is_refused_with_those_there_are() -> None:
    mistakes = refusals_of(a_stack(4), {"preset": "head"}, {"preset": "tiers"})

    assert mistakes == [
        f"groups[1].tiers[{index}].first_layer = {first}: "
        "the first of some layers of the model, which are 0 to 3"
        for index, first in ((1, 12), (2, 20))
    ]


def test_tiers_of_equal_scale_are_one_group() -> None:
    tiers = [
        {"name": "low", "first_layer": 0, "lr_scale": 0.1},
        {"name": "middle", "first_layer": 1, "lr_scale": 0.5},
        {"name": "high", "first_layer": 3, "lr_scale": 0.1},
    ]

    groups = groups_of(a_stack(4), {"preset": "head"}, {"preset": "tiers", "tiers": tiers})

    assert names_of(groups) == ["head", "low-high", "middle"]


# --- no_decay_1d -------------------------------------------------------------------------------


def test_no_decay_splits_each_group_and_keeps_its_lr() -> None:
    groups = groups_of(
        a_stack(1),
        {"name": "head", "match": "^head", "lr": 0.1, "args": {"weight_decay": 0.3}},
        {"preset": "no_decay_1d"},
    )

    assert [(group.name, group.lr, group.terms.args) for group in groups] == [
        ("head", 0.1, {"weight_decay": 0.3}),
        ("head.no_decay", 0.1, {"weight_decay": 0.0}),
        ("default", None, {}),
        ("default.no_decay", None, {"weight_decay": 0.0}),
    ]


def test_no_decay_takes_other_names_when_asked() -> None:
    groups = groups_of(a_stack(1), {"preset": "no_decay_1d", "also": "^embeddings"})

    assert "embeddings.weight" in [name for name, _ in groups[1].parameters]


@pytest.mark.parametrize("preset", ["no_decay_1d", "muon_2d"])
def test_a_preset_that_changes_nothing_is_refused(preset: str) -> None:
    model = nn.Conv2d(1, 1, 3, bias=False)

    assert refusals_of(model, {"preset": preset}) == [
        f"groups[0].preset = {preset}: a preset that changes some parameter"
    ]


def test_a_preset_for_a_group_there_is_not_is_refused_with_those_there_are() -> None:
    [mistake] = refusals_of(
        a_stack(1), {"preset": "head"}, {"preset": "no_decay_1d", "groups": ["head", "tail"]}
    )

    assert mistake == "groups[1].groups[1] = tail: one of the groups (head, default)"


# --- muon_2d -----------------------------------------------------------------------------------


def test_muon_takes_the_matrices_and_leaves_tables_heads_and_vectors() -> None:
    rest, muon = groups_of(a_stack(2), {"preset": "muon_2d", "lr": 0.02})

    assert [name for name, _ in muon.parameters] == [
        "layers.0.dense.weight",
        "layers.1.dense.weight",
    ]
    assert (muon.name, muon.lr, muon.describe().optimizer) == ("default.muon", 0.02, "Muon")
    assert (rest.name, rest.lr, rest.describe().optimizer) == ("default", None, None)


def test_all_presets_work_on_one_model() -> None:
    groups = groups_of(
        a_stack(1),
        {"preset": "head", "lr": 0.1},
        {"preset": "layer_decay", "decay": 0.5},
        {"preset": "no_decay_1d"},
        {"preset": "muon_2d", "lr": 0.02},
    )

    assert [(group.name, group.lr, group.terms.lr_scale) for group in groups] == [
        ("head", 0.1, 1.0),
        ("head.no_decay", 0.1, 1.0),
        ("layer_0", None, 0.25),
        ("layer_1.no_decay", None, 0.5),
        ("layer_1.muon", 0.02, 0.5),
    ]
