"""What a model says of the validation set, and how that changes from one look to the next."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

OBSERVABLE_AT_VALIDATION = (
    "prediction_variance",
    "prediction_change_variance",
    "output_weight_mean",
    "output_weight_variance",
    "prediction_kl",
)
"""The fields of an `Observation` that are measured here, in their order."""

Measured = tuple[float | None, float | None, float | None, float | None, float | None]

_COMPARING = {"prediction_change_variance", "prediction_kl"}
"""Fields that look at the validation before."""


class PredictionWatch:
    """Looks at the outputs of each validation, and at the weights that make them.

    A validation set has one order, so outputs can be compared sample by sample with those of the
    validation before, which are kept for it.
    """

    def __init__(self, model: nn.Module) -> None:
        self.measured: Measured = (None, None, None, None, None)
        """Values at the newest validation, in the order of `OBSERVABLE_AT_VALIDATION`."""
        self._model = model
        self._observes: frozenset[str] = frozenset()
        self._before: list[Tensor] = []
        self._now: list[Tensor] = []
        self._variances: list[Tensor] = []

    def observe(self, observes: Collection[str]) -> None:
        """Measure these fields from the next validation on, and forget the others."""
        self._observes = frozenset(observes) & frozenset(OBSERVABLE_AT_VALIDATION)
        values = zip(OBSERVABLE_AT_VALIDATION, self.measured, strict=True)
        kept = [value if name in self._observes else None for name, value in values]
        self.measured = (kept[0], kept[1], kept[2], kept[3], kept[4])
        if not self._observes & _COMPARING:
            self._before = []

    @property
    def is_idle(self) -> bool:
        """Whether nobody wants to know anything."""
        return not self._observes

    def see(self, outputs: Tensor) -> None:
        """Take the outputs of the next validation batch, (B, ...)."""
        if "prediction_variance" in self._observes:
            self._variances.append(outputs.float().var())
        if self._observes & _COMPARING:
            self._now.append(outputs.detach())

    def finish(self) -> None:
        """Measure what the batches of a whole validation have shown; waits for the device."""
        if self.is_idle:
            return
        weights = _output_weights(self._model).detach().float()
        self.measured = (
            float(torch.stack(self._variances).mean()) if self._variances else None,
            self._change() if "prediction_change_variance" in self._observes else None,
            float(weights.mean()) if "output_weight_mean" in self._observes else None,
            float(weights.var()) if "output_weight_variance" in self._observes else None,
            self._divergence() if "prediction_kl" in self._observes else None,
        )
        self._before, self._now, self._variances = self._now, [], []

    def memory(self) -> dict[str, Any]:
        """Return what later validations build on; the tensors are its own."""
        return {"measured": self.measured, "before": self._before}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Remember what `memory` returned, as another one did."""
        self.measured = memory["measured"]
        self._before = memory["before"]

    def _change(self) -> float | None:
        if not self._before:
            return None
        pairs = zip(self._now, self._before, strict=True)
        return float(torch.stack([(now - before).float().var() for now, before in pairs]).mean())

    def _divergence(self) -> float | None:
        if not self._before or not all(_is_logits(now) for now in self._now):
            return None
        pairs = zip(self._now, self._before, strict=True)
        sums = [
            kl_div(
                now.double().log_softmax(dim=1),
                before.double().log_softmax(dim=1),
                reduction="sum",
                log_target=True,
            )
            for now, before in pairs
        ]
        return float(torch.stack(sums).sum()) / sum(len(now) for now in self._now)


def _is_logits(outputs: Tensor) -> bool:
    return outputs.ndim == 2 and outputs.shape[1] > 1


def _output_weights(model: nn.Module) -> Tensor:
    """Return the last parameter that is a matrix or more, or the last of all."""
    parameters = list(model.parameters())
    return next((one for one in reversed(parameters) if one.ndim >= 2), parameters[-1])
