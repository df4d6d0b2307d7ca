import contextlib
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.errors import BrokenChain, NotFound, StorageFailed
from rheostat.runs import audit
from rheostat.runs.records import (
    Failure,
    FieldViolation,
    GroupDescription,
    Origin,
    Phase,
    Result,
    RunView,
    Snapshot,
    StepRows,
)
from rheostat.runs.restarting import TrackRecord
from rheostat.runs.rows import cut, end_of
from rheostat.runs.schema import MIGRATIONS
from rheostat.runs.store import Store
from rheostat.steering.records import (
    Change,
    Decision,
    GroupChange,
    GroupState,
    Offence,
    PolicyStatus,
    RollbackEdit,
    ScheduleEdit,
    Verb,
)

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
def store(path):
    store = Store(path)
    yield store
    store.close()


# --- runs --------------------------------------------------------------------------------------


def test_a_run_reads_back_as_it_was_created(store):
    created = store.create_run(a_run("digits"), "")

    assert store.get_run("digits") == created == a_run("digits")


def test_a_saved_run_reads_back_with_every_field(store):
    store.create_run(a_run("digits"), "")
    everything = a_run(
        "digits",
        phase=Phase.FAILED,
        steps=400,
        groups=(GroupDescription(name="head", tensors=2, parameters=650, lr=None, lr_scale=0.1),),
        snapshot=Snapshot(
            step=12,
            revision=0,
            groups=(
                GroupState(
                    name="head",
                    learning_rate=0.1 + 0.2,
                    base=1e-300,
                    factors={"loss_spike": 0.5},
                    operator=2.0,
                    hold=None,
                    guardrails=("max_lr",),
                ),
            ),
            train_loss=2.3,
            policies=(PolicyStatus(name="loss_spike", outcomes={"changed": 1}),),
        ),
        result=Result(steps=12, weights="weights.safetensors"),
        failure=Failure(
            message="the loss is not finite",
            violations=(FieldViolation(field="optimizer.lr", value="9", expected="less"),),
        ),
        started_at=2.5,
        finished_at=1e9 + 0.1,
        device="cpu",
        pid=4321,
    )

    store.save_run(everything)

    assert store.get_run("digits") == everything


def test_a_snapshot_is_replaced_without_anything_else(store):
    store.create_run(a_run("digits", phase=Phase.RUNNING, steps=400), "")
    snapshot = Snapshot(step=12, revision=0, groups=())

    store.save_snapshot("digits", snapshot)
    store.save_snapshot("nobody", snapshot)

    assert store.list_runs() == [a_run("digits", phase=Phase.RUNNING, steps=400, snapshot=snapshot)]


def test_an_unknown_run_is_none_and_cannot_be_saved(store):
    assert store.get_run("ghost") is None
    with pytest.raises(NotFound, match="'ghost'"):
        store.save_run(a_run("ghost"))


def test_a_taken_name_gets_the_first_free_number(store):
    names = [store.create_run(a_run("digits"), "").name for _ in range(3)]
    store.delete_run("digits-2")
    names.append(store.create_run(a_run("digits"), "").name)

    assert names == ["digits", "digits-2", "digits-3", "digits-2"]


def test_a_numbered_name_is_no_longer_than_a_name_may_be(store):
    for _ in range(2):
        longest = store.create_run(a_run("x" * 63), "").name

    assert longest == "x" * 61 + "-2"


def test_a_repeated_request_returns_the_first_run_as_it_is_now(store):
    store.create_run(a_run("digits"), "request-1")
    store.save_run(a_run("digits", phase=Phase.RUNNING))

    again = store.create_run(a_run("digits"), "request-1")

    assert again == a_run("digits", phase=Phase.RUNNING)
    assert len(store.list_runs()) == 1


def test_runs_are_listed_in_the_order_of_their_creation(store):
    for name in ("zeta", "alpha", "mid"):
        store.create_run(a_run(name), "")
    store.save_run(a_run("zeta", phase=Phase.RUNNING))

    assert [view.name for view in store.list_runs()] == ["zeta", "alpha", "mid"]


