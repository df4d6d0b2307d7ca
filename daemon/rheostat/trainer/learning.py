"""One optimizer step: forward, backward, a look at the loss, update."""

import math
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm

from rheostat.spec.models import TrainSpec
from rheostat.trainer.compiling import compiled_step
from rheostat.trainer.gradients import GradientWatch
from rheostat.trainer.losses import LossFunction, LossReader
from rheostat.trainer.shortcuts import step_of, zero_grad_of


class NonFiniteLoss(Exception):
    """The loss of a step is NaN or infinite; the weights are those of the step before."""

    def __init__(self, loss: float, step: int) -> None:
        self.loss = loss
        self.step = step
        super().__init__(
            f"the loss is {loss} at step {step}; the run stopped before the update, with the "
            "weights of the step before. Lower the LR, warm it up, or look at this step's batch"
        )


class Learner:
    """Turns a batch into an update of the weights.

    A loss that is not finite stops the step before the optimizer runs.

    Args:
        model: what learns.
        loss: of (outputs, targets).
        optimizer: over the model's parameters.
        train: how.
        device: where all of it lives.
        observes: fields of an `Observation` to measure beside the loss.
        groups: names of the optimizer's groups, in their order, for what is measured by group.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: LossFunction,
        optimizer: torch.optim.Optimizer,
        train: TrainSpec,
        device: torch.device,
        observes: Collection[str] = (),
        groups: Sequence[str] = (),
    ) -> None:
        self.model = model
        self._forward = torch.compile(model) if train.compile else model
        self._loss = loss
        self._optimizer = optimizer
        self._step = compiled_step(optimizer) if train.compile else step_of(optimizer)
        self._zero_grad = zero_grad_of(optimizer)
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        carriers = (group["params"] for group in optimizer.param_groups)
        self._groups = dict(zip(groups, carriers, strict=False))
        self._clip = train.grad_clip
        self._accumulate = train.accumulate
        self._reader = LossReader(device)
        self._precision: AbstractContextManager[object] = (
            torch.autocast(device.type, dtype=torch.bfloat16)
            if train.precision == "bfloat16"
            else nullcontext()
        )
        self._needs_closure = isinstance(optimizer, torch.optim.LBFGS)
        # The common case has a path of its own: each Python frame costs a microsecond there.
        self._is_plain = train.precision == "float32" and train.accumulate == 1
        self.watch: GradientWatch | None = None
        """What compares gradients; None while no policy wants to know."""
        self.observe(observes)
        self.gradient_norm: Tensor | None = None
        """Total norm of the gradients of the last step that measured it, before clipping; on the
        device."""

    def observe(self, observes: Collection[str]) -> None:
        """Measure these fields of an `Observation` from now on, and no others that cost time."""
        watch = GradientWatch(self._parameters, observes, self._groups)
        self.watch = None if watch.is_idle else watch

    def learn(self, step: int, inputs: Tensor, targets: Tensor, measure_norm: bool) -> float:
        """Take one optimizer step and return the batch's loss before it.

        Args:
            step: its index, for the error.
            inputs: (B, ...) on the device.
            targets: (B, ...) on the device.
            measure_norm: whether to leave the gradient norm in `gradient_norm`.

        Raises:
            NonFiniteLoss: if the loss is not finite; nothing was updated.
        """
        if self._needs_closure:
            return self._learn_by_closure(step, inputs, targets)
        self._zero_grad()
        if self.watch is not None:
            self.watch.begin()
        if self._is_plain:
            loss = self._loss(self._forward(inputs), targets)
            self._reader.take(loss)
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            self._backward(inputs, targets)
        if self.watch is not None:
            self.watch.finish()
        if measure_norm or self._clip is not None:
            self._look_at_gradients()
        value = self._finite(step)
        self._step()
        return value

    def _backward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Add the batch's gradients, in as many parts as the spec says; () mean loss."""
        parts = list(
            zip(inputs.chunk(self._accumulate), targets.chunk(self._accumulate), strict=True)
        )
        total = torch.zeros((), device=inputs.device)
        for part, wanted in parts:
            with self._precision:
                loss = self._loss(self._forward(part), wanted) * (len(part) / len(inputs))
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
            if self.watch is not None and self.watch.compares_parts:
                self.watch.note_part(len(part), len(inputs))
        self._reader.take(total)
        return total

    def _look_at_gradients(self) -> None:
        """Measure the gradients' norm, and clip them where the spec says so."""
        if self._clip is not None:
            self.gradient_norm = clip_grad_norm_(self._parameters, self._clip)
        else:
            gradients = [p.grad for p in self._parameters if p.grad is not None]
            self.gradient_norm = get_total_norm(gradients)

    def _finite(self, step: int) -> float:
        """Return the loss on the host, unless it is not finite."""
        value = self._reader.wait()
        if not math.isfinite(value):
            raise NonFiniteLoss(value, step)
        return value

    def _learn_by_closure(self, step: int, inputs: Tensor, targets: Tensor) -> float:
        """Let an optimizer that evaluates the loss several times a step (LBFGS) do so."""

        def evaluate() -> Tensor:
            self._zero_grad()
            loss = self._backward(inputs, targets)
            self._finite(step)
            self._look_at_gradients()
            return loss

        first: Tensor = self._optimizer.step(evaluate)  # type: ignore[assignment,arg-type]
        return float(first.detach())
