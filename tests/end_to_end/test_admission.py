"""What a real daemon takes from afar, and what from its owner."""

import json

import pytest

from rheostat.errors import InvalidRequest, InvalidSpec
from rheostat.runs.records import Phase
from rheostat.steering.records import PolicyEdit

from .conftest import living_daemon

MINE = {"schedule": {"name": "steering_plugins:halves"}}


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strict")
    (folder / "data").mkdir()
    (folder / "own").mkdir()
    (folder / "own" / "spec.json").write_text(
        json.dumps({"name": "own", "train": {"steps": 1, "device": "cpu"}, **MINE})
    )
    options = ("--data-root", folder / "data", "--specs", folder / "own")
    with living_daemon(folder / "state", *options, admits=("--allow-import", "paced:*")) as daemon:
        daemon.folder = folder
        yield daemon


def test_code_comes_from_the_owner_or_from_nobody(strict):
    with pytest.raises(InvalidSpec, match=r"schedule.name = steering_plugins:halves: .*--allow-im"):
        strict.create(**MINE)
    with strict.training() as run, pytest.raises(InvalidRequest, match=r"policy = steering_plug.*"):
        run.change("attach", policy=PolicyEdit(policy="steering_plugins:P"))

    [own] = [view for view in strict.client.list_runs() if view.name == "own"]
    assert own.phase in (Phase.FAILED, Phase.SUCCEEDED)
    assert own.failure is None or "--allow-import" not in own.failure.message


def test_files_are_read_below_the_data_root_only(strict):
    folder, data = strict.folder, strict.folder / "data"
    (data / "way-out").symlink_to("/etc")
    for root in ("/etc", folder, data / ".." / "own", data / "way-out"):
        with pytest.raises(InvalidSpec, match=r"data.root = .*a path below .*--data-root"):
            strict.create(data={"name": "mnist", "root": str(root)})
    inside = strict.create(data={"name": "mnist", "root": str(data)})

    assert "no such" in inside.end().failure.message or "t10k" in inside.end().failure.message