def test_a_deleted_run_leaves_nothing_behind(store):
    store.create_run(a_run("digits"), "")
    store.append_decisions("digits", [a_decision(1)])
    store.append_rows("digits", rows(0, 4))

    store.delete_run("digits")
    store.create_run(a_run("digits"), "")

    assert store.list_decisions("digits") == []
    assert store.read_rows("digits") == []


def test_the_revision_of_a_run_is_that_of_its_newest_decision(store):
    store.create_run(a_run("digits"), "")
    store.append_decisions("digits", [a_decision(1), a_decision(2)])
    store.save_run(a_run("digits", revision=77))

    assert store.get_run("digits").revision == 2
    assert [view.revision for view in store.list_runs()] == [2]


# --- decisions ---------------------------------------------------------------------------------


def test_decisions_are_chained_across_calls_and_read_back_verified(store):
    store.create_run(a_run("digits"), "")
    records = store.append_decisions("digits", [a_decision(1), a_decision(2)])
    records += store.append_decisions("digits", [a_decision(3)])

    assert store.list_decisions("digits") == records
    assert records[0].previous_hash == audit.GENESIS
    audit.verify(store.list_decisions("digits"))


def test_each_run_has_a_chain_of_its_own(store):
    for name in ("one", "two"):
        store.create_run(a_run(name), "")
        store.append_decisions(name, [a_decision(1, request_id="same")])

    assert store.list_decisions("two")[0].previous_hash == audit.GENESIS
    assert store.list_decisions("two")[0].hash != store.list_decisions("one")[0].hash


@pytest.mark.parametrize("revision", [4, 5])
def test_a_revision_that_is_not_the_next_is_refused_and_nothing_is_kept(store, revision):
    store.create_run(a_run("digits"), "")
    store.append_decisions("digits", [a_decision(1)])

    with pytest.raises(BrokenChain, match=f"decision {revision} cannot follow 2"):
        store.append_decisions("digits", [a_decision(2), a_decision(revision)])

    assert [record.decision.revision for record in store.list_decisions("digits")] == [1]


def test_a_request_id_cannot_be_decided_twice(store):
    store.create_run(a_run("digits"), "")

    with pytest.raises(StorageFailed, match="UNIQUE constraint"):
        store.append_decisions("digits", [a_decision(n, request_id="once") for n in (1, 2)])

    assert store.list_decisions("digits") == []


def test_decisions_of_an_unknown_run_are_refused(store):
    with pytest.raises(StorageFailed, match="FOREIGN KEY"):
        store.append_decisions("ghost", [a_decision(1)])


def test_decisions_are_listed_in_pages(store):
    store.create_run(a_run("digits"), "")
    store.append_decisions("digits", [a_decision(n) for n in range(1, 8)])

    page = store.list_decisions("digits", after_revision=2, limit=3)

    assert [record.decision.revision for record in page] == [3, 4, 5]


def test_a_decision_is_found_by_its_request(store):
    store.create_run(a_run("digits"), "")
    asked = a_decision(2, request_id="request-9")
    store.append_decisions("digits", [a_decision(1), asked])

    assert store.find_decision("digits", "request-9") == asked
    assert store.find_decision("digits", "request-8") is None
    assert store.find_decision("digits", "") is None


def test_decisions_are_counted_by_source(store):
    store.create_run(a_run("digits"), "")
    sources = ["operator", "policy:loss_spike", "operator"]
    store.append_decisions(
        "digits", [a_decision(n, source=source) for n, source in enumerate(sources, start=1)]
    )

    assert store.count_decisions_by_source("digits") == {"operator": 2, "policy:loss_spike": 1}
    assert store.count_decisions_by_source("ghost") == {}


