"""Every trainable parameter in exactly one group, by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rheostat.errors import InvalidSpec
from rheostat.spec.groups import GROUP_ENTRY, GroupEntry, GroupSpec
from rheostat.trainer.groups import make_groups


def a_model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))


def rules() -> st.SearchStrategy[GroupEntry]:
    return st.builds(
        GroupSpec,
        name=st.sampled_from("abcdef"),
        match=st.sampled_from(["weight", "bias", "^0", "^1", "2", ".*"]),
        lr_scale=st.sampled_from([1.0, 0.5]),
        args=st.sampled_from([{}, {"weight_decay": 0.1}]),
    )


PRESETS: list[GroupEntry] = [
    GROUP_ENTRY.validate_python(entry)
    for entry in (
        {"preset": "head", "match": "^2"},
        {"preset": "layer_decay", "layers": r"^(\d+)", "min_scale": 0.6},
        {"preset": "tiers", "layers": r"^(\d+)", "tiers": [{"name": "t", "first_layer": 1}]},
        {"preset": "no_decay_1d"},
        {"preset": "muon_2d"},
    )
]


@given(entries=st.lists(rules() | st.sampled_from(PRESETS), max_size=5))
def test_every_parameter_is_in_exactly_one_group(entries: list[GroupEntry]) -> None:
    model = a_model()

    try:
        groups = make_groups(model, entries)
    except InvalidSpec:
        return  # an entry found nothing left, or left something to nobody

    names = [name for group in groups for name, _ in group.parameters]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert len({group.name for group in groups}) == len(groups)


def test_the_first_rule_that_matches_takes_the_parameter() -> None:
    rules = [GroupSpec(name="biases", match="bias$"), GroupSpec(name="first", match="^0")]

    biases, first, rest = make_groups(a_model(), rules)

    assert [name for name, _ in biases.parameters] == ["0.bias", "1.bias", "2.bias"]
    assert [name for name, _ in first.parameters] == ["0.weight"]
    assert (rest.name, len(rest.parameters)) == ("default", 2)


def test_frozen_parameters_are_in_no_group() -> None:
    model = a_model()
    model[0].requires_grad_(False)  # type: ignore[operator]

    [group] = make_groups(model, [])

    assert all(not name.startswith("0") for name, _ in group.parameters)


def test_a_rule_that_takes_nothing_is_refused_with_names_to_choose_from() -> None:
    with pytest.raises(InvalidSpec) as refused:
        make_groups(a_model(), [GroupSpec(name="head", match="classifier")])

    [violation] = refused.value.violations
    assert violation.field == "groups[0].match"
    assert violation.value == "classifier"
    assert "0.weight" in violation.expected


def test_a_model_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="trainable"):
        make_groups(nn.ReLU(), [])


def test_rules_that_say_the_same_are_one_group() -> None:
    rules = [
        GroupSpec(name="first", match="^0", lr_scale=0.5),
        GroupSpec(name="norm", match="^1", lr_scale=2.0),
        GroupSpec(name="last", match="^2", lr_scale=0.5),
    ]

    groups = make_groups(a_model(), rules)

    assert [group.name for group in groups] == ["first-last", "norm"]
    assert [name for name, _ in groups[0].parameters] == [
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
    ]


def test_a_rule_that_says_nothing_keeps_its_name_to_be_steered_by() -> None:
    rules = [GroupSpec(name="first", match="^0"), GroupSpec(name="last", match="^2")]

    assert [group.name for group in make_groups(a_model(), rules)] == ["first", "last", "default"]


def test_the_name_of_many_merged_groups_stays_short() -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(9)))
    rules = [GroupSpec(name=f"{one}-of-nine", match=f"^{one}", lr=0.1) for one in range(9)]

    [group] = make_groups(model, rules)

    assert group.name == "0-of-nine-8-of-nine"


@pytest.mark.parametrize(
    ("name", "preset"),
    [("head", {"preset": "head", "match": "^2"}), ("default.no_decay", {"preset": "no_decay_1d"})],
)
def test_a_name_that_a_preset_gives_too_is_refused(name: str, preset: dict[str, str]) -> None:
    entries = [GroupSpec(name=name, match="^0"), GROUP_ENTRY.validate_python(preset)]

    with pytest.raises(InvalidSpec, match=f"groups = {name}: names that differ"):
        make_groups(a_model(), entries)
