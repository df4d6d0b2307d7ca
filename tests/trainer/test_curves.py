"""Each group's schedule: the run's, or one of its own."""

from typing import Any

import pytest

from rheostat.errors import InvalidSpec
from rheostat.spec.models import Spec
from rheostat.spec.schedules import ScheduleSpec
from rheostat.spec.validation import parse
from rheostat.trainer.building import Parts, build
from rheostat.trainer.curves import CurveShop

STEPS = 40


def document(**sections: Any) -> dict[str, Any]:
    spec = {
        "model": {"name": "mlp", "args": {"hidden": [8]}},
        "optimizer": {"name": "SGD", "lr": 0.1},
        "schedule": {"name": "StepLR", "args": {"step_size": 10, "gamma": 0.5}},
        "train": {"steps": STEPS, "device": "cpu"},
    }
    return spec | sections


def a_run(**sections: Any) -> Parts:
    return build(Spec.model_validate(document(**sections)), "run")


def bases(parts: Parts, step: int) -> dict[str, float]:
    return {group.name: group.base_at(step) for group in parts.steering.groups}


def test_a_group_follows_its_own_schedule_and_the_others_the_runs() -> None:
    own = {"name": "LinearLR", "args": {"start_factor": 1.0, "end_factor": 0.5, "total_iters": 20}}
    parts = a_run(groups=[{"name": "biases", "match": "bias", "schedule": own}])

    assert bases(parts, 10) == {"biases": pytest.approx(0.075), "default": 0.05}
    assert bases(parts, 30) == {"biases": pytest.approx(0.05), "default": pytest.approx(0.0125)}
    assert [group.describe().schedule for group in parts.groups] == ["LinearLR", None]


def test_an_lr_scale_multiplies_the_groups_own_schedule() -> None:
    rule = {"name": "biases", "match": "bias", "lr_scale": 3, "schedule": {"name": "constant"}}

    assert bases(a_run(groups=[rule]), 25)["biases"] == pytest.approx(0.3)


def test_the_head_may_have_a_schedule_and_an_lr_of_its_own() -> None:
    head = {"preset": "head", "match": "^head", "lr": 0.01, "schedule": {"name": "constant"}}

    assert bases(a_run(groups=[head]), 25) == {"head": 0.01, "default": pytest.approx(0.025)}


def test_groups_with_different_schedules_are_not_merged() -> None:
    rules = [
        {"name": "first", "match": "^hidden.*bias", "schedule": {"name": "constant"}},
        {"name": "second", "match": "bias", "schedule": {"name": "warmup_cosine"}},
        {"name": "third", "match": "^hidden", "schedule": {"name": "constant"}},
    ]
    names = [group.name for group in a_run(groups=rules).groups]

    assert names == ["first-third", "second", "default"]


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        ({"name": "StepLl"}, "groups[0].schedule.name"),
        ({"name": "StepLR", "args": {"gama": 1}}, "groups[0].schedule.args.gama"),
        ({"name": "StepLR", "args": {"step_size": -3}}, "groups[0].schedule.args.step_size"),
        ({"nam": "StepLR"}, "groups[0].schedule.nam"),
    ],
)
def test_a_mistake_in_a_groups_schedule_is_told_at_its_place(
    schedule: dict[str, Any], field: str
) -> None:
    rule = {"name": "biases", "match": "bias", "schedule": schedule}

    _, violations = parse(document(groups=[rule]))

    assert field in [violation.field for violation in violations]


def test_a_schedule_that_cycles_a_momentum_wants_it_in_its_own_group_only() -> None:
    cycling = {"name": "OneCycleLR", "args": {}}
    own = {"name": "SGD", "lr": 0.1, "args": {"momentum": 0.9}}
    rule = {"name": "biases", "match": "bias", "schedule": cycling, "optimizer": own}

    assert a_run(groups=[rule]).steering.moves_momentum
    with pytest.raises(InvalidSpec, match=r"groups\[0\].schedule.args.cycle_momentum"):
        a_run(groups=[rule | {"optimizer": {"name": "Rprop", "lr": 0.1}}])


def test_an_edit_makes_a_curve_as_the_spec_would() -> None:
    parts = a_run()
    shop = CurveShop(parts.spec, parts.groups, parts.optimizer, parts.batches)

    spec = ScheduleSpec(name="StepLR", args={"step_size": 10, "gamma": 0.5})

    assert shop.make("default", spec, STEPS) is shop.make("default", None, STEPS)
    assert shop.make("default", ScheduleSpec(name="warmup_cosine"), 7).learning_rate(0) == 0.1