def test_a_rollback_puts_the_rows_aside_that_it_undoes_and_forgets_who_was_late_there(store):
    store.create_run(a_run("digits"), "")
    whole = rows(0, 30, validation_loss={10: 0.5, 20: 0.4})
    store.append_rows("digits", cut(whole, 0, 16))
    store.append_rows("digits", cut(whole, 16, 30))
    store.add_offences(
        "digits", [Offence(policy="slow", step=step, outcome="slow") for step in (9, 10)]
    )
    edit = RollbackEdit(from_step=30, to_step=10, to_revision=0, steps=99)
    back = Decision(revision=1, applied_step=10, source="rollback", groups=(), rollback=edit)

    store.append_decisions("digits", [back])
    store.append_decisions("digits", [back])  # told again

    assert store.next_row("digits") == 10
    assert store.read_rows("digits") == [cut(whole, 0, 10)]
    undone = store.read_undone_rows("digits", 1)
    assert [(one.first_step, end_of(one)) for one in undone] == [(10, 16), (16, 30)]
    assert [one.validation_loss for one in undone] == [{}, {20: 0.4}]
    assert [one.step for one in store.list_offences("digits")] == [9]
    assert store.read_undone_rows("digits", 2) == []


def test_the_planned_length_is_that_of_the_newest_decision_that_left_another(store):
    def horizon(revision, steps):
        return a_decision(revision, verb="horizon", edit=ScheduleEdit(steps=steps))

    edit = RollbackEdit(from_step=30, to_step=10, to_revision=1, steps=80)
    back = Decision(
        revision=3, applied_step=10, source="rollback", verb="rollback", groups=(), rollback=edit
    )
    store.create_run(a_run("digits"), "")
    planned = [store.planned_steps("digits")]
    for one in (horizon(1, 80), horizon(2, 60), back, a_decision(4), horizon(5, 70)):
        store.append_decisions("digits", [one])
        planned.append(store.planned_steps("digits"))

    assert planned == [None, 80, 60, 80, 80, 70]
    assert [store.planned_steps("digits", since) for since in (4, 5)] == [70, None]


# --- step rows ---------------------------------------------------------------------------------


def test_step_rows_keep_every_bit(store):
    store.create_run(a_run("digits"), "")
    batch = rows(0, 2, validation_loss={2: 0.1 + 0.2})

    store.append_rows("digits", batch)

    assert store.read_rows("digits") == [batch]


def test_step_rows_are_read_in_pages_that_lose_and_repeat_nothing(store):
    store.create_run(a_run("digits"), "")
    batches = [rows(first, 10) for first in range(0, 70, 10)]
    for batch in batches:
        store.append_rows("digits", batch)

    read, after_step = [], -1
    while page := store.read_rows("digits", after_step, limit_batches=3):
        read += page
        after_step = page[-1].first_step + page[-1].count - 1

    assert read == batches


def test_a_step_in_the_middle_of_a_batch_gives_that_batch(store):
    store.create_run(a_run("digits"), "")
    store.append_rows("digits", rows(0, 10))

    assert store.read_rows("digits", after_step=8) == [rows(0, 10)]
    assert store.read_rows("digits", after_step=9) == []


def test_the_validation_after_the_last_step_joins_the_batch_of_that_step(store):
    store.create_run(a_run("digits"), "")
    store.append_rows("digits", rows(0, 10, validation_loss={5: 0.9}))

    store.append_rows("digits", rows(0, 0, validation_loss={10: 0.4}))

    assert store.read_rows("digits") == [rows(0, 10, validation_loss={5: 0.9, 10: 0.4})]


def test_a_validation_before_any_step_has_no_row_to_join(store):
    store.create_run(a_run("digits"), "")

    store.append_rows("digits", rows(0, 0, validation_loss={0: 2.3}))

    assert store.read_rows("digits") == []


def one_by_one(batches):
    """Return every step of some batches as a batch of its own."""
    return [
        cut(batch, step, step + 1)
        for batch in batches
        for step in range(batch.first_step, end_of(batch))
    ]


@given(
    batches=st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 12)).filter(lambda one: sum(one) <= 30),
        max_size=12,
    )
)
def test_rows_that_are_told_again_replace_themselves_however_they_are_cut(batches):
    whole = rows(0, 30, validation_loss={10: 0.5, 30: 0.4}, gradient_norm={0: 1.0, 20: 2.0})
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "state.db")
        store.create_run(a_run("digits"), "")
        store.append_rows("digits", cut(whole, 0, 17))
        store.append_rows("digits", cut(whole, 17, 30))

        for first, count in batches:
            store.append_rows("digits", cut(whole, first, first + count))

        read = store.read_rows("digits")
        assert one_by_one(read) == one_by_one([whole])
        assert [one.first_step for one in read[1:]] == [end_of(one) for one in read[:-1]]
        assert store.next_row("digits") == 30
        store.close()


