"""An optimizer that writes down which LRs it was stepped with, in each rank's own file."""

import os
from pathlib import Path

import torch


class SpiedSGD(torch.optim.SGD):
    """SGD; `folder` takes a file `used-RANK` with a line of LRs for each step."""

    def __init__(self, params, lr=1e-3, *, folder, momentum=0.0):
        super().__init__(params, lr=lr, momentum=momentum)
        self._file = (Path(folder) / f"used-{os.environ['RANK']}").open("w", buffering=1)

    def step(self, closure=None):
        used = [(float(group["lr"]), group["momentum"]) for group in self.param_groups]
        self._file.write(repr(used) + "\n")
        return super().step(closure)
