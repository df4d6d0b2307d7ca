"""In which number formats a run computes, and how small gradients survive the narrow ones."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import LBFGS, Optimizer

from rheostat.errors import InvalidSpec, Violation
from rheostat.trainer.optimizers import parts_of

_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""Formats that torch.autocast computes in, beside float32 where it must."""


class Precision:
    """The precision of one run.

    float16 has 5 bits for the exponent, so gradients below 6e-8 vanish. The loss is multiplied by
    a scale before the backward pass and the gradients divided by it after; where they overflowed,
    that update is left out and the scale halved, and after 2,000 steps without it doubled.

    Args:
        name: of the spec.
        device: where the run trains.

    Raises:
        InvalidSpec: if the device has no such precision.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        check_precision(name, device)
        if device.type == "cuda":
            _use_tf32(name == "tf32")
        self.is_plain = name not in _HALF
        """Whether everything is computed in the format of the weights."""
        self.scaler = GradScaler(device.type) if name == "float16" else None
        """What scales the loss; None but for float16."""
        self._one = torch.ones((), device=device)
        self._autocast: AbstractContextManager[object] = (
            nullcontext() if self.is_plain else torch.autocast(device.type, dtype=_HALF[name])
        )

    def autocast(self) -> AbstractContextManager[object]:
        """Return the block in which a loss is computed; it may be entered again and again."""
        return self._autocast

    def scaled(self, loss: Tensor) -> Tensor:
        """Return what to run the backward pass from."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def factor(self) -> Tensor | None:
        """Return what the gradients are multiplied by until `unscale`, (); None without a scale."""
        return None if self.scaler is None else self.scaler.scale(self._one)

    def unscale(self, optimizer: Optimizer) -> Tensor | None:
        """Make the gradients what they are without the scale, and look whether they overflowed.

        Returns:
            () float32 on the device, above 0 where some gradient is not finite; None without a
            scale, since nobody looked.
        """
        if self.scaler is None:
            return None
        self.scaler.unscale_(optimizer)
        found = list(self.scaler._found_inf_per_device(optimizer).values())
        return torch.stack(found).sum() if found else torch.zeros_like(self._one)

    def finish_step(self) -> None:
        """Adapt the scale to what `unscale` has found in this step."""
        if self.scaler is not None:
            self.scaler.update()

    def scale(self) -> float | None:
        """Return the loss scale; None without one. On a GPU this waits for the device."""
        return None if self.scaler is None else self.scaler.get_scale()

    def memory(self) -> dict[str, Any]:
        """Return the state of the scale; empty without one. On a GPU this waits for the device."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` returned."""
        if self.scaler is not None and memory:
            self.scaler.load_state_dict(dict(memory))


def check_precision(name: str, device: torch.device) -> None:
    """Refuse a precision that a device has not.

    Raises:
        InvalidSpec: with what to write instead.
    """
    if name == "tf32" and device.type != "cuda":
        problem = f"float32 or bfloat16: tf32 is a format of CUDA devices, this is {device.type}"
    elif name == "float16" and device.type not in ("cpu", "cuda"):
        problem = f"float32 or bfloat16: there is no loss scale for {device.type}"
    else:
        return
    raise InvalidSpec([Violation("train.precision", name, problem)])


def check_scaling(name: str, optimizer: Optimizer) -> None:
    """Refuse an optimizer that a loss scale does not go with.

    Raises:
        InvalidSpec: if it runs the model itself, several times a step.
    """
    if name == "float16" and any(isinstance(part, LBFGS) for part in parts_of(optimizer)):
        expected = "bfloat16 or float32: LBFGS runs the model itself, and float16 scales its loss"
        raise InvalidSpec([Violation("train.precision", name, expected)])


def _use_tf32(is_wanted: bool) -> None:
    """Let products and convolutions round their inputs to 10 bits, or keep all 23."""
    torch.set_float32_matmul_precision("high" if is_wanted else "highest")
    torch.backends.cudnn.allow_tf32 = is_wanted