# --- what lets a run go on ---------------------------------------------------------------------


def test_decisions_that_are_told_again_change_nothing(store):
    store.create_run(a_run("digits"), "")
    first = store.append_decisions("digits", [a_decision(1), a_decision(2)])

    again = store.append_decisions("digits", [a_decision(2), a_decision(3)])

    assert [record.decision.revision for record in again] == [3], "only what is new"
    assert store.list_decisions("digits") == [*first, *again]


def test_another_decision_of_the_same_revision_is_refused(store):
    store.create_run(a_run("digits"), "")
    store.append_decisions("digits", [a_decision(1)])

    with pytest.raises(BrokenChain, match="another decision 1 is in its history"):
        store.append_decisions("digits", [a_decision(1, reason="not the same")])


def test_a_change_waits_until_it_is_decided_or_refused(store):
    store.create_run(a_run("digits"), "")
    later, never = [
        Change(verb=Verb.SCALE, value=0.5, at_step=70, request_id=key) for key in ("later", "never")
    ]
    for change in (later, never, later):
        store.keep_change("digits", change)
    assert store.list_changes("digits") == [later, never]

    store.append_decisions("digits", [a_decision(1, request_id="later")])
    store.drop_change("digits", "never")

    assert store.list_changes("digits") == []


def test_offences_are_kept_once_each_in_the_order_of_their_steps(store):
    store.create_run(a_run("digits"), "")
    offences = [Offence(policy="slow", step=step, outcome="slow") for step in (9, 3)]

    store.add_offences("digits", offences)
    store.add_offences("digits", offences)

    assert [one.step for one in store.list_offences("digits")] == [3, 9]
    assert [one.step for one in store.list_offences("digits", from_step=4)] == [9]

    store.drop_offences("digits", from_step=9)

    assert [one.step for one in store.list_offences("digits")] == [3]


def test_a_branch_shares_the_past_of_its_origin_and_nothing_after(store):
    store.create_run(a_run("trunk"), "")
    store.append_decisions("trunk", [a_decision(1), a_decision(2), a_decision(3)])
    store.append_rows("trunk", rows(0, 6))
    store.append_rows("trunk", rows(6, 6))
    store.add_offences(
        "trunk", [Offence(policy="mine", step=step, outcome="slow") for step in (3, 9)]
    )
    origin = Origin(run="trunk", kind="fork", step=8)
    made = store.branch_run(a_run("trunk", origin=origin), "key", revision=2, offences=8)

    assert (made.name, made.revision, made.origin) == ("trunk-2", 2, origin)
    assert store.get_run("trunk-2") == made
    records = store.list_decisions("trunk-2")
    audit.verify(records)
    assert [one.decision for one in records] == [
        one.decision for one in store.list_decisions("trunk")[:2]
    ]
    assert store.next_row("trunk-2") == 8
    assert [one.step for one in store.list_offences("trunk-2")] == [3]
    assert store.next_row("trunk") == 12
    again = store.branch_run(a_run("trunk", origin=origin), "key", revision=2, offences=8)
    assert again == made


