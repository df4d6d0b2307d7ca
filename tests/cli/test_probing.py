"""`rheostat lr probe`."""

import json

import msgspec
import pytest


def test_a_probe_says_what_each_lr_led_to_and_suggests_one(client, rheostat):
    done = rheostat("lr", "probe", "digits")

    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "digits at step 60: 5 LRs for 4 steps each, default"
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:7]}
    assert rows["0.01"] == ["2", "0.8", "steepest"]
    assert rows["0.1"] == ["2", "0.7", "lowest"]
    assert " ".join(rows["10"]) == "2 - bent by max_lr, not finite after 2 steps"
    assert "stood still for 1.2 s" in done.stdout
    assert "rheostat lr set digits 0.01" in done.stdout


def test_lrs_are_spaced_evenly_or_named(client, rheostat):
    rheostat("lr", "probe", "digits", "--low", "0.001", "--high", "0.1", "--points", "3")
    rheostat("lr", "probe", "digits", "--lr", "0.5", "--lr", "2", "--steps", "7", "--group", "head")

    assert client.asked == [
        ("probe", [0.001, 0.01, 0.1], 20, ()),
        ("probe", [0.5, 2.0], 7, ["head"]),
    ]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--low", "0"), "--low"),
        (("--low", "nan"), "--low"),
        (("--low", "2", "--high", "1"), "--high"),
        (("--points", "33"), "--points"),
        (("--plot", "a.txt"), "--plot"),
    ],
)
def test_a_mistake_is_told_before_anything_is_tried(client, rheostat, options, why):
    done = rheostat("lr", "probe", "digits", *options)

    assert done.exit_code == 2
    assert why in done.output
    assert client.asked == []


def test_scripts_get_every_loss(client, rheostat):
    found = json.loads(rheostat("lr", "probe", "digits", "--json").stdout)

    assert (found["step"], found["lowest"], found["steepest"]) == (60, 0.1, 0.01)
    assert found["trials"][0]["losses"] == [2.0, 1.98, 1.97, 1.96]
    assert found["trials"][4]["losses"] == [2.0, 9.0, None]
    assert found["trials"][4]["end_loss"] is None


def test_a_probe_is_drawn(client, rheostat, tmp_path):
    file = tmp_path / "probe.svg"
    done = rheostat("lr", "probe", "digits", "--plot", file)

    assert done.exit_code == 0, done.output
    assert f"The picture is in {file}." in done.stdout
    drawn = file.read_text()
    assert "</svg>" in drawn
    for text in ("digits at step 60, 4 steps with each learning rate", "steepest, 0.01"):
        assert f"<!-- {text} -->" in drawn


def test_a_picture_that_cannot_be_written_is_told(client, rheostat, tmp_path):
    done = rheostat("lr", "probe", "digits", "--plot", tmp_path / "nowhere" / "a.png")

    assert done.exit_code == 1
    assert "cannot be written" in done.output


def test_a_probe_of_a_script_says_what_it_took_of_its_data(client, rheostat):
    trials = client.probe.trials[:2]
    same = [msgspec.structs.replace(one, losses=(2.0, *one.losses[1:])) for one in trials]
    other = [msgspec.structs.replace(trials[0], losses=(3.0, 1.0)), same[1]]
    said = []
    for tried in (same, other):
        client.probe = msgspec.structs.replace(client.probe, batches=60, trials=tuple(tried))
        said.append(" ".join(rheostat("lr", "probe", "digits").stdout.split()))

    assert "handed out 60 batches for it, the same for each LR, as the first losses" in said[0]
    assert "handed out 60 batches for it, others for each LR, as the first losses" in said[1]
