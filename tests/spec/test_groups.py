"""The entries of `groups`: rules and presets, and how their mistakes are named."""

import json

import pytest

from rheostat.spec.groups import ENTRIES, PRESETS, GroupSpec, TiersPreset
from rheostat.spec.schema import json_schema
from rheostat.spec.validation import load, parse

RULE = {"name": "a", "match": "x"}


def mistakes(*entries):
    _, violations = parse({"train": {"steps": 10}, "groups": list(entries)})
    return [str(violation) for violation in violations]


def test_rules_and_presets_stand_in_one_list_in_order():
    spec = load(
        """
        train: {steps: 10}
        groups:
          - {preset: head, lr: 1e-3}
          - {name: norms, match: norm, optimizer: {name: SGD, lr: 0.1}}
          - {preset: layer_decay, decay: 0.8, min_scale: 0.1}
          - {preset: no_decay_1d, groups: [norms]}
          - {preset: muon_2d, lr: 0.02, args: {momentum: 0.9}}
        """
    )

    assert [type(entry) for entry in spec.groups] == [
        ENTRIES[kind] for kind in ("head", "rule", "layer_decay", "no_decay_1d", "muon_2d")
    ]
    assert load(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("entry", "mistake"),
    [
        ({"preset": "layerdecay"}, "preset = layerdecay: unknown preset, did you mean layer_decay"),
        ({"preset": None}, "preset = null: unknown preset"),
        ({"preset": "layer_decay", "decay": 2}, "decay = 2: at most 1"),
        ({"preset": "layer_decay", "decay": "x"}, "decay = x: a number"),
        ({"preset": "layer_decay", "dekay": 1}, "dekay = 1: unknown key, did you mean decay?"),
        ({"preset": "layer_decay", "layers": "("}, "layers = (: not a regular expression"),
        ({"preset": "layer_decay", "layers": "x"}, "layers = x: a regular expression with the lay"),
        ({"preset": "head", "lr_scale": 2}, "lr_scale = 2: unknown key"),
        ({"preset": "tiers", "tiers": []}, "tiers = []: at least one tier"),
        (
            {"preset": "tiers", "tiers": [{"name": "a"}]},
            "tiers[0].first_layer: is required",
        ),
        (
            {"preset": "tiers", "tiers": [{"name": "a", "first_layer": 0, "last": 1}]},
            "tiers[0].last = 1: unknown key",
        ),
        ({"preset": "muon_2d", "args": {"lr": 1}}, 'args = {"lr": 1}: arguments without lr'),
        ({"preset": "muon_2d", "groups": "head"}, "groups = head: a list"),
        ({"match": "x"}, "name: is required"),
        (
            {**RULE, "optimizer": {"nam": "SGD"}},
            "optimizer.nam = SGD: unknown key, did you mean na",
        ),
        ({**RULE, "optimizer": {"lr": 0}}, "optimizer.lr = 0: greater than 0"),
        (
            {**RULE, "lr": 1, "optimizer": {"lr": 1}},
            "optimizer.lr = 1: either the group's lr or its",
        ),
    ],
)
def test_a_mistake_in_an_entry_is_named_by_its_path(entry, mistake):
    [found] = mistakes({"name": "b", "match": "y"}, entry)

    assert found.startswith(f"groups[1].{mistake}")


def test_tiers_must_ascend_and_their_names_be_free():
    tiers = [{"name": "a", "first_layer": 3}, {"name": "default", "first_layer": 3}]

    found = mistakes(RULE, {"preset": "tiers", "tiers": tiers})

    assert [mistake.split(":")[0] for mistake in found] == [
        "groups[1].tiers[0].name = a",
        "groups[1].tiers[1].name = default",
        "groups[1].tiers[1].first_layer = 3",
    ]


def test_an_unknown_bound_of_a_group_is_named_too():
    document = {"train": {"steps": 1}, "guardrails": {"groups": {"head": {"maxlr": 1}}}}

    [violation] = parse(document)[1]

    assert str(violation).startswith("guardrails.groups.head.maxlr = 1: unknown key, did you mean")


def test_presets_with_lrs_of_their_own_are_refused_by_a_schedule_that_states_its_peak():
    document = {
        "train": {"steps": 10},
        "schedule": {"name": "OneCycleLR", "args": {"max_lr": 0.1}},
    }

    assert parse(document)[1] == []
    for entry in ({"preset": "head"}, {"preset": "muon_2d"}, {**RULE, "optimizer": {}}):
        [violation] = parse({**document, "groups": [entry]})[1]
        assert violation.field.startswith("schedule.args")


def test_the_schema_knows_every_preset():
    definitions = json_schema()["$defs"]
    named = {
        definition["properties"]["preset"]["const"]
        for definition in definitions.values()
        if "preset" in definition.get("properties", {})
    }

    assert named == set(PRESETS)
    assert json.dumps(json_schema())


def test_the_default_tiers_are_those_of_deberta_v3_large():
    [entry] = load("{train: {steps: 1}, groups: [{preset: tiers}]}").groups

    assert isinstance(entry, TiersPreset)
    assert [(tier.first_layer, tier.lr_scale) for tier in entry.tiers] == [
        (0, 1 / 2.5),
        (12, 1),
        (20, 1 / 0.5),
    ]


def test_a_rule_is_what_it_was():
    [entry] = load("{train: {steps: 1}, groups: [{name: a, match: x}]}").groups

    assert entry == GroupSpec(name="a", match="x")