def test_a_branch_of_what_rollbacks_have_undone_has_the_rows_that_led_there(store):
    def back(revision, from_step, to_step, to_revision):
        edit = RollbackEdit(from_step=from_step, to_step=to_step, to_revision=to_revision, steps=99)
        return Decision(
            revision=revision, applied_step=to_step, source="rollback", groups=(), rollback=edit
        )

    def told(era, start, count):
        losses = struct.pack(f"<{count}d", *(era + step for step in range(start, start + count)))
        return msgspec.structs.replace(rows(start, count), train_loss=losses)

    first, second, third = told(0.0, 0, 30), told(0.25, 20, 5), told(0.5, 10, 8)
    store.create_run(a_run("trunk"), "")
    store.append_rows("trunk", cut(first, 0, 16))
    store.append_rows("trunk", cut(first, 16, 30))
    store.append_decisions("trunk", [a_decision(1), back(2, 30, 20, 0)])
    store.append_rows("trunk", second)
    store.append_decisions("trunk", [back(3, 25, 10, 0)])
    store.append_rows("trunk", third)

    def losses(step, undone_by):
        origin = Origin(run="trunk", kind="fork", step=step)
        made = store.branch_run(
            a_run("branch", origin=origin), "", revision=1, offences=0, undone_by=undone_by
        )
        batches = store.read_rows(made.name)
        packed = b"".join(one.train_loss for one in batches)
        assert sum(one.count for one in batches) == step
        return list(struct.unpack(f"<{step}d", packed))

    assert losses(28, 2) == [float(step) for step in range(28)]
    assert losses(24, 3) == [*map(float, range(20)), *(0.25 + step for step in range(20, 24))]
    assert losses(15, None) == [*map(float, range(10)), *(0.5 + step for step in range(10, 15))]


def test_it_is_known_how_trainers_have_fared(store):
    store.create_run(a_run("digits"), "")
    assert store.get_trainer("digits") == ("", TrackRecord())

    store.save_trainer("digits", "secret", TrackRecord(reached=7, fruitless=2))

    assert store.get_trainer("digits") == ("secret", TrackRecord(reached=7, fruitless=2))


# --- the file ----------------------------------------------------------------------------------


def test_only_this_user_reads_the_file_which_holds_secrets(store, path):
    store.create_run(a_run("digits"), "")

    modes = [file.stat().st_mode & 0o777 for file in path.parent.glob("state.db*")]
    assert len(modes) > 1, "SQLite keeps files beside it"
    assert set(modes) == {0o600}


