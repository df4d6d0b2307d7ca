"""Whether a run that was interrupted is the run that nobody interrupted."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from tests.crash.daemons import environment
from tests.crash.evidence import (
    CONTROL_FILE,
    HISTORY_FILE,
    LIVE,
    REPLAY,
    Control,
    History,
    Told,
    standing,
)
from tests.crash.verdict import (
    Columns,
    columns_of,
    of_decisions,
    of_ending,
    of_history,
    of_rows,
    of_sights,
    of_steps,
    unnumbered,
    without_guardrails,
)

from rheostat.runs.lineage import surviving
from rheostat.runs.records import StepRows
from rheostat.runs.starting import SPEC_FILE
from rheostat.runs.store import Store
from rheostat.steering.records import DecisionRecord

WEIGHTS_FILE = "model.safetensors"
_ROOT = Path(__file__).parents[2]


def judge(state_dir: Path, told: Mapping[str, Told]) -> list[str]:
    """Return what is wrong with runs that have ended; nothing where all is well."""
    written = {run: _read(state_dir, run, one) for run, one in told.items()}
    folders = {run: _prepare(state_dir / "control" / run, one) for run, one in written.items()}
    _train_controls(list(folders.values()))
    return [
        f"{run}: {fault}"
        for run, one in written.items()
        for fault in [*_of_outside(one, told[run]), *_of_control(one, folders[run])]
    ]


class Written(NamedTuple):
    """What is written down of a run."""

    folder: Path
    records: list[DecisionRecord]
    columns: Columns
    history: History
    """As its control needs it."""


def _read(state_dir: Path, run: str, told: Told) -> Written:
    store = Store(state_dir / "rheostat.db")
    try:
        records = _all_decisions(store, run)
        columns = columns_of(_all_rows(store, run))
        offences = store.list_offences(run)
    finally:
        store.close()
    result = told.view.result
    history = History(
        steps=result.steps if result else 0,
        decisions=tuple(one.decision for one in records),
        offences=tuple(offences),
    )
    return Written(state_dir / "runs" / run, records, columns, history)


def _of_outside(written: Written, told: Told) -> Iterator[str]:
    """Yield what is wrong by what was told to those outside."""
    yield from of_ending(told.view)
    yield from of_history(written.records, told.answers)
    yield from told.answers.failed
    yield from of_steps(written.columns, written.history.steps)
    sights = standing(told.sights, written.history.decisions)
    yield from of_sights(sights, written.columns.get("train_loss", {}))


def _of_control(written: Written, folder: Path) -> Iterator[str]:
    """Yield what is otherwise than in the run that was left alone."""
    weights = _digest(written.folder / WEIGHTS_FILE)
    for place in [folder / name for name in (LIVE, REPLAY) if (folder / name).exists()]:
        control = msgspec.msgpack.decode((place / CONTROL_FILE).read_bytes(), type=Control)
        about = f"{place.name} control"
        yield from (f"{about}: {text}" for text in control.complaints)
        had, columns = written.columns, columns_of(control.rows)
        if place.name == LIVE:
            asked = without_guardrails(surviving(written.history.decisions))
            yield from of_decisions(asked, without_guardrails(control.decisions), about)
            had, columns = unnumbered(had), unnumbered(columns)
        else:
            yield from of_decisions((), control.decisions, about)
        yield from of_rows(had, columns, about)
        if _digest(place / WEIGHTS_FILE) != weights:
            yield f"{about}: the final weights are others"


def _prepare(folder: Path, written: Written) -> Path:
    folder.mkdir(parents=True)
    shutil.copy(written.folder / SPEC_FILE, folder / SPEC_FILE)
    (folder / HISTORY_FILE).write_bytes(msgspec.json.encode(written.history))
    return folder


def _train_controls(folders: Sequence[Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.control", *folders],
        cwd=_ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the controls {folders} failed:\n{done.stdout}{done.stderr}")


def _all_decisions(store: Store, run: str) -> list[DecisionRecord]:
    records: list[DecisionRecord] = []
    while page := store.list_decisions(run, len(records), 1000):
        records += page
    return records


def _all_rows(store: Store, run: str) -> list[StepRows]:
    batches: list[StepRows] = []
    last = -1
    while page := store.read_rows(run, last):
        batches += page
        last = page[-1].first_step + page[-1].count - 1
    return batches


def _digest(file: Path) -> str:
    """Return the checksum of a file, or of none where it is missing."""
    if not file.exists():
        return ""
    return hashlib.sha256(file.read_bytes()).hexdigest()
