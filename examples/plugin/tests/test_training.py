"""The model and the data, and that all four are found by their names."""

from importlib.metadata import entry_points

import pytest
import torch
from rheostat.trainer.data import DataDescription

from rheostat_spirals.data import two_spirals
from rheostat_spirals.model import ripple
from rheostat_spirals.policy import SlopeBrake
from rheostat_spirals.schedule import stairs

POINTS = DataDescription(input_shape=(2,), classes=2, train_samples=80, validation_samples=20)


def test_the_same_arguments_are_the_same_data_whatever_was_drawn_before():
    first = two_spirals(samples=100, seed=3)
    torch.rand(7)
    again = two_spirals(samples=100, seed=3)

    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_half_of_the_points_are_on_each_spiral():
    points, targets = two_spirals(samples=100)

    assert points.shape == (100, 2)
    assert targets.bincount().tolist() == [50, 50]


def test_the_model_takes_points_and_gives_a_score_per_class():
    model = ripple(example=POINTS, width=8, depth=3)

    assert model(torch.zeros(5, 2)).shape == (5, 2)


def test_the_same_seed_draws_the_same_weights():
    torch.manual_seed(0)
    first = ripple(example=POINTS)
    torch.manual_seed(0)
    again = ripple(example=POINTS)

    assert all(map(torch.equal, first.parameters(), again.parameters()))


@pytest.mark.parametrize(
    ("factory", "args"),
    [
        (two_spirals, {"samples": 1}),
        (two_spirals, {"turns": 0.0}),
        (two_spirals, {"noise": -1.0}),
        (ripple, {"example": POINTS, "width": 0}),
        (ripple, {"example": POINTS, "frequency": 0.0}),
    ],
)
def test_an_argument_out_of_range_is_refused(factory, args):
    with pytest.raises(ValueError, match="must be"):
        factory(**args)


@pytest.mark.parametrize(
    ("group", "name", "factory"),
    [
        ("policies", "slope_brake", SlopeBrake),
        ("schedules", "stairs", stairs),
        ("models", "ripple", ripple),
        ("datasets", "two_spirals", two_spirals),
    ],
)
def test_each_is_installed_under_the_name_that_a_spec_uses(group, name, factory):
    [point] = entry_points(group=f"rheostat.{group}", name=name)

    assert point.load() is factory
