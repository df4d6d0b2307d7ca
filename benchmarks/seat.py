"""The seat of a trainer: a benchmark takes it, with a whole daemon and a crowd around it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from rheostat.runs.messages import Finished
from rheostat.runs.records import Result
from rheostat.runs.starting import StartOrder
from rheostat.spec.models import Spec
from rheostat.trainer.checkpoints.starting import start
from rheostat.trainer.link import Link
from rheostat.trainer.loop import Loop


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who is there on a busy day, beside a scraper."""

    watchers: int = 0
    requests_per_second: int = 0


class Peer:
    """A process of the benchmarks that is spoken to in lines of JSON."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        heard: dict[str, Any] = json.loads(self._process.stdout.readline())
        return heard

    def end(self) -> None:
        """Close its input, and wait until it is gone."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()


@dataclass(frozen=True, slots=True)
class Seat:
    """What a benchmark has of it all."""

    loop: Loop
    """The trainer's own, with all that is on by default, checkpoints too."""
    pid: int
    """Of the daemon."""
    _crowd: Peer

    def tally(self) -> dict[str, Any]:
        """Return what the crowd saw so far; the loop stands meanwhile. See `benchmarks.crowd`."""
        self._crowd.say("tally")
        return self._crowd.hear()


@contextmanager
def seat(spec: Spec, crowd: Crowd) -> Iterator[Seat]:
    """Take the seat of a trainer whose run is watched, scraped each second, and asked things."""
    daemon = Peer("benchmarks.daemon")
    daemon.say(spec.model_dump_json())
    where, begins = daemon.hear(), daemon.hear()
    run = begins["run"]
    load = (str(crowd.watchers), str(crowd.requests_per_second))
    clients = Peer("benchmarks.crowd", run, where["address"], where["metrics"], *load)
    link = Link(Path(begins["link"]), run, begins["token"])
    order = msgspec.convert(begins["order"], StartOrder)
    loop = start(run, Path(begins["folder"]), link, order)
    clients.hear()  # everybody is there
    try:
        yield Seat(loop, daemon.pid, clients)
    finally:
        clients.end()
        link.close(Finished(result=Result(steps=loop.step), stopped=True))
        daemon.end()
