"""LR changes act in the same step on every rank."""

import random
from ast import literal_eval

from tests.distributed.ranks import train

from rheostat.runs.messages import ChangeCommand
from rheostat.steering.records import Change, Verb

STEPS, CHANGES = 1500, 1000


def random_change(dice, number):
    verb = dice.choice([Verb.SCALE, Verb.SET, Verb.HOLD, Verb.RAMP, Verb.RELEASE])
    value = {Verb.SCALE: dice.uniform(0.9, 1.1)}.get(verb, dice.uniform(1e-4, 1e-3))
    asked = Change(
        verb=verb,
        value=None if verb is Verb.RELEASE else value,
        steps=dice.randrange(1, 9) if verb is Verb.RAMP else None,
    )
    return ChangeCommand(command_id=number, change=asked)


def used_by(folder, rank):
    lines = (folder / f"used-{rank}").read_text().splitlines()
    return [literal_eval(line) for line in lines]


def test_a_thousand_changes_at_random_steps_land_in_the_same_step_on_both_ranks(tmp_path):
    dice = random.Random(8)
    commands = {}
    for number in range(CHANGES):
        at = dice.randrange(1, STEPS)
        commands.setdefault(at, []).append(random_change(dice, number))
    spec = {
        "model": {"name": "mlp", "args": {"hidden": []}},
        "data": {"batch_size": 8},
        "optimizer": {
            "name": "tests.distributed.plugins.spying:SpiedSGD",
            "lr": 1e-3,
            "args": {"folder": str(tmp_path), "momentum": 0.5},
        },
        "schedule": {"name": "OneCycleLR", "args": {"max_lr": 1e-3}},
        "train": {"steps": STEPS, "device": "cpu"},
        "evaluate": {"every": STEPS},
    }

    told = train(tmp_path, spec, 2, commands)

    first, second = (used_by(tmp_path, rank) for rank in (0, 1))
    assert len(told.decisions) > 0.9 * CHANGES
    assert len(first) == STEPS
    assert first == second
    assert len({momentum for [(_, momentum)] in first}) > STEPS / 2
    recorded = told.column("learning_rate")
    assert [lr for [(lr, _)] in first] == [recorded[step] for step in range(STEPS)]
    for one in told.decisions:
        [group] = one.groups
        [(lr, _)] = second[one.applied_step]
        newest = max(d.revision for d in told.decisions if d.applied_step == one.applied_step)
        assert one.revision < newest or lr == group.new
