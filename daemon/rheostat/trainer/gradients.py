"""What gradients tell beyond their norm, measured only while some policy wants to know."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm


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
        self.compares_parts = bool({"gradient_signal", "gradient_noise"} & set(observes))
        self.measured: tuple[float | None, float | None, float | None] = (None, None, None)
        """Alignment, signal and noise of the last step; None where not measured."""
        self.group_norms: Mapping[str, float] = {}
        """Norm of the last step's gradient, by group; empty where not measured."""
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

    def note_part(self, samples: int, of: int) -> None:
        """Take the gradient a micro-batch has just added, weighted by its share `samples / of`."""
        now = [gradient.clone() for gradient in self._gradients()]
        before = self._so_far or [torch.zeros_like(one) for one in now]
        added = [one - old for one, old in zip(now, before, strict=True)]
        self._so_far = now
        self._parts.append((samples, _squared_norm(added) * (of / samples) ** 2))

    def finish(self) -> None:
        """Compare the whole gradient of the step; waits for the device."""
        gradients = self._gradients()
        signal, noise = self._compare_parts(gradients)
        self.measured = (self._compare_steps(gradients), signal, noise)
        if self._groups:
            self.group_norms = self._norms_of_groups()

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

    def _compare_steps(self, gradients: list[Tensor]) -> float | None:
        if not self.compares_steps:
            return None
        last, self._last = self._last, [one.clone() for one in gradients]
        if last is None:
            return None
        product = torch.stack([(a * b).sum() for a, b in zip(gradients, last, strict=True)]).sum()
        scale = (_squared_norm(gradients) * _squared_norm(last)).sqrt()
        return float(product / scale) if float(scale) > 0 else None

    def _compare_parts(self, gradients: list[Tensor]) -> tuple[float | None, float | None]:
        if len(self._parts) < 2:
            return None, None
        total = sum(samples for samples, _ in self._parts)
        inverse = sum(1 / samples for samples, _ in self._parts) / len(self._parts)
        small = float(torch.stack([norm for _, norm in self._parts]).mean())
        big = float(_squared_norm(gradients))
        noise = (small - big) / (inverse - 1 / total) / total
        return big - noise, noise

    def _norms_of_groups(self) -> dict[str, float]:
        norms = [
            get_total_norm([one.grad for one in parameters if one.grad is not None])
            for parameters in self._groups.values()
        ]
        return dict(zip(self._groups, torch.stack(norms).tolist(), strict=True))

    def _gradients(self) -> list[Tensor]:
        return [
            torch.zeros_like(p) if p.grad is None else p.grad.detach() for p in self._parameters
        ]


def _squared_norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([one.square().sum() for one in tensors]).sum()