def test_a_file_of_schema_1_is_opened_and_keeps_everything(path):
    old = sqlite3.connect(path)
    old.executescript((FIXTURES / "schema-1.sql").read_text())
    old.close()

    store = Store(path)
    views = {view.name: view for view in store.list_runs()}

    assert {name: view.phase for name, view in views.items()} == {
        "finished": Phase.SUCCEEDED,
        "interrupted": Phase.FAILED,
        "waiting": Phase.QUEUED,
    }
    assert "an older Rheostat" in views["interrupted"].failure.message
    assert views["waiting"].queued_at == views["waiting"].created_at
    history = store.list_decisions("interrupted")
    assert [record.decision.request_id for record in history] == ["halve", "hold"]
    audit.verify(history)
    assert store.next_row("finished") == 30
    store.save_trainer("waiting", "secret", TrackRecord())
    store.close()
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_a_migrated_file_has_the_tables_of_a_new_one(path, tmp_path):
    old = sqlite3.connect(path)
    old.executescript((FIXTURES / "schema-1.sql").read_text())
    old.close()
    Store(path).close()
    Store(tmp_path / "new.db").close()

    def tables(file):
        with contextlib.closing(sqlite3.connect(file)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {
                name: connection.execute(f"PRAGMA table_info({name})").fetchall()
                for (name,) in names.fetchall()
            }

    assert tables(path) == tables(tmp_path / "new.db")


def test_a_damaged_page_is_told_with_the_path_and_the_mend(store, path):
    store.create_run(a_run("digits"), "")
    store.append_decisions("digits", [a_decision(n, reason="x" * 500) for n in range(1, 200)])
    store.close()
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        for page in range(1, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 2048)

    with pytest.raises(StorageFailed, match=r"state\.db: .*malformed.*\.recover"):
        Store(path).list_runs()


def test_everything_is_there_after_closing_and_opening_again(store, path):
    store.create_run(a_run("digits"), "request-1")
    records = store.append_decisions("digits", [a_decision(1)])
    store.append_rows("digits", rows(0, 4))
    store.close()

    again = Store(path)

    assert again.create_run(a_run("digits"), "request-1") == a_run("digits", revision=1)
    assert again.list_decisions("digits") == records
    assert again.read_rows("digits") == [rows(0, 4)]
    again.close()


WRITER = """
import sys
from pathlib import Path
from rheostat.runs.records import Phase, RunView
from rheostat.runs.store import Store
from rheostat.steering.records import Decision

store = Store(Path(sys.argv[1]))
store.create_run(RunView(name="digits", phase=Phase.RUNNING, spec="{}"), "")
for first in range(1, 1_000_000, 3):
    batch = [
        Decision(revision=revision, applied_step=revision, source="operator", groups=())
        for revision in range(first, first + 3)
    ]
    records = store.append_decisions("digits", batch)
    print(records[-1].decision.revision, flush=True)
"""


def test_no_acknowledged_decision_is_lost_when_the_writer_is_killed(path):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    seen = [next(writer.stdout) for _ in range(20)]
    writer.send_signal(signal.SIGKILL)
    remaining, _ = writer.communicate()
    acknowledged = int([*seen, *remaining.splitlines()][-1])

    store = Store(path)
    records = store.list_decisions("digits", limit=1_000_000)
    last = records[-1].decision.revision
    goes_on = store.append_decisions("digits", [a_decision(last + 1)])
    store.close()

    assert last in {acknowledged, acknowledged + 3}
    audit.verify([*records, *goes_on])


def test_a_decision_altered_in_the_file_is_found(store, path):
    store.create_run(a_run("digits"), "")
    store.append_decisions("digits", [a_decision(1, reason="plateau"), a_decision(2)])
    with sqlite3.connect(path) as stranger:
        stranger.execute("UPDATE decisions SET record = replace(record, 'plateau', 'boredom')")
    stranger.close()

    with pytest.raises(BrokenChain, match="run digits: decision 1 was altered"):
        audit.verify(store.list_decisions("digits"))


def test_a_newer_schema_is_refused_and_left_alone(path):
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    before = path.read_bytes()

    with pytest.raises(StorageFailed, match=r"state\.db was written by a newer Rheostat"):
        Store(path)

    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_with_its_path(path):
    path.write_text("name: digits\n" * 100)

    with pytest.raises(StorageFailed, match=r"state\.db: file is not a database"):
        Store(path)


def test_a_missing_folder_is_refused_with_the_path(tmp_path):
    with pytest.raises(StorageFailed, match=r"nowhere/state\.db: .*No such file"):
        Store(tmp_path / "nowhere" / "state.db")


def test_a_damaged_row_is_told_with_the_path(store, path):
    store.create_run(a_run("digits"), "")
    with sqlite3.connect(path) as stranger:
        stranger.execute("UPDATE runs SET groups = '[{'")
    stranger.close()

    with pytest.raises(StorageFailed, match=r"state\.db: Input data was truncated"):
        store.get_run("digits")


def test_a_full_disk_is_told_with_the_path_and_loses_nothing_before_it(store, path):
    store.create_run(a_run("digits"), "")
    kept = store.append_decisions("digits", [a_decision(1)])
    connection = store._database._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StorageFailed, match=r"state\.db: database or disk is full"):
        store.append_decisions("digits", [a_decision(n, reason="x" * 999) for n in range(2, 99)])

    assert store.list_decisions("digits") == kept


def test_commits_reach_the_disk_itself(store):
    connection = store._database._connection

    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


# --- what the tests write ----------------------------------------------------------------------


def a_run(name, **fields):
    view = RunView(
        name=name, phase=Phase.QUEUED, spec='{"name":"digits"}', principal="ada", created_at=1.25
    )
    return msgspec.structs.replace(view, **fields)


def a_decision(revision, **fields):
    change = GroupChange(name="head", old=0.1, new=0.05, base=0.1, operator=0.5)
    decision = Decision(
        revision=revision, applied_step=10 * revision, source="operator", groups=(change,)
    )
    return msgspec.structs.replace(decision, **fields)


def rows(first_step, count, **columns):
    doubles = struct.pack(f"<{count}d", *(0.1 * step for step in range(count)))
    return StepRows(
        first_step=first_step,
        count=count,
        train_loss=doubles,
        learning_rate={"head": doubles} if count else {},
        duration=doubles,
        **columns,
    )
