"""A machine that takes part in runs of a daemon on another one."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousError

from rheostat.trainer.distributed.launching import die_by, make_config, prepare, start_ranks
from rheostat.trainer.distributed.network import address_towards, interface_of
from rheostat.trainer.distributed.rendezvous import find_offer, host_of


def take_part(rendezvous: str, tell: Callable[[str], None]) -> None:
    """Join one run after the other, for ever; ends by a signal.

    Args:
        rendezvous: host:port of the daemon's machine.
        tell: is told what happens, a line at a time.
    """
    host, port = host_of(rendezvous)
    key = ""
    while True:
        tell(f"waiting for a run at {rendezvous}")
        found = find_offer(host, port, key)
        key = found.key
        own = address_towards(host, port)
        tell(f"joining run {found.run} with {found.processes} processes, from {own}")
        prepare(found.processes, interface_of(own))
        with tempfile.TemporaryDirectory(prefix="rheostat-agent-") as scratch:
            config = make_config(
                found.min_nodes, found.nodes, found.processes, key, Path(scratch) / "launcher"
            )
            config.rdzv_endpoint, config.local_addr = rendezvous, own
            config.rdzv_configs["is_host"] = False
            try:
                start_ranks(config, found.run, Path(scratch))
            except ChildFailedError as error:
                codes = sorted({one.exitcode for one in error.failures.values()})
                tell(f"run {found.run} has ended here, with {', '.join(map(str, codes))}")
            except SignalException as told:
                die_by(int(told.sigval))
            except RendezvousError as error:
                tell(f"run {found.run} went on without this machine: {error}")
            else:
                tell(f"run {found.run} has ended")
