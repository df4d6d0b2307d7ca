"""A run that is steered by everything there is: each step's LR is explained to the last bit."""

import math
import struct

from rheostat.runs import audit
from rheostat.runs.records import Phase
from rheostat.steering.records import PolicyEdit, ScheduleEdit

STEPS = 400
LOWEST, HIGHEST = 1e-5, 1.5e-3
SECTIONS = {
    "train": {"steps": STEPS},
    "schedule": {"name": "warmup_cosine", "args": {"warmup_steps": 30}},
    "groups": [{"name": "biases", "match": "bias$", "lr_scale": 0.7}],
    "policies": [
        {"name": "plateau", "args": {"metric": "train_loss", "patience": 15, "factor": 0.9}},
        {
            "name": "rules",
            "args": {
                "rules": [
                    {
                        "name": "faster",
                        "when": "step > 60",
                        "cooldown": 80,
                        "then": {"scale": 1.3, "ramp_steps": 25, "groups": ["default"]},
                    }
                ]
            },
        },
        {"name": "loss_spike", "shadow": True},
    ],
    "guardrails": {"min_lr": LOWEST, "max_lr": HIGHEST},
}
WISHES = {
    80: {"verb": "scale", "value": 0.37, "expires_after_steps": 150},
    100: {"verb": "hold", "value": 7e-4, "groups": ("biases",), "expires_after_steps": 60},
    110: {"verb": "attach", "policy": PolicyEdit(policy="greedy")},
    120: {"verb": "swap", "edit": ScheduleEdit(schedule="cosine"), "groups": ("default",)},
    140: {"verb": "ramp", "value": 9e-4, "steps": 30},
    200: {"verb": "rewarm", "edit": ScheduleEdit(steps=20, ratio=0.3)},
    230: {"verb": "detach", "policy": PolicyEdit(policy="greedy", ramp_steps=10)},
    240: {"verb": "engage", "policy": PolicyEdit(policy="loss_spike")},
    260: {"verb": "cooldown", "edit": ScheduleEdit(steps=100, ratio=0.2)},
}
"""What operators wish for after which step."""


def whole(group):
    """Return the LR that the parts of an explanation make."""
    product = group.base * (math.prod(group.factors.values()) * group.operator)
    return min(max(product if group.hold is None else group.hold, LOWEST), HIGHEST)


def exported(run):
    """Return the LR of every group and step."""
    rates = {"default": [], "biases": []}
    for rows in run.daemon.client.export_run(run.name):
        for group, column in rates.items():
            column += struct.unpack(f"<{rows.count}d", rows.learning_rate[group])
    return rates


def steer(run):
    """Do what operators do, and be a policy, until that leaves in the middle of the run."""
    wishes = dict(WISHES)
    terms = {"mode": "lockstep", "deadline": 20.0, "hold_steps": 20, "relax_steps": 30}
    with run.daemon.client.connect_policy(run.name, "far", **terms) as connection:
        for observation in connection:
            step = observation.step
            if step in wishes:
                run.change(**wishes.pop(step), wait=False)
            factor = 1.0 + 0.3 * math.sin(step / 10)
            connection.answer(observation, factor={"default": factor, "biases": 1 / factor})
            if step == 300:
                break
    assert not wishes


def test_every_applied_lr_is_explained_by_its_parts_to_the_last_bit(daemon):
    run = daemon.create(**SECTIONS)
    run.reach(Phase.STARTING)
    steer(run)
    view = run.end()

    rates = exported(run)
    explained = [daemon.client.explain(run.name, step) for step in range(STEPS)]

    assert view.phase == "succeeded"
    assert [len(column) for column in rates.values()] == [STEPS, STEPS]
    for step, explanation in enumerate(explained):
        assert explanation.step == step
        for group in explanation.groups:
            assert group.learning_rate == rates[group.name][step]
            assert whole(group) == rates[group.name][step]
    seen = [group for explanation in explained for group in explanation.groups]
    for name in ("far", "greedy", "plateau", "rules"):
        assert {one.factors.get(name, 1.0) for one in seen} - {1.0}, f"{name} has acted"
    assert {None, 7e-4} == {one.hold for one in seen}
    assert {(), ("max_lr",)} <= {one.guardrails for one in seen}
    assert len({one.operator for one in seen}) > 30
    assert seen[-1].factors["far"] == 1.0, "gone, held and relaxed"
    audit.verify(run.history)
