"""What a real daemon takes from afar, and what from its owner."""

import json

import pytest

from rheostat.errors import InvalidRequest, InvalidSpec
from rheostat.runs.records import Phase
from rheostat.steering.records import PolicyEdit

MINE = {"schedule": {"name": "steering_plugins:halves"}}


@pytest.fixture
def strict(start_daemon, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "spec.json").write_text(
        json.dumps({"name": "own", "train": {"steps": 1, "device": "cpu"}, **MINE})
    )
    return start_daemon(
        *("--data-root", tmp_path / "data", "--specs", tmp_path / "own"),
        admits=("--allow-import", "allowed_only:*"),
    )


def test_code_comes_from_the_owner_or_from_nobody(strict):
    with pytest.raises(InvalidSpec, match=r"schedule.name = steering_plugins:halves: .*--allow-im"):
        strict.create(**MINE)
    with strict.training() as run, pytest.raises(InvalidRequest, match=r"policy = steering_plug.*"):
        run.change("attach", policy=PolicyEdit(policy="steering_plugins:P"))

    [own] = [view for view in strict.client.list_runs() if view.name == "own"]
    assert own.phase in (Phase.FAILED, Phase.SUCCEEDED)
    assert own.failure is None or "--allow-import" not in own.failure.message


def test_files_are_read_below_the_data_root_only(strict, tmp_path):
    (tmp_path / "data" / "way-out").symlink_to("/etc")
    for root in ("/etc", tmp_path, tmp_path / "data" / ".." / "own", tmp_path / "data" / "way-out"):
        with pytest.raises(InvalidSpec, match=r"data.root = .*a path below .*--data-root"):
            strict.create(data={"name": "mnist", "root": str(root)})
    inside = strict.create(data={"name": "mnist", "root": str(tmp_path / "data")})

    assert "no such" in inside.end().failure.message or "t10k" in inside.end().failure.message
