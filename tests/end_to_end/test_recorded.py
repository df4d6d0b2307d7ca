"""What was done to a run, exported, makes another run of the same spec the same run."""

from rheostat.spec.loading import read_file
from rheostat.steering.records import PolicyEdit, ScheduleEdit

SECTIONS = {
    "groups": [{"name": "head", "match": "^head", "lr_scale": 0.3}],
    "schedule": {"name": "warmup_cosine", "args": {"warmup_steps": 200}},
    "policies": [{"name": "loss_spike", "args": {"threshold": 1.2, "ramp_steps": 20}}],
    "guardrails": {"max_ratio_per_step": 1.3},
    "train": {"steps": 4000},
}


def test_a_run_with_the_record_of_a_steered_one_trains_the_same_to_the_last_bit(daemon, tmp_path):
    file = tmp_path / "record.yaml"
    with daemon.training(**SECTIONS) as steered:
        steered.change("scale", 0.5, groups=("head",))
        steered.change("swap", edit=ScheduleEdit(schedule="OneCycleLR"))
        steered.change("hold", 1e-4, groups=("default",), expires_after_steps=300)
        steered.change("attach", policy=PolicyEdit(policy="greedy", args='{"patience": 3}'))
        steered.change("horizon", edit=ScheduleEdit(steps=3000))
        steered.change("ramp", 2e-4, steps=50)
        steered.change("cooldown", edit=ScheduleEdit(steps=200, ratio=0.1))
        assert steered.end().phase == "succeeded"

    daemon.rheostat("lr", "history", steered.name, "--export", file, check=True)
    again = daemon.create(**SECTIONS | read_file(file))

    assert again.end().phase == "succeeded"
    assert again.history == [], "its schedule does it all"
    first, second = steered.export(tmp_path / "first.csv"), again.export(tmp_path / "second.csv")
    assert len(first) == len(second) == 3000
    for column in ("learning_rate.default", "learning_rate.head", "train_loss", "validation_loss"):
        assert [row[column] for row in second] == [row[column] for row in first]
    moved = [
        (one["momentum.head"], two["momentum.head"])
        for one, two in zip(first, second, strict=True)
        if one["momentum.head"] and two["momentum.head"]
    ]
    assert moved, "a swap moved the momentum"
    assert all(one == two for one, two in moved)
