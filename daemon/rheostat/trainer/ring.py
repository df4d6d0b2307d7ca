"""What steps have measured, on its way from the device to the host while the loop goes on."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor
from torch.optim import Optimizer

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.models import TrainSpec
from rheostat.trainer.compiling import is_compiled
from rheostat.trainer.gradients import UNMEASURED, Look, Measured
from rheostat.trainer.learning import Left
from rheostat.trainer.masking import can_mask

DEFAULT_LAG = 2
"""Steps that a CUDA device may have queued when the host looks at the oldest of them."""


class Reading(msgspec.Struct, kw_only=True):
    """What one step has measured, on the host."""

    step: int
    loss: float
    gradient_norm: float | None = None
    loss_scale: float | None = None
    is_skipped: bool = False
    """Whether its update was left out because the loss scale was too large."""
    gradients: Measured = UNMEASURED
    group_norms: dict[str, float] = {}
    learning_rates: list[float] = []
    """LR of each group in that step."""
    bases: list[float] = []
    """The schedule's LR of each group in that step."""


class _Queued(NamedTuple):
    """A reading that is not on the host yet."""

    reading: Reading
    look: Look | None
    names: tuple[str, ...]
    """What the values are, before those of the look."""
    values: Tensor
    """(n,) float64: in pinned memory once `copied` has happened, or on the CPU."""
    copied: torch.cuda.Event | None


class Ring:
    """Takes what each step leaves on the device and gives it back in order.

    A copy into pinned memory is queued behind the step, and an event behind the copy: the host
    waits for that event alone, some steps later, when it has long happened.

    Args:
        device: where the steps run.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"
        self._queued: deque[_Queued] = deque()
        self._free: list[tuple[Tensor, torch.cuda.Event]] = []

    def put(
        self, step: int, left: Left, learning_rates: Sequence[float], bases: Sequence[float]
    ) -> None:
        """Start to bring over what a step has left; its LRs are those that it used."""
        named = {
            "loss": left.loss,
            "gradient_norm": left.norm,
            "loss_scale": left.scale,
            "overflow": left.overflow,
        }
        there = {name: value for name, value in named.items() if value is not None}
        looked = [] if left.look is None else left.look.values
        # float64 keeps every bit of whatever type a loss has.
        values = torch.stack([*there.values(), *looked]).double()
        copied = None
        if self._on_cuda:
            values, copied = self._copy(values)
        reading = Reading(
            step=step, loss=0.0, learning_rates=list(learning_rates), bases=list(bases)
        )
        self._queued.append(_Queued(reading, left.look, tuple(there), values, copied))

    def take(self, until: int | None = None) -> Iterable[Reading]:
        """Yield the readings of steps up to one, or of all; waits for them."""
        while self._queued and (until is None or self._queued[0].reading.step <= until):
            yield self._read(self._queued.popleft())

    def _copy(self, values: Tensor) -> tuple[Tensor, torch.cuda.Event]:
        fitting = [one for one in self._free if one[0].shape == values.shape]
        if fitting:
            host, copied = fitting[0]
            self._free = [one for one in self._free if one[0] is not host]
        else:
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        host.copy_(values, non_blocking=True)
        copied.record()
        return host, copied

    def _read(self, queued: _Queued) -> Reading:
        if queued.copied is not None:
            queued.copied.synchronize()
        numbers = queued.values.tolist()
        if queued.copied is not None:
            self._free.append((queued.values, queued.copied))
        named = dict(zip(queued.names, numbers, strict=False))
        reading = queued.reading
        reading.loss = named["loss"]
        reading.loss_scale = named.get("loss_scale")
        reading.is_skipped = named.get("overflow", 0.0) > 0
        if not reading.is_skipped:
            reading.gradient_norm = named.get("gradient_norm")
            if queued.look is not None:
                found = queued.look.read(numbers[len(queued.names) :])
                reading.gradients, reading.group_norms = found
        return reading


def lag_of(train: TrainSpec, optimizer: Optimizer, device: torch.device) -> int:
    """Return after how many steps the host reads what a step has measured.

    Raises:
        InvalidSpec: if it is to be some and the optimizer cannot leave an update out by itself.
    """
    by_itself = can_mask(optimizer)
    if train.compile and is_compiled(optimizer):
        # Its weights are put back, its moments are not: too little where updates are left out and
        # the run goes on.
        by_itself = train.precision != "float16"
    by_itself = by_itself and device.type in ("cpu", "cuda")
    if train.telemetry_lag is None:
        return DEFAULT_LAG if by_itself and device.type == "cuda" else 0
    if train.telemetry_lag > 0 and not by_itself:
        expected = (
            "0: only a fused optimizer without dampening (Adam, AdamW, SGD, Adagrad), or outside "
            "float16 a compiled one, can leave out the update after a loss that is not finite "
            "before the host knows of it"
        )
        raise InvalidSpec([Violation("train.telemetry_lag", str(train.telemetry_lag), expected)])
    return train.telemetry_lag
