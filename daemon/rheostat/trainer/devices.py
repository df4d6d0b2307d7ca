"""Where a run trains."""

import torch

from rheostat.errors import InvalidSpec, Violation


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
