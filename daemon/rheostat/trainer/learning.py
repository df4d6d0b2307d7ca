"""One optimizer step: forward, backward, a look at the loss, update."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm

from rheostat.spec.models import TrainSpec
from rheostat.trainer.compiling import compiled_model, compiled_step, is_compiled
from rheostat.trainer.gradients import GradientWatch, Look
from rheostat.trainer.losses import LossFunction
from rheostat.trainer.masking import Mask
from rheostat.trainer.parallel import SINGLE, Parallel
from rheostat.trainer.precision import Precision
from rheostat.trainer.sharding import whole_of
from rheostat.trainer.shortcuts import backward, step_of, zero_grad_of


class NonFiniteLoss(Exception):
    """The loss of a step is NaN or infinite; the weights are those of the step before.

    Args:
        loss: the loss.
        step: the step that it is of.
        at: number of finished steps when it was noticed; by default that step's, before its update.
    """

    def __init__(self, loss: float, step: int, at: int | None = None) -> None:
        self.loss, self.step = loss, step
        self.left_out = 0 if at is None else at - step
        """Number of steps that were taken since and changed no weight."""
        later = f", noticed {self.left_out} steps later," if self.left_out else ""
        super().__init__(
            f"the loss is {loss} at step {step}{later}; the run stopped before the update, with "
            "the weights of the step before. Lower the LR, warm it up, or look at this step's batch"
        )


@dataclass(frozen=True, slots=True)
class Left:
    """What a step has left on the device for whoever reads it later; () tensors."""

    loss: Tensor
    norm: Tensor | None
    """Total norm of its gradient before clipping, where it was measured."""
    overflow: Tensor | None
    """Above 0 where the loss scale was too large, and the update left out; None without one."""
    scale: Tensor | None
    """What the loss was multiplied by; None without a loss scale."""
    look: Look | None


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
        precision: in which it computes; None makes that of `train`.
        is_masked: whether `begin` is used too; see `Mask`.
        parallel: how the run's processes share the batch.
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
        precision: Precision | None = None,
        *,
        is_masked: bool = False,
        parallel: Parallel = SINGLE,
    ) -> None:
        self.model = model
        self._parallel = parallel
        self._forward = compiled_model(parallel.wrap(model), train.compile)
        self._loss = loss
        self._optimizer = optimizer
        self._mask = Mask(optimizer, device) if is_masked else None
        compiles = bool(train.compile)
        self._step = compiled_step(optimizer) if compiles else step_of(optimizer)
        self._masked_step: Callable[[], object] = self._step
        if self._mask is not None and compiles and is_compiled(optimizer):
            self._masked_step = compiled_step(optimizer, unless=self._mask.has_failed)
        self._zero_grad = zero_grad_of(optimizer)
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        carriers = (group["params"] for group in optimizer.param_groups)
        self._groups = dict(zip(groups, carriers, strict=False))
        self._clip = train.grad_clip
        self._accumulate = train.accumulate
        self._reader = parallel.reader(device)
        self._precision = Precision(train.precision, device) if precision is None else precision
        self._scales = self._precision.scaler is not None
        self._needs_closure = isinstance(optimizer, torch.optim.LBFGS)
        # The common case has a path of its own: each Python frame costs a microsecond there.
        self._is_plain = self._precision.is_plain and train.accumulate == 1 and parallel.is_alone
        self.watch: GradientWatch | None = None
        """What compares gradients; None while no policy wants to know."""
        self.observe(observes)
        self.gradient_norm: Tensor | None = None
        """Total norm of the gradients of the last step that measured it, before clipping; on the
        device. None too where that step's overflowed."""
        self.loss_scale: float | None = None
        """What `learn` multiplied the last step's loss by; None without a loss scale."""
        self.has_skipped = False
        """Whether that was too large, and the update left out."""

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
        self._backward(inputs, targets)
        value = self._finite(step)
        if self._scales and self._overflows():
            return value
        if self.watch is not None:
            self.watch.finish()
        if measure_norm or self._clip is not None:
            self._look_at_gradients()
        self._step()
        if self._scales:
            self._precision.finish_step()
        return value

    def begin(self, inputs: Tensor, targets: Tensor, measure_norm: bool) -> Left:
        """Queue one optimizer step on the device and return what it will leave there.

        A loss that is not finite, of this step or of one before, leaves the weights as they are.
        """
        assert self._mask is not None
        self._backward(inputs, targets)
        loss = self._reader.on_device()
        overflow = self._precision.unscale(self._optimizer)
        look = None if self.watch is None else self.watch.look()
        if measure_norm or self._clip is not None:
            self._look_at_gradients()
        self._mask.look(loss, overflow)
        if self._masked_step is self._step:
            with self._mask:
                self._step()
        else:
            self._masked_step()
        scale = self._precision.factor()
        self._precision.finish_step()
        return Left(loss, self.gradient_norm if measure_norm else None, overflow, scale, look)

    def _backward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Make the batch's gradients, in as many parts as the spec says; () mean loss."""
        self._zero_grad()
        if self.watch is not None:
            self.watch.begin()
        if self._is_plain:
            loss = self._loss(self._forward(inputs), targets)
            self._reader.take(loss)
            backward(loss)
            return loss
        parts = list(
            zip(inputs.chunk(self._accumulate), targets.chunk(self._accumulate), strict=True)
        )
        self._parallel.begin_batch(targets)
        total = torch.zeros((), device=inputs.device)
        for number, (part, wanted) in enumerate(parts, start=1):
            is_last = number == len(parts)
            with self._parallel.accumulating(is_last=is_last):
                with self._precision.autocast():
                    loss = self._loss(self._forward(part), wanted)
                    loss = loss * self._parallel.share_of(wanted, targets)
                total += loss.detach()
                if is_last:
                    self._reader.take(total)
                self._precision.scaled(loss).backward()  # type: ignore[no-untyped-call]
            if self.watch is not None and self.watch.compares_parts:
                self.watch.note_part(len(part), len(inputs), self._precision.factor())
        return total

    def _overflows(self) -> bool:
        """Whether the loss scale was too large for this step, whose update is then left out."""
        self.loss_scale = self._precision.scale()
        overflow = self._precision.unscale(self._optimizer)
        self.has_skipped = overflow is not None and overflow.item() > 0
        if self.has_skipped:
            self._precision.finish_step()
            self.gradient_norm = None
            if self.watch is not None:
                self.watch.forget()
        return self.has_skipped

    def _look_at_gradients(self) -> None:
        """Measure the gradients' norm, and clip them where the spec says so."""
        if self._clip is not None:
            self.gradient_norm = whole_of(clip_grad_norm_(self._parameters, self._clip))
        else:
            gradients = [p.grad for p in self._parameters if p.grad is not None]
            self.gradient_norm = whole_of(get_total_norm(gradients))

    def _finite(self, step: int) -> float:
        """Return the loss on the host, unless it is not finite."""
        value = self._reader.wait()
        if not math.isfinite(value):
            raise NonFiniteLoss(value, step)
        return value

    def _learn_by_closure(self, step: int, inputs: Tensor, targets: Tensor) -> float:
        """Let an optimizer that evaluates the loss several times a step (LBFGS) do so."""

        def evaluate() -> Tensor:
            loss = self._backward(inputs, targets)
            value = self._finite(step)
            self._look_at_gradients()
            # Where to go depends on it: every process must see the loss of the whole batch.
            return loss if self._parallel.is_alone else loss.new_tensor(value)

        first: Tensor = self._optimizer.step(evaluate)  # type: ignore[assignment,arg-type]
        return float(first.detach())
