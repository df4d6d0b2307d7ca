"""The launcher of a run's processes: torchrun's engine, and no trainer itself."""

import fcntl
import os
import shutil
import signal
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from rheostat.trainer.distributed.environment import (
    LAUNCHER_VARIABLE,
    LEADS_VARIABLE,
    STORE_VARIABLE,
    Size,
)
from rheostat.trainer.distributed.network import address_towards, interface_of
from rheostat.trainer.distributed.rendezvous import BACKEND, Offer, host_of, offer
from rheostat.trainer.ending import EXIT_FAILED, EXIT_OK

EXIT_LOST = 75
"""Exit code of a rank whose work another rank's end has ended; EX_TEMPFAIL of sysexits.h."""
GRACE_SECONDS = 10
"""Time for rank 0 to say why it ends, once another rank has ended."""


def launch(run: str, folder: Path, size: Size, rendezvous: str | None) -> int:
    """Start the ranks of a run on this machine, see them to their end, and return the exit code.

    When one ends in any other way than well, all do, and this process ends as that one did: the
    daemon sees the signal that killed it, or SIGHUP where it was on another machine. No rank is
    started anew here: where the next ones begin, and what has been decided since, only the daemon
    can say.

    Args:
        run: its name.
        folder: of the run.
        size: how many processes train it.
        rendezvous: host:port where other machines find this one; None where none does.
    """
    os.environ[LEADS_VARIABLE] = "1"
    scratch = folder / "launcher"
    if size.nodes == 1 or rendezvous is None:
        # Without a rendezvous, rank 0 says what is missing.
        prepare(size.processes, "lo")
        config = make_config(1, 1, size.processes, run, scratch)
        os.environ[STORE_VARIABLE] = str(scratch / "ranks")
        config.rdzv_endpoint = str(scratch / "rendezvous")
        config.rdzv_configs["store_type"] = "file"
        config.local_addr = "localhost"
        return run_ranks(config, run, folder)
    host, port = host_of(rendezvous)
    least = size.nodes if size.min_nodes is None else size.min_nodes
    with _alone_with_the_nodes(folder.parent / "nodes.lock"):
        prepare(size.processes, interface_of(address_towards(host, port)))
        made = Offer(
            run=run,
            key=uuid.uuid4().hex,
            processes=size.processes,
            nodes=size.nodes,
            min_nodes=least,
        )
        # Kept, since it goes with the last that holds it.
        store = offer(made, port)
        print(f"waiting for {size.nodes} machines, this one included, at {rendezvous}", flush=True)
        config = make_config(least, size.nodes, size.processes, made.key, scratch)
        config.rdzv_endpoint = f"localhost:{port}"
        config.rdzv_configs["is_host"] = True
        config.local_addr = host
        code = run_ranks(config, run, folder)
        del store
        return code


def prepare(processes: int, interface: str | None) -> None:
    """Set what the ranks of this machine take from their environment.

    Args:
        processes: of this machine.
        interface: by which the ranks talk; None is for their libraries to choose.
    """
    os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    if interface is not None and sys.platform == "linux":
        # On one machine, nobody from elsewhere is to join: gloo asks for no password.
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", interface)


def make_config(least: int, most: int, processes: int, key: str, scratch: Path) -> LaunchConfig:
    """Return what the launchers of all machines have in common.

    Args:
        least: machines.
        most: machines.
        processes: of each.
        key: of the rendezvous.
        scratch: a folder for torch's notes; emptied.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    return LaunchConfig(
        min_nodes=least,
        max_nodes=most,
        nproc_per_node=processes,
        run_id=key,
        rdzv_backend=BACKEND,
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=str(scratch)),
        shutdown_timeout=GRACE_SECONDS,
    )


def run_ranks(config: LaunchConfig, run: str, folder: Path) -> int:
    """Run this machine's ranks to their end; return the exit code, or end by a signal."""
    try:
        start_ranks(config, run, folder)
    except ChildFailedError as error:
        return _end_as(error.failures.values())
    except SignalException as error:
        die_by(int(error.sigval))
    return EXIT_OK


def start_ranks(config: LaunchConfig, run: str, folder: Path) -> None:
    """Run this machine's ranks to their end.

    Raises:
        ChildFailedError: if one of them ended in any other way than well.
        SignalException: if this process was told to end.
        RendezvousError: if the machines did not come together.
    """
    module = ("-m", "rheostat.trainer.distributed")
    elastic_launch(config, sys.executable)(*module, run, str(folder))


def _end_as(failures: Iterable[ProcessFailure]) -> int:
    """End by the signal that killed a rank; where none was, return an exit code.

    SIGTERM is the launcher's own, sent to the others when the first has ended.
    """
    codes = [one.exitcode for one in failures]
    told = [code for code in codes if code not in (-signal.SIGTERM, EXIT_LOST)]
    if killed := [code for code in told if code < 0]:
        die_by(-killed[0])
    if not told:
        die_by(signal.SIGHUP if EXIT_LOST in codes else signal.SIGTERM)
    return next(iter(told), EXIT_FAILED)


def die_by(number: int) -> None:
    """End this process by a signal."""
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


@contextmanager
def _alone_with_the_nodes(path: Path) -> Iterator[Any]:
    """Wait until no other run of this daemon has the other machines."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for the run that has the other machines", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
