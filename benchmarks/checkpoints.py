"""What a checkpoint costs the loop: how long it stands still, and what its steps take meanwhile.

A run of the trainer's own loop, without a daemon, takes checkpoints at its defaults but every
`--every` seconds, and a snapshot every `--snapshots` steps. *Stalled* is what the loop waits for a
checkpoint, *snapshot* what it waits for one of these; *copy* is what the bare copying of the same
tensors into memory that is ready takes, as they do right after a step; *to disk* is from the
boundary until the checkpoint is on the disk, synced. Steps are timed one by one: those that ran
while one was being written, beside all others.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.daemon import show
from rheostat.runs.messages import Message, Saved
from rheostat.runs.starting import SPEC_FILE, StartOrder
from rheostat.spec.models import Spec
from rheostat.trainer.checkpoints.starting import start
from rheostat.trainer.peers import Nobody

COPIES = 20


class Listener(Nobody):
    """Keeps what is told of checkpoints."""

    def __init__(self) -> None:
        self.saved: list[Saved] = []

    def send(self, *messages: Message) -> None:
        self.saved += [one for one in messages if isinstance(one, Saved)]


def measure(
    hidden: list[int], seconds: float, every: float, snapshots: int, folder: Path
) -> dict[str, Any]:
    spec = Spec.model_validate(
        {
            "model": {"name": "mlp", "args": {"hidden": hidden}},
            "optimizer": {"name": "Adam", "lr": 1e-3},
            "train": {"steps": 10**9, "device": "cpu", "threads": 1},
            "evaluate": {"every": 10**8},
            "checkpoint": {"every_seconds": every, "snapshots": {"every": snapshots}},
        }
    )
    (folder / SPEC_FILE).write_text(spec.model_dump_json())
    listener = Listener()
    loop = start("benchmark", folder, listener, StartOrder())
    saver = loop._saver
    assert saver is not None
    kept: list[float] = []
    keep = saver._keep_snapshot

    def timed(*arguments: Any) -> None:
        began = time.perf_counter()
        keep(*arguments)
        kept.append(time.perf_counter() - began)

    saver._keep_snapshot = timed  # type: ignore[method-assign]
    quiet: list[float] = []
    writing: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end or len(listener.saved) < 4:
        known = len(listener.saved)
        was_busy = saver.is_busy
        loop.advance(1)
        if was_busy and saver.is_busy:
            writing.append(time.perf_counter() - began)
        elif not was_busy and not saver.is_busy and len(listener.saved) == known:
            quiet.append(time.perf_counter() - began)
    tensors = [one for named in loop._gather().tensors.values() for one in named.values()]
    room = [one.clone() for one in tensors]
    copies = []
    for _ in range(COPIES):
        loop.advance(1)
        began = time.perf_counter()
        for there, here in zip(room, tensors, strict=True):
            there.copy_(here)
        copies.append(time.perf_counter() - began)
    saver.finish(loop.progress, None)
    saved = listener.saved[1:]  # the first has made the room
    return {
        "parameters": sum(one.numel() for one in loop.parts.model.parameters()),
        "megabytes": sum(one.nbytes for one in tensors) / 1e6,
        "checkpoints": len(saved),
        "snapshots": len(kept),
        "snapshot_ms": 1e3 * statistics.median(kept[1:]),
        "stalled_ms": 1e3 * statistics.median(one.stalled for one in saved),
        "copy_ms": 1e3 * statistics.median(copies),
        "to_disk_ms": 1e3 * statistics.median(one.seconds for one in saved),
        "step_ms": 1e3 * statistics.median(quiet),
        "step_while_writing_ms": 1e3 * statistics.median(writing) if writing else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each size")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between checkpoints")
    parser.add_argument("--snapshots", type=int, default=5, help="steps between snapshots")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for hidden in ([64, 64, 32], [1024, 1024], [3072, 3072]):
        with tempfile.TemporaryDirectory() as folder:
            results.append(
                measure(hidden, options.seconds, options.every, options.snapshots, Path(folder))
            )
    lines = [
        f"{one['megabytes']:8.1f} MB: stalled {one['stalled_ms']:.2f} ms, by a snapshot "
        f"{one['snapshot_ms']:.2f} ms (copy alone {one['copy_ms']:.2f} ms), to disk "
        f"{one['to_disk_ms']:.0f} ms, a step takes {one['step_ms']:.2f} ms, while writing "
        f"{one['step_while_writing_ms'] or 0:.2f} ms"
        for one in results
    ]
    show({"sizes": results}, options.json, "\n".join(lines))


if __name__ == "__main__":
    main()
