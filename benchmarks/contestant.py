"""One contestant of `benchmarks.peers`, in a process of its own as in life.

`python -m benchmarks.contestant NAME WATCHERS REQUESTS` reads a spec as a line of JSON and says
when it is ready; for each number that it reads then it takes as many steps and says how many
seconds one of them took. Where torch has one thread, and the machine several cores, contestants
take turns on the first core, and Rheostat's daemon and its clients have the others.
"""

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmarks.contestants import MAKERS, Clock, Contestant, Rheostat
from benchmarks.seat import Crowd, seat
from rheostat.spec.models import Spec
from rheostat.trainer.building import build

RHEOSTAT = "rheostat"
WARM_UP = 3
"""Steps at the start of a slice that are not counted."""


@contextmanager
def contestant(name: str, spec: Spec, crowd: Crowd) -> Iterator[Contestant]:
    """Take part under a name, which is one of `MAKERS` or Rheostat's."""
    first, *others = _cores()
    if name == RHEOSTAT:
        _have(others)
        with seat(spec, crowd) as taken:
            _have([first])
            yield Rheostat(taken.loop)
    else:
        _have([first])
        yield MAKERS[name](build(spec, name))


def _cores() -> list[int | None]:
    """Return the cores there are, None where they are not to be told apart."""
    if not hasattr(os, "sched_setaffinity") or torch.get_num_threads() > 1:
        return [None]
    return sorted(os.sched_getaffinity(0))


def _have(cores: list[int | None]) -> None:
    if numbers := [core for core in cores if core is not None]:
        os.sched_setaffinity(0, numbers)


def main() -> None:
    name, watchers, requests = sys.argv[1:]
    # What libraries print is not what is asked.
    answers, sys.stdout = sys.stdout, sys.stderr
    warnings.filterwarnings("ignore", module="lightning|torch|transformers|ignite")

    def say(**answer: object) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    spec = Spec.model_validate_json(sys.stdin.readline())
    with contestant(name, spec, Crowd(int(watchers), int(requests))) as one:
        clock = Clock(one.model)
        say(is_ready=True)
        for line in sys.stdin:
            with clock:
                one.run(WARM_UP + int(line))
            say(step_seconds=clock.step(WARM_UP))


if __name__ == "__main__":
    main()
