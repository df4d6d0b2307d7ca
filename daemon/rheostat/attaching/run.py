"""A script as a run: what it says of its steps, and what stands around them."""

import atexit
import math
import sys
import time
from types import TracebackType
from typing import Any, Literal, Self

from torch.optim import Optimizer

from rheostat.attaching.boundary import Boundary
from rheostat.attaching.carriers import Carriers
from rheostat.attaching.company import Company
from rheostat.attaching.ending import last_words
from rheostat.attaching.enrolling import Enrolment
from rheostat.attaching.errands import Errands
from rheostat.attaching.interposing import Interposed
from rheostat.attaching.losses import Losses
from rheostat.attaching.saving import InFolder
from rheostat.runs import letters
from rheostat.runs.records import GroupDescription
from rheostat.trainer.progress import Progress

_STOP, _ERRANDS = 1, 2
"""Flags that rank 0 sends along with the LRs."""
_UNSEEN_STEPS = 100
"""Calls of `step` without one of the optimizer, after which somebody is told."""


class Stopped(Exception):
    """Somebody has stopped the run; a `with` block of it ends here, without an error."""


class Desk:
    """What the one process has beside the others that talks to the daemon."""

    def __init__(self, boundary: Boundary, enrolment: Enrolment) -> None:
        self.boundary = boundary
        self.enrolment = enrolment


