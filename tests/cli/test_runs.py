import csv
import io
import json
import struct

import msgspec
import pytest
from pyarrow import parquet
from rich.console import Console
from tests.cli.conftest import SNAPSHOT, STATE, make_view

from rheostat.cli import listing
from rheostat.runs.records import Failure, Phase, StepRows
from rheostat.steering.records import Components, GroupState


def test_list_prints_the_json_that_scripts_rely_on(client, rheostat):
    [row] = json.loads(rheostat("runs", "list", "--json").stdout)

    assert row == {
        "run": "digits",
        "phase": "running",
        "step": 60,
        "steps": 100,
        "train_loss": 0.25,
        "validation_loss": 0.5,
        "validation_accuracy": 0.75,
        "learning_rate": {"default": 0.0005},
        "revision": 1,
        "origin": None,
        "attached": False,
    }


def test_list_prints_a_table(client, rheostat):
    out = rheostat("runs", "list").stdout

    assert "60/100" in out
    assert "75.00%" in out


def test_show_prints_everything_as_json(client, rheostat):
    shown = json.loads(rheostat("runs", "show", "digits", "--json").stdout)

    assert shown["spec"] == {"name": "digits"}
    assert shown["groups"][0]["parameters"] == 58442
    assert shown["failure"] is None


def test_show_of_a_failed_run_tells_why(client, rheostat, view_of):
    client.view = view_of(Phase.FAILED, failure=Failure(message="boom", traceback="line 3"))
    result = rheostat("runs", "show", "digits")

    assert result.exit_code == 0
    assert result.stderr == "boom\nline 3\n"


def test_watch_prints_one_object_per_event(client, rheostat):
    lines = rheostat("runs", "watch", "digits", "--json").stdout.splitlines()
    events = [json.loads(line) for line in lines]

    assert [event["type"] for event in events] == ["view", "snapshot", "decision", "view"]
    assert {event["run"] for event in events} == {"digits"}
    assert events[1]["learning_rate"] == {"default": 0.0005}
    assert events[2]["applied_step"] == 41


def test_watch_prints_lines_where_there_is_no_terminal(client, rheostat):
    out = rheostat("runs", "watch", "digits").stdout.splitlines()

    assert out[:4] == [
        "digits is running",
        "60/100  loss 0.25  lr 0.0005  1,950 steps/s  0.0 s left",
        "step 41: alice scale 0.5: default 0.001 → 0.0005 [bent by max_lr] (too [noisy])",
        "digits has succeeded",
    ]


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        ("pause", "digits is paused before step 60."),
        ("resume", "digits is running."),
        ("stop", "digits is stopping."),
        ("delete", "digits is deleted."),
    ],
)
def test_a_verb_says_what_became_of_the_run(client, rheostat, verb, answer):
    assert rheostat("runs", verb, "digits").stdout == f"{answer}\n"


def test_a_run_that_gets_another_trainer_is_told_what_takes_precedence(client, rheostat):
    client.view = make_view(Phase.STOPPED, revision=3)
    client.resumed = make_view(Phase.QUEUED, revision=3)

    newest = rheostat("runs", "resume", "digits").stdout
    client.checkpoints = []
    anew = rheostat("runs", "resume", "digits").stdout

    assert newest.splitlines() == [
        "It goes on from its checkpoint of step 60: schedule, overrides and policies are what they "
        "were at revision 1, whatever the spec says; decisions 2 to 3 took effect after that and "
        "will again, at the same steps. LRs are what follows from these, never those in the "
        "optimizer's state.",
        "digits is queued.",
    ]
    assert anew.startswith("It has no checkpoint and begins anew, as its spec says; decisions 1 to")


