import pytest
from structlog.testing import capture_logs

from rheostat.errors import InvalidSpec, Violation
from rheostat.provisioning import create_runs


@pytest.fixture
def folder(tmp_path):
    for name in ("b.yaml", "a.json", "c.yml", "notes.txt"):
        (tmp_path / name).write_text(f"name: {name[0]}")
    (tmp_path / "d.yaml").mkdir()
    return tmp_path


def created(service):
    return [(asked["spec"], asked["request_id"]) for _, asked in service.asked]


async def test_spec_files_become_runs_in_the_order_of_their_names(service, folder):
    await create_runs(service, folder)

    assert [spec for spec, _ in created(service)] == ["name: a", "name: b", "name: c"]
    assert {asked["principal"] for _, asked in service.asked} == {"specs"}


async def test_a_file_asks_for_the_same_run_until_its_content_changes(service, folder):
    for name in ("b.yaml", "c.yml"):
        (folder / name).unlink()

    await create_runs(service, folder)
    await create_runs(service, folder)
    (folder / "a.json").write_text("name: other")
    await create_runs(service, folder)

    first, again, changed = (key for _, key in created(service))
    assert first == again != changed
    file, digest = first.removeprefix("specs:").split(":")
    assert (file, len(digest)) == ("a.json", 64)


async def test_a_file_that_is_no_spec_is_logged_and_keeps_no_other_from_training(service, folder):
    (folder / "b.yaml").write_bytes(b"\xff")
    service.errors = [InvalidSpec([Violation("train", "", "a section")])]
    with capture_logs() as logs:
        await create_runs(service, folder)

    assert [(one["event"], one["file"][-6:]) for one in logs] == [
        ("spec.refused", "a.json"),
        ("spec.refused", "b.yaml"),
        ("spec.accepted", "/c.yml"),
    ]
    assert logs[0]["why"] == "train: a section"
