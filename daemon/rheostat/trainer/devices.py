"""Where a run trains."""

import torch

from rheostat.errors import InvalidSpec, Violation

SMALL_MODEL_PARAMETERS = 1_000_000
"""Below this, threads cost a CPU more than they bring, and ruin it on a shared machine: a run of
34 s on two busy cores took 7 s with one thread."""


def use_threads(wish: int | None, device: torch.device, parameters: int) -> None:
    """Set how many CPU threads an operation may use, where the spec or the model says so.

    Args:
        wish: of the spec; None leaves it to the model's size and to torch.
        device: where the run trains.
        parameters: number of the model's scalars.
    """
    if wish is not None:
        torch.set_num_threads(wish)
    elif device.type == "cpu" and parameters < SMALL_MODEL_PARAMETERS:
        torch.set_num_threads(1)


def one_thread() -> None:
    """Let an operation use one CPU thread: where processes share a machine, or bits must agree."""
    torch.set_num_threads(1)


def find_device(wish: str) -> torch.device:
    """Return the device a spec asks for: `auto` takes CUDA, else MPS, else the CPU.

    Raises:
        InvalidSpec: if the one asked for is not there.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wish == "auto":
        return torch.device(next(kind for kind, is_there in present.items() if is_there))
    if not present[wish]:
        there = ", ".join(kind for kind, is_there in present.items() if is_there)
        expected = f"a device of this machine ({there}), or auto"
        raise InvalidSpec([Violation("train.device", wish, expected)])
    return torch.device(wish)
