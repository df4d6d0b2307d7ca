"""A session at a terminal, as a page's reader has it: one shell, one folder, one loopback.

The shell has namespaces of its own for network and processes, where the kernel grants them. So
every page may have the default ports, pages are read beside each other, and nothing outlives its
page.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
HELPERS = Path(__file__).parent / "helpers"
WARM = Path(__file__).parent / "warm"
SECONDS = 240.0
"""Time that one command has."""
ALONE = ("--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
MORTAL = ("setpriv", "--pdeathsig", "KILL")
"""What a page has started does not outlive the tests, however they end."""
NAMESPACES = (
    (*MORTAL, "unshare", *ALONE),
    (*MORTAL, "unshare", "--user", "--map-root-user", *ALONE),
)
HEEDING = ("env", "--default-signal=INT,QUIT")
"""Whoever starts the tests in the background has them deaf to Ctrl-C, which no shell can undo."""
LOOPBACK = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    SIOCSIFFLAGS, UP_AND_RUNNING = 0x8914, 0x41
    fcntl.ioctl(one, SIOCSIFFLAGS, struct.pack("16sh", b"lo", UP_AND_RUNNING))
socket.sethostname("vm")
os.execvp(sys.argv[1], sys.argv[1:])
"""
SERVED = "until (: > /dev/tcp/127.0.0.1/50051) 2> /dev/null; do sleep 0.1; done"
WAITING = "{{ source {0}.sh; }} < /dev/null > {0}.log 2>&1\necho $? > {0}.code"
BESIDE = """set -m
( trap : INT; unset WARM; source {0}.sh; echo $? > {0}.code ) < /dev/null > {0}.log 2>&1 &
set +m
other_terminal=$!"""
"""A terminal of its own: `interrupt` is Ctrl-C in it, `wait $other_terminal` waits for its end."""
INTERRUPT = """interrupt() {
    while kill -INT -- -$other_terminal; do
        for _ in {1..100}; do
            kill -0 -- -$other_terminal || return 0
            sleep 0.1
        done
    done 2> /dev/null
}
"""


@dataclass(frozen=True)
class Typed:
    """A command on its way, and what it is to print."""

    command: str
    shown: str
    file: Path
    """Where its script is; code and log are beside it."""

    @property
    def printed(self) -> str:
        """All it has printed."""
        log = self.file.with_suffix(".log")
        return log.read_text() if log.exists() else ""

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        code = self.file.with_suffix(".code")
        written = code.read_text().strip() if code.exists() else ""
        return int(written) if written else None


def alone() -> tuple[str, ...]:
    """Return what a command must begin with to have a loopback of its own; nothing if none may."""
    for words in NAMESPACES:
        if shutil.which(words[0]):
            tried = subprocess.run((*words, "true"), capture_output=True, check=False)
            if tried.returncode == 0:
                return (*words, sys.executable, "-c", LOOPBACK)
    return ()


class Terminal:
    """A shell in a folder."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._scripts = folder.parent / "typed"
        self._scripts.mkdir()
        self._number = 0
        self._beside: list[Typed] = []
        prefix = alone()
        self._bash = subprocess.Popen(
            (*prefix, *HEEDING, "bash", "--norc"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**environment, "ALONE": "yes" if prefix else ""},
            text=True,
        )
        self.type(INTERRUPT)
        self.type(f"python {WARM}/serving.py $WARM > /dev/null 2>&1 &")
        self.type("until [ -S $WARM ]; do sleep 0.05; done")

    def type(self, command: str, shown: str = "") -> Typed:
        """Run a command to its end."""
        typed = self._send(command, shown, WAITING)
        self._wait_for(typed)
        if command.rstrip().endswith("&") and "rheostat serve" in command:
            self.type(SERVED)  # a person is not as fast as this
        return typed

    def begin(self, command: str, shown: str = "") -> None:
        """Run a command in a terminal of its own; `end` waits for it."""
        self._beside.append(self._send(command, shown, BESIDE))

    def end(self) -> list[Typed]:
        """Wait for what was begun, and return it."""
        for typed in self._beside:
            self._wait_for(typed)
        return self._beside

    def close(self) -> None:
        """End the shell and all that it has started."""
        self._bash.kill()
        self._bash.communicate()

    def _send(self, command: str, shown: str, line: str) -> Typed:
        self._number += 1
        file = self._scripts / f"{self._number}.sh"
        file.write_text(command + "\n")
        assert self._bash.stdin is not None
        self._bash.stdin.write(line.format(file.with_suffix("")) + "\n")
        self._bash.stdin.flush()
        return Typed(command, shown, file)

    def _wait_for(self, typed: Typed) -> None:
        deadline = time.monotonic() + SECONDS
        while typed.code is None:
            if time.monotonic() > deadline or self._bash.poll() is not None:
                raise TimeoutError(f"no end of\n$ {typed.command}\n{typed.printed}")
            time.sleep(0.02)


@contextmanager
def terminal(folder: Path, **environment: str) -> Iterator[Terminal]:
    """Have a terminal for the life of a block, in a folder with what a clone has.

    Its `examples/digits.yaml` trains as slowly as a page is read: see `helpers/slowly.py`.
    """
    here = folder / "here"
    here.mkdir(parents=True)
    unwanted = shutil.ignore_patterns("node_modules", "__pycache__")
    shutil.copytree(ROOT / "examples", here / "examples", ignore=unwanted)
    spec = here / "examples/digits.yaml"
    spec.write_text(spec.read_text().replace("name: mlp", 'name: "slowly:mlp"'))
    for name in ("helm", "proto", "tools"):
        (here / name).symlink_to(ROOT / name)
    home = folder / "home"
    home.mkdir()
    own = {
        "PATH": f"{WARM}:{BIN}:{HELPERS}:/usr/local/bin:/usr/bin:/bin:/usr/sbin",
        "HOME": str(home),
        "USER": "ada",
        "LANG": "C.UTF-8",
        "COLUMNS": "200",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(HELPERS),
        "WARM": str(folder / "warm"),
        "RHEOSTAT_ALLOW_IMPORT": "slowly:*",
    }
    one = Terminal(here, {**own, **environment})
    try:
        yield one
    finally:
        one.close()
