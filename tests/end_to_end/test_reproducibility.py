"""A run can be had again: to the last bit from its seed, and to the last digit from its export."""

import json
from pathlib import Path

import pytest
from pyarrow import parquet

DIGITS = Path(__file__).parents[2] / "examples" / "digits.yaml"


def test_the_example_learns_the_digits(daemon):
    done = daemon.spawn("run", DIGITS, "--set", "train.steps=3000", "--json")

    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    result = json.loads(line)
    assert set(result) == {
        "run",
        "phase",
        "steps",
        "train_loss",
        "validation_loss",
        "validation_accuracy",
    }
    assert (result["phase"], result["steps"]) == ("succeeded", 3000)
    assert result["validation_accuracy"] >= 0.95


@pytest.fixture(scope="module")
def seeds(daemon):
    """Three short runs that differ in their seed only."""
    runs = [
        daemon.create(
            name=f"seed-{seed}",
            schedule={"name": "warmup_cosine", "args": {"warmup_steps": 100}},
            policies=[{"name": "loss_spike", "args": {"threshold": 1.05, "decay": 0.5}}],
            evaluate={"every": 50},
            train={"steps": 200, "seed": seed, "gradient_norm_every": 7},
        )
        for seed in (1, 1, 2)
    ]
    for run in runs:
        assert run.end().phase == "succeeded"
    return runs


def test_one_seed_gives_the_same_bits_twice_and_another_seed_does_not(seeds, tmp_path):
    files = [tmp_path / f"{run.name}.csv" for run in seeds]
    first, _, other = [run.export(file) for run, file in zip(seeds, files, strict=True)]

    assert list(first[0]) == [
        "step",
        "train_loss",
        "learning_rate.default",
        "base.default",
        "factor.loss_spike.default",
        "gradient_norm",
        "validation_loss",
        "validation_accuracy",
    ]
    assert [int(row["step"]) for row in first] == list(range(200))
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [row["train_loss"] for row in first] != [row["train_loss"] for row in other]
    assert seeds[0].history, "the policy took part, and decided the same"


def test_parquet_holds_the_same_bits_as_csv(seeds, tmp_path):
    rows = seeds[0].export(tmp_path / "run.csv")
    seeds[0].daemon.rheostat("runs", "export", seeds[0].name, tmp_path / "run.parquet", check=True)

    table = parquet.read_table(tmp_path / "run.parquet").to_pylist()

    assert table == [
        {name: (float(text) if text else None) for name, text in row.items()} for row in rows
    ]


def test_what_was_measured_now_and_then_stands_beside_the_steps_it_was_measured_at(seeds, tmp_path):
    rows = seeds[0].export(tmp_path / "run.csv")

    normed = [int(row["step"]) for row in rows if row["gradient_norm"]]
    validated = [int(row["step"]) for row in rows if row["validation_accuracy"]]

    assert normed == list(range(0, 200, 7))
    assert validated == [49, 99, 149, 199], "after 50, 100, 150 and 200 finished steps"