def test_export_writes_every_bit_as_csv(client, rheostat, tmp_path):
    file = tmp_path / "digits.csv"
    result = rheostat("runs", "export", "digits", file)

    assert result.exit_code == 0, result.stderr
    assert file.read_text().splitlines() == [
        "step,train_loss,learning_rate.default,gradient_norm,validation_loss,validation_accuracy",
        "0,0.1,0.001,2.5,,",
        "1,0.3333333333333333,0.002,,0.75,0.5",
        "2,0.05,0.003,,,",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["digits.csv"]


def test_export_adds_the_time_of_each_step_when_asked(client, rheostat, tmp_path):
    file = tmp_path / "digits.csv"
    rheostat("runs", "export", "digits", file, "--timing")

    rows = csv.DictReader(file.read_text().splitlines())
    assert [row["duration_seconds"] for row in rows] == ["0.5", "0.25", "0.125"]


def test_export_writes_the_same_as_parquet(client, rheostat, tmp_path):
    file = tmp_path / "digits.parquet"
    result = rheostat("runs", "export", "digits", file)

    assert result.exit_code == 0, result.stderr
    assert parquet.read_table(file).to_pydict() == {
        "step": [0, 1, 2],
        "train_loss": [0.1, 1 / 3, 0.05],
        "learning_rate.default": [0.001, 0.002, 0.003],
        "gradient_norm": [2.5, None, None],
        "validation_loss": [None, 0.75, None],
        "validation_accuracy": [None, 0.5, None],
    }


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_export_of_a_run_without_steps_is_a_header(client, rheostat, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(client, "export_run", lambda run, undone=None: iter(()))
    file = tmp_path / f"digits{suffix}"
    result = rheostat("runs", "export", "digits", file)

    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("0 steps of digits")
    assert file.exists()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_export_to_a_folder_that_is_not_there_names_the_file(client, rheostat, tmp_path, suffix):
    file = tmp_path / "nowhere" / f"run{suffix}"

    result = rheostat("runs", "export", "digits", file)

    assert result.exit_code == 1
    assert f"{file} cannot be written: " in result.stderr


def test_export_to_an_unknown_format_is_a_usage_error(client, rheostat, tmp_path):
    assert rheostat("runs", "export", "digits", tmp_path / "digits.xlsx").exit_code == 2


def test_export_of_an_unknown_run_leaves_no_file(client, rheostat, tmp_path):
    assert rheostat("runs", "export", "mnist", tmp_path / "mnist.csv").exit_code == 1
    assert list(tmp_path.iterdir()) == []


def part(**changes):
    """Return how the LR of the run's one group comes about, as rows carry it."""
    state = GroupState(name="default", learning_rate=0.1, base=0.1, factors={}, operator=1.0)
    group = msgspec.structs.replace(state, **changes)
    return msgspec.json.encode(Components(revision=0, in_force=(), groups=(group,))).decode()


def batch(first_step, parts, **columns):
    """Return three steps of the run."""
    packed = struct.pack("<3d", 0.1, 0.2, 0.3)
    return StepRows(
        first_step=first_step,
        count=3,
        train_loss=packed,
        learning_rate={"default": packed},
        base={"default": packed},
        duration=packed,
        components=parts,
        **columns,
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_export_shows_what_each_lr_is_made_of_in_columns_that_hold_for_the_whole_file(
    client, rheostat, tmp_path, suffix
):
    momentum = {"default": struct.pack("<3d", 0.9, 0.8, 0.7)}
    client.rows = [
        batch(0, {0: part(), 2: part(operator=0.5)}),
        batch(3, {3: part(factors={"plateau": 0.25}), 4: part(hold=1.0)}, momentum=momentum),
    ]
    file = tmp_path / f"digits{suffix}"

    result = rheostat("runs", "export", "digits", file)

    assert result.exit_code == 0, result.stderr
    if suffix == ".parquet":
        columns = parquet.read_table(file).to_pydict()
    else:
        rows = list(csv.DictReader(file.read_text().splitlines()))
        columns = {
            name: [float(row[name]) if row[name] else None for row in rows] for name in rows[0]
        }
    assert list(columns) == [
        "step",
        "train_loss",
        "learning_rate.default",
        "base.default",
        "factor.plateau.default",
        "operator.default",
        "hold.default",
        "momentum.default",
        "gradient_norm",
        "validation_loss",
        "validation_accuracy",
    ]
    assert columns["base.default"] == [0.1, 0.2, 0.3] * 2
    assert columns["factor.plateau.default"] == [None, None, None, 0.25, None, None]
    assert columns["operator.default"] == [1.0, 1.0, 0.5, 1.0, 1.0, 1.0]
    assert columns["hold.default"] == [None, None, None, None, 1.0, 1.0]
    assert columns["momentum.default"] == [None, None, None, 0.9, 0.8, 0.7]


def test_export_leaves_out_the_columns_of_what_nobody_did(client, rheostat, tmp_path):
    client.rows = [batch(0, {0: part(factors={"plateau": 1.0})})]
    file = tmp_path / "digits.csv"

    rheostat("runs", "export", "digits", file)

    assert file.read_text().splitlines()[0].split(",")[:5] == [
        "step",
        "train_loss",
        "learning_rate.default",
        "base.default",
        "gradient_norm",
    ]


def test_export_of_a_run_that_trains_on_has_the_steps_of_when_it_began(
    client, rheostat, tmp_path, monkeypatch
):
    reads = iter([[batch(0, {0: part()})], [batch(0, {0: part()}), batch(3, {3: part(hold=1.0)})]])
    monkeypatch.setattr(client, "export_run", lambda run, undone=None: iter(next(reads)))
    file = tmp_path / "digits.csv"

    result = rheostat("runs", "export", "digits", file)

    assert result.stdout.startswith("3 steps of digits")
    assert len(file.read_text().splitlines()) == 4


def test_a_list_of_long_names_and_several_rates_fits_80_columns(client, monkeypatch, rheostat):
    console = Console(file=io.StringIO(), width=80)
    monkeypatch.setattr(listing, "OUT", console)
    groups = tuple(
        msgspec.structs.replace(STATE, name=name, learning_rate=rate)
        for name, rate in {"backbone": 1.23456e-4, "head": 1e-3}.items()
    )
    snapshot = msgspec.structs.replace(SNAPSHOT, step=18535, train_loss=2.3456e-5, groups=groups)
    client.view = make_view(name="gpt-small-warmup-cosine-2", steps=200000, snapshot=snapshot)
    rheostat("runs", "list")

    *_, first, second = console.file.getvalue().splitlines()
    name, *others = first.split()
    assert name + second.strip() == "gpt-small-warmup-cosine-2"
    assert others == [
        "running", "18535/200000", "2.346e-05", "0.5", "0.000123\N{EN DASH}0.001"
    ]  # fmt: skip
