from typing import Any, Literal

import pytest

from rheostat.spec.arguments import check_arguments


def make(run, *, steps: int, gamma: float = 0.1, betas: tuple[float, float] = (0.9, 0.99)):
    """What the tests call by name."""


def choose(*, mode: Literal["cos", "linear"] = "cos", peak: float | None = None, verbose=False):
    """What the tests call by name."""


def mistakes(function, args, **options):
    violations = check_arguments(function, args, path="schedule.args", **options)
    return [str(violation) for violation in violations]


@pytest.mark.parametrize(
    "args",
    [
        {"steps": 1},
        {"steps": 1, "gamma": 1},
        {"steps": 1, "betas": [0.5, 1]},
    ],
)
def test_arguments_that_fit_pass(args):
    assert mistakes(make, args, leading=1) == []


@pytest.mark.parametrize(
    ("args", "mistake"),
    [
        ({}, "schedule.args.steps: is required"),
        ({"steps": True}, "schedule.args.steps = true: a whole number"),
        ({"steps": 1.5}, "schedule.args.steps = 1.5: a whole number"),
        ({"steps": 1, "gamma": "0.1"}, 'schedule.args.gamma = "0.1": a number'),
        ({"steps": 1, "gamma": True}, "schedule.args.gamma = true: a number"),
        ({"steps": 1, "betas": [0.9]}, "schedule.args.betas[1]: is required"),
        ({"steps": 1, "betas": [0.9, "x"]}, "schedule.args.betas[1] = x: a number"),
        ({"steps": 1, "gama": 2}, "schedule.args.gama = 2: unknown argument, did you mean gamma?"),
        ({"steps": 1, "run": 2}, "schedule.args.run = 2: unknown argument, known: "),
    ],
)
def test_each_misfit_is_named_by_path_and_value(args, mistake):
    [found] = mistakes(make, args, leading=1)

    assert found.startswith(mistake)


def test_choices_and_unions_are_told_as_alternatives():
    assert mistakes(choose, {"mode": "cosine", "peak": "high"}) == [
        "schedule.args.mode = cosine: 'cos' or 'linear'",
        "schedule.args.peak = high: a number",
    ]


def test_what_has_no_annotation_takes_anything():
    assert mistakes(choose, {"verbose": ["x"]}) == []


def test_what_the_caller_supplies_is_neither_missing_nor_allowed():
    assert mistakes(make, {}, leading=1, supplied=["steps"]) == []
    [found] = mistakes(make, {"steps": 1}, leading=1, supplied=["steps"])

    assert found.startswith("schedule.args.steps = 1: unknown argument")


def test_a_function_of_any_keywords_takes_any():
    def anything(**kwargs: Any):
        """Take all."""

    assert mistakes(anything, {"a": 1, "b": "c"}) == []


def test_annotations_that_cannot_be_read_are_passed_over():
    def odd(*, a: "NoSuchType" = 1, b: 3 = 2):  # noqa: F821 (on purpose)
        """Take two."""

    assert mistakes(odd, {"a": 1, "b": "c"}) == []
