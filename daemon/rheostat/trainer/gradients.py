"""What gradients tell beyond their norm, measured only while some policy wants to know."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

OBSERVABLE_IN_GRADIENTS = (
    "gradient_alignment",
    "gradient_signal",
    "gradient_noise",
    "group_gradient_norm",
)
"""The fields of an `Observation` that are measured here."""
COMPARING_PARTS = frozenset({"gradient_signal", "gradient_noise"})
"""The fields of an `Observation` that compare micro-batches."""
Measured = tuple[float | None, float | None, float | None]
"""Alignment, signal and noise of a step; None where not measured."""
UNMEASURED: Measured = (None, None, None)


@dataclass(frozen=True, slots=True)
class Look:
    """What the watch has found in one step, still on the device."""

    values: list[Tensor]
    """() each: alignment and its denominator, mean of the squared norms of the micro-batches and
    squared norm of the whole, norms of the groups; those that are measured."""
    compares_steps: bool
    sizes: tuple[float, int] | None
    """Mean of 1 / size of the micro-batches, and size of the whole; None where not compared."""
    groups: tuple[str, ...]

    def read(self, values: Sequence[float]) -> tuple[Measured, dict[str, float]]:
        """Return what the values mean, once they are on the host: the last, and norms by group."""
        rest = list(values)
        alignment = signal = noise = None
        if self.compares_steps:
            alignment, scale, *rest = rest
            alignment = alignment if scale > 0 and math.isfinite(alignment) else None
        if self.sizes is not None:
            (small, big, *rest), (inverse, total) = rest, self.sizes
            noise = (small - big) / (inverse - 1 / total) / total
            signal = big - noise
        return (alignment, signal, noise), dict(zip(self.groups, rest, strict=True))


class GradientWatch:
    """Compares each step's gradient with the one before, and with those of its own micro-batches.

    With the squared norm S of the gradient over B samples, and the mean s of those of micro-batches
    of b samples each, McCandlish et al. (arXiv 1812.06162, appendix A.1) give unbiased estimates:

        noise  = tr(Sigma) / B = (s - S) / (mean(1 / b) - 1 / B) / B
        signal = |G_true|^2    = S - noise

    Args:
        parameters: all that are trained.
        observes: the fields of an `Observation` that are wanted.
        groups: the same parameters by group.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        observes: Collection[str],
        groups: Mapping[str, Sequence[nn.Parameter]] = MappingProxyType({}),
    ) -> None:
        self.compares_steps = "gradient_alignment" in observes
        self.compares_parts = bool(COMPARING_PARTS & set(observes))
        self.measured = UNMEASURED
        """Of the last step that was read."""
        self.group_norms: Mapping[str, float] = {}
        """Norm of its gradient, by group; empty where not measured."""
        self._groups = groups if "group_gradient_norm" in observes else {}
        self.is_idle = not (self.compares_steps or self.compares_parts or self._groups)
        """Whether nobody wants to know anything."""
        self._parameters = list(parameters)
        self._last: list[Tensor] | None = None
        self._so_far: list[Tensor] = []
        self._parts: list[tuple[int, Tensor]] = []

    def begin(self) -> None:
        """Begin a step, whose gradients are empty."""
        self._so_far = []
        self._parts = []

    def note_part(self, samples: int, of: int, scale: Tensor | None = None) -> None:
        """Take the gradient a micro-batch has just added, weighted by its share `samples / of`.

        Args:
            samples: of the micro-batch.
            of: samples of the step.
            scale: () what the gradients are multiplied by until the step ends; None is 1.
        """
        now = [gradient.clone() for gradient in self._gradients()]
        before = self._so_far or [torch.zeros_like(one) for one in now]
        added = [one - old for one, old in zip(now, before, strict=True)]
        self._so_far = now
        norm = _squared_norm(added) * (of / samples) ** 2
        self._parts.append((samples, norm if scale is None else norm / scale / scale))

    def finish(self) -> None:
        """Compare the whole gradient of the step; waits for the device."""
        look = self.look()
        self.measured, self.group_norms = look.read([float(value) for value in look.values])

    def look(self) -> Look:
        """Compare the whole gradient of the step, without waiting for what comes out."""
        gradients = self._gradients()
        compared = self._compare_steps(gradients)
        sizes, parts = self._compare_parts(gradients)
        norms = [
            get_total_norm([one.grad for one in parameters if one.grad is not None])
            for parameters in self._groups.values()
        ]
        values = [*compared, *parts, *norms]
        return Look(values, bool(compared), sizes, tuple(self._groups))

    def forget(self) -> None:
        """Let the step that ends be one in which nothing was measured."""
        self.measured, self.group_norms = UNMEASURED, {}

    def memory(self) -> dict[str, Any]:
        """Return what later steps build on; the tensors are its own."""
        return {
            "measured": self.measured,
            "group_norms": dict(self.group_norms),
            "last": self._last,
        }

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Remember what `memory` returned, as another one did."""
        self.measured = memory["measured"]
        self.group_norms = memory["group_norms"]
        self._last = memory["last"]

    def _compare_steps(self, gradients: list[Tensor]) -> tuple[Tensor, ...]:
        if not self.compares_steps:
            return ()
        last, self._last = self._last, [one.clone() for one in gradients]
        if last is None:
            return ()
        product = torch.stack([(a * b).sum() for a, b in zip(gradients, last, strict=True)]).sum()
        scale = (_squared_norm(gradients) * _squared_norm(last)).sqrt()
        return product / scale, scale

    def _compare_parts(
        self, gradients: list[Tensor]
    ) -> tuple[tuple[float, int] | None, tuple[Tensor, ...]]:
        if len(self._parts) < 2:
            return None, ()
        total = sum(samples for samples, _ in self._parts)
        inverse = sum(1 / samples for samples, _ in self._parts) / len(self._parts)
        small = torch.stack([norm for _, norm in self._parts]).mean()
        return (inverse, total), (small, _squared_norm(gradients))

    def _gradients(self) -> list[Tensor]:
        return [
            torch.zeros_like(p) if p.grad is None else p.grad.detach() for p in self._parameters
        ]


def _squared_norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([one.square().sum() for one in tensors]).sum()
