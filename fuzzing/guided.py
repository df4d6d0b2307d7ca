"""Coverage-guided fuzzing of what reads bytes, with atheris: specs, frames, rules.

    python -m fuzzing.guided spec -max_total_time=60 [-runs=N] [FOLDER OF INPUTS]

What follows the target's name is for libFuzzer. A target may refuse its input with the error that
its reader promises; anything else, and anything that takes a second or much memory, is a finding.
"""

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["rheostat", "rheostat_policies", "ruamel"]):
    from rheostat.errors import InvalidSpec
    from rheostat.runs.frames import BrokenFrame, to_daemon, to_trainer
    from rheostat.spec.admission import Admission
    from rheostat.spec.validation import load
    from rheostat_policies import POLICIES

FEW_BYTES = 4096
SECONDS = 20
MEGABYTES = 1024


def spec(data: bytes) -> None:
    """Read a spec, and look for what it names."""
    try:
        read = load(data.decode("utf-8", "replace"))
    except InvalidSpec:
        return
    list(Admission().violations(read.model_dump(mode="json")))


def frames(data: bytes) -> None:
    """Read what a trainer might say, and what a daemon might, in pieces of any size."""
    framed = len(data).to_bytes(4, "big") + data
    for make in (to_daemon, to_trainer):
        for stream in (data, framed):
            decoder = make()
            try:
                decoder.feed(stream[:7])
                decoder.feed(stream[7:])
            except BrokenFrame:
                continue


def rules(data: bytes) -> None:
    """Make the rules policy: a condition in CEL, and a template for the reason."""
    provider = atheris.FuzzedDataProvider(data)
    when, reason = (provider.ConsumeUnicode(200) for _ in range(2))
    rule = {"name": "one", "when": when, "then": {"scale": 0.5}}
    try:
        POLICIES["rules"](rules=[rule | ({"reason": reason} if reason else {})])
    except ValueError:
        return


TARGETS: dict[str, Callable[[bytes], None]] = {"spec": spec, "frames": frames, "rules": rules}


def main() -> None:
    target = TARGETS[sys.argv[1]]
    limits = [f"-max_len={FEW_BYTES}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}"]
    atheris.Setup([sys.argv[0], *limits, *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