class AttachedRun:
    """A training script that can be steered, until it is closed or its `with` block ends.

    Made by `rheostat.attach`.
    """

    def __init__(
        self,
        name: str,
        optimizer: Optimizer,
        groups: tuple[GroupDescription, ...],
        progress: Progress,
        *,
        desk: Desk | None,
        company: Company | None,
        save: InFolder | None = None,
        restore: InFolder | None = None,
    ) -> None:
        self.name = name
        """What the run is called, for `rheostat lr scale NAME 0.5`."""
        self.groups = tuple(group.name for group in groups)
        """Names of its param groups."""
        self.should_stop = False
        """Whether somebody has stopped the run: end the loop when it suits."""
        self._progress = progress
        self._desk = desk
        self._company = company
        self._carriers = Carriers(optimizer, len(groups))
        self._losses = Losses()
        self._own: list[float] = self._carriers.read()
        self._rates = list(self._own)
        self._unmoved = (None,) * len(groups)
        self._has_stepped = False
        self._has_errands = False
        self._raises = False
        self._is_closed = False
        self._unseen = 0
        self._is_finite = True
        self._boundary_at = time.perf_counter()
        self._errands = Errands(
            progress,
            save,
            restore,
            company=company,
            orders=None if desk is None else desk.boundary.orders,
            device=optimizer.param_groups[0]["params"][0].device,
        )
        self._interposed = Interposed(optimizer, self._before, self._after)
        atexit.register(self._at_exit)

    @property
    def finished_steps(self) -> int:
        """Number of optimizer steps so far; where a loss is still on a GPU, one step late."""
        return self._progress.step

    @property
    def learning_rates(self) -> dict[str, float]:
        """The LR of each group that the newest optimizer step was taken with."""
        return dict(zip(self.groups, self._rates, strict=True))

    @property
    def script_learning_rates(self) -> dict[str, float]:
        """The LR of each group that the script itself wanted for that step."""
        return dict(zip(self.groups, self._own, strict=True))

    @property
    def address(self) -> str:
        """Of the daemon; empty where another rank talks to it."""
        return "" if self._desk is None else self._desk.enrolment.address

    @property
    def metrics_address(self) -> str | None:
        """Of the daemon's /metrics, where the daemon is the script's own; else None."""
        host = None if self._desk is None else self._desk.enrolment.host
        return None if host is None else host.metrics_address

    def step(self, loss: Any = None) -> None:
        """Say that an iteration is done; once after each `optimizer.step()`.

        Without a step of the optimizer since the last call, as within gradient accumulation or
        where a gradient scaler has skipped one, no step is counted, and the loss counts into the
        mean of the next one.

        Args:
            loss: of the batch, a number or a tensor with one element; None where there is none.

        Raises:
            Stopped: if somebody has stopped the run and this is a `with` block of it; elsewhere
                look at `should_stop`.
            InvalidRequest: if the loss is no number.
        """
        if loss is not None:
            self._losses.add(loss)
        if self._has_stepped:
            self._unseen = 0
            if self._has_errands:
                self._see_to_errands()
            elif not self._losses.is_late:
                self._finish()
        else:
            self._look_for_steps()
        if self.should_stop and self._raises:
            raise Stopped(f"run {self.name} was stopped after {self.finished_steps} steps")

    def validated(self, loss: float, accuracy: float | None = None) -> None:
        """Say what the validation set came to after the steps finished so far.

        Args:
            loss: mean over the set.
            accuracy: 0 to 1; None where targets are not classes.
        """
        if self._errands.trials is not None:
            return  # of weights that are put back
        if self._has_stepped:
            self._finish()
        progress, loss = self._progress, float(loss)
        accuracy = None if accuracy is None else float(accuracy)
        progress.validation_loss, progress.validation_accuracy = loss, accuracy
        progress.validation_step = progress.step
        if self._desk is not None:
            self._desk.boundary.recorder.record_validation(progress.step, loss, accuracy)

    def close(self, error: BaseException | None = None) -> None:
        """End the run, and leave the optimizer as if it had never been attached.

        Args:
            error: what ended the script; None where it has come to its end.
        """
        if self._is_closed:
            return
        self._is_closed = True
        atexit.unregister(self._at_exit)
        self._interposed.remove()
        try:
            if self._errands.trials is not None:
                self._errands.end(error)
            elif self._has_stepped:
                self._finish()
        finally:
            if self._desk is not None:
                self._say_goodbye(self._desk, error)

    def __enter__(self) -> Self:
        self._raises = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False] | bool:
        is_stop = isinstance(error, Stopped) and self.should_stop
        self.close(None if is_stop else error)
        return is_stop

    def _before(self) -> None:
        """Decide and lend the LRs of the step that the optimizer is about to take."""
        if self._has_stepped:
            self._finish()
        own = self._own = self._carriers.read()
        rates = None
        if self._desk is not None:
            boundary = self._desk.boundary
            rates = boundary.cross(own)
            if boundary.still_seconds:
                self._boundary_at += boundary.take_still_seconds()
            self.should_stop = boundary.obeying.is_stopped
            if boundary.orders is not None:
                self._has_errands = boundary.orders.are_due
        if self._company is not None:
            flags = _STOP * self.should_stop | _ERRANDS * self._has_errands
            rates, flags = self._company.share(rates, flags)
            self.should_stop, self._has_errands = bool(flags & _STOP), bool(flags & _ERRANDS)
        assert rates is not None  # a rank without a desk is in company
        self._rates = rates
        if rates is not own and rates != own:
            self._carriers.lend(rates, own)

    def _after(self, is_done: bool) -> None:
        if self._rates is not self._own:
            self._carriers.take_back(self._own)
        self._has_stepped = is_done

    def _finish(self) -> None:
        """Note the step that the optimizer has taken."""
        self._has_stepped = False
        progress = self._progress
        loss = self._losses.take()
        if loss is not None and not math.isfinite(loss):
            self._remark(loss)
            loss = None
        progress.train_loss = loss
        now = time.perf_counter()
        duration, self._boundary_at = now - self._boundary_at, now
        if self._desk is not None:
            boundary = self._desk.boundary
            steering = boundary.steering
            boundary.recorder.record(
                progress.step,
                loss,
                self._rates,
                boundary.bases,
                steering.components,
                self._unmoved,
                duration,
            )
        progress.step += 1

    def _see_to_errands(self) -> None:
        """End the step, which is one of the run or of a probe, and do what is asked after it."""
        errands = self._errands
        if errands.trials is None:
            self._finish()
            errands.run()
        else:
            self._has_stepped = False
            errands.end_trial_step(self._losses.take())
        is_trying = self._has_errands = errands.trials is not None
        self._interposed.before = self._before_trial if is_trying else self._before
        self._boundary_at = time.perf_counter()

    def _before_trial(self) -> None:
        """Lend the LRs of a step that is tried out, and is none of the run."""
        trials = self._errands.trials
        assert trials is not None
        if self._has_stepped:
            self._has_stepped = False
            self._losses.take()
            trials.miss()
        own = self._own = self._carriers.read()
        rates = self._rates = trials.rates(own)
        if rates != own:
            self._carriers.lend(rates, own)

    def _remark(self, loss: float) -> None:
        """Tell of the first loss that is not finite; what follows is the script's to say."""
        if self._is_finite and self._desk is not None:
            step = self._progress.step
            self._desk.boundary.warn(f"the loss of step {step} is {loss}; the script goes on")
        self._is_finite = False

    def _look_for_steps(self) -> None:
        self._unseen += 1
        if self._unseen == _UNSEEN_STEPS and self._desk is not None:
            self._desk.boundary.warn(
                f"run.step() was called {_UNSEEN_STEPS} times without a step of the optimizer: is "
                "it the one that was attached, and was it attached before somebody took its step?"
            )
            self._desk.boundary.report()

    def _say_goodbye(self, desk: Desk, error: BaseException | None) -> None:
        desk.boundary.leave()
        last = last_words(self._progress, error, is_stopped=self.should_stop)
        if untold := desk.enrolment.link.close(last):
            letters.leave(desk.enrolment.folder, untold)
        desk.enrolment.leave()

    def _at_exit(self) -> None:
        """Close what the script has not closed itself."""
        error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        self.close(error)
