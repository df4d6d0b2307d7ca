import json
from pathlib import Path

import pytest

from rheostat.spec.loading import read_file
from rheostat.spec.validation import parse


def test_plan_prints_the_json_that_scripts_rely_on(rheostat, spec_file):
    result = rheostat("plan", spec_file, "--json", "--at", "0:100:25")
    plan = json.loads(result.stdout)

    assert plan["steps"] == [0, 25, 50, 75]
    assert plan["learning_rate"] == {"default": [0.001] * 4}
    [group] = plan["groups"]
    assert (group["name"], group["tensors"]) == ("default", 8)
    assert plan["total_steps"] == 100


def test_plan_shows_momentum_where_the_schedule_moves_it(rheostat, spec_file):
    options = ["--set", "schedule.name=OneCycleLR", "--at", "::30"]
    plan = json.loads(rheostat("plan", spec_file, "--json", *options).stdout)

    assert plan["steps"] == [0, 30, 60, 90]
    assert plan["momentum"]["default"][0] == 0.95


SWAPPED = (
    "schedule={name: recorded, args: {schedule: {name: constant}, "
    "edits: [{step: 40, verb: swap, schedule: {name: OneCycleLR}}]}}"
)


def test_plan_shows_no_momentum_where_a_recorded_schedule_does_not_move_it_yet(
    rheostat, spec_file, tmp_path
):
    options = ["--set", SWAPPED, "--at", "::39", "--plot", tmp_path / "plan.svg"]
    result = rheostat("plan", spec_file, "--json", *options)

    assert result.exit_code == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["steps"] == [0, 39, 78]
    assert plan["momentum"]["default"][:2] == [None, None]
    assert 0.85 <= plan["momentum"]["default"][2] <= 0.95


OWN_SCHEDULE = "groups=[{name: head, match: ^head, schedule: {name: rex}}]"


def test_plan_shows_which_schedule_each_group_has(rheostat, spec_file):
    plan = json.loads(rheostat("plan", spec_file, "--json", "--set", OWN_SCHEDULE).stdout)
    rows = rheostat("plan", spec_file, "--set", OWN_SCHEDULE).stdout.splitlines()

    assert plan["schedule"] == "constant"
    assert {group["name"]: group["schedule"] for group in plan["groups"]} == {
        "head": "rex",
        "default": None,
    }
    assert plan["learning_rate"]["head"][-1] < plan["learning_rate"]["default"][-1]
    [head] = [row for row in rows if row.startswith("head")]
    [rest] = [row for row in rows if row.startswith("default")]
    assert (head.split()[-1], rest.split()[-1]) == ("rex", "constant")


def test_plan_shows_rates_within_the_bounds(rheostat, spec_file):
    options = ["--set", "guardrails.max_lr=5e-4", "--at", "0:2"]
    result = rheostat("plan", spec_file, "--json", *options, "--at", "0:2:1")

    assert json.loads(result.stdout)["learning_rate"]["default"] == [0.0005, 0.0005]


PRESETS = "groups=[{preset: no_decay_1d}, {preset: muon_2d, lr: 0.02}]"


def test_plan_shows_what_presets_make_of_the_model(rheostat, spec_file):
    plan = json.loads(rheostat("plan", spec_file, "--json", "--set", PRESETS).stdout)

    told = [(group["name"], group["lr"], group["optimizer"]) for group in plan["groups"]]
    assert told == [
        ("default", None, None),
        ("default.no_decay", None, None),
        ("default.muon", 0.02, "Muon"),
    ]
    assert plan["groups"][1]["args"] == {"weight_decay": 0.0}
    assert plan["optimizer"] == "AdamW and Muon"
    assert plan["learning_rate"]["default.muon"][0] == 0.02


def test_plan_prints_optimizers_and_arguments_of_groups(rheostat, spec_file):
    out = rheostat("plan", spec_file, "--set", PRESETS).stdout

    assert "AdamW and Muon" in out
    assert "weight_decay 0.0" in out


def test_plan_prints_a_row_per_group_where_there_are_many(rheostat, spec_file):
    kinds = [(layer, kind) for layer in (0, 2, 4, 6) for kind in ("weight", "bias")]
    rules = ", ".join(
        f"{{name: {kind}-{layer}, match: 'hidden.{layer}.{kind}'}}" for layer, kind in kinds
    )
    options = ["--set", "model.args={hidden: [8, 8, 8, 8]}", "--set", f"groups=[{rules}]"]
    out = rheostat("plan", spec_file, *options, "--at", "0:2:1").stdout

    assert "weight-6  0.001  0.001" in out


def test_plan_prints_tables(rheostat, spec_file):
    out = rheostat("plan", spec_file).stdout

    assert "100 steps" in out
    assert "default" in out


@pytest.mark.parametrize("at", ["", "5", "0:10", "a:b:c", "-1:5:1", "0:5:0", "5:0:1"])
def test_steps_that_make_no_sense_are_a_usage_error(rheostat, spec_file, at):
    assert rheostat("plan", spec_file, "--at", at).exit_code == 2


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plan_draws_the_curve(rheostat, spec_file, tmp_path, suffix):
    file = tmp_path / f"plan.{suffix}"
    result = rheostat("plan", spec_file, "--plot", file, "--set", "schedule.name=OneCycleLR")

    assert result.exit_code == 0, result.stderr
    assert file.stat().st_size > 1000


def test_a_picture_of_unknown_kind_is_a_usage_error(rheostat, spec_file, tmp_path):
    assert rheostat("plan", spec_file, "--plot", tmp_path / "plan.bmp").exit_code == 2


def test_validate_says_ok(rheostat, spec_file):
    result = rheostat("validate", spec_file)

    assert (result.exit_code, result.stdout) == (0, "ok\n")


def test_validate_names_what_only_torch_can_see(rheostat, spec_file):
    result = rheostat("validate", spec_file, "--set", "optimizer.args={momentun: 0.9}")

    assert result.exit_code == 2
    assert result.stderr.startswith("optimizer.args.momentun = 0.9: ")


@pytest.mark.parametrize("name", ["digits", "fashion_lenet"])
def test_the_examples_are_well_formed(name):
    folder = Path(__file__).parents[2] / "examples"

    assert parse(read_file(folder / f"{name}.yaml"))[1] == []
