"""Every trainable parameter in exactly one group, by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rheostat.errors import InvalidSpec
from rheostat.spec.models import GroupSpec
from rheostat.trainer.groups import make_groups


def a_model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))


@given(
    matches=st.lists(
        st.sampled_from(["weight", "bias", "^0", "^1", "2", ".*"]), max_size=4, unique=True
    )
)
def test_every_parameter_is_in_exactly_one_group(matches: list[str]) -> None:
    model = a_model()
    rules = [GroupSpec(name=f"g{index}", match=match) for index, match in enumerate(matches)]

    try:
        groups = make_groups(model, rules)
    except InvalidSpec:
        return  # a rule found nothing left: the spec is refused

    names = [name for group in groups for name, _ in group.parameters]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())


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
