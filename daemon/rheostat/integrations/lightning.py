"""A callback for Lightning: `Trainer(..., callbacks=[RheostatCallback("my-run")])`."""

import math
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from rheostat.attaching import AttachedRun, attach


class RheostatCallback(Callback):
    """Makes what a Lightning Trainer trains a run whose LR can be changed meanwhile.

    Somebody who stops the run ends the training as `trainer.should_stop` does.

    Args:
        name: wished name of the run, by default `lightning`.
        optimizer: index of the optimizer that is steered, of a module that has several.
        validation_loss: what the module logs the loss of its validation set as.
        validation_accuracy: the same of its accuracy.
        attaching: as for `rheostat.attach`: `policies`, `guardrails`, `groups`, `address` and so
            on.
    """

    def __init__(
        self,
        name: str = "lightning",
        *,
        optimizer: int = 0,
        validation_loss: str = "val_loss",
        validation_accuracy: str = "val_acc",
        **attaching: Any,
    ) -> None:
        self.run: AttachedRun | None = None
        """What is steered; None before the training begins."""
        self._name = name
        self._optimizer = optimizer
        self._logged = (validation_loss, validation_accuracy)
        self._attaching = attaching

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach the module's optimizer."""
        optimizer = trainer.optimizers[self._optimizer]
        steps = trainer.estimated_stepping_batches
        told = {
            "name": self._name,
            "scheduler": _scheduler_of(trainer, optimizer),
            "steps": int(steps) if math.isfinite(steps) and steps > 0 else None,
            "param_names": pl_module,
        }
        self.run = attach(optimizer, **(told | self._attaching))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Take the loss of a batch, and end the training if somebody wants that."""
        if self.run is None:
            return
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        # Lightning has divided it by the number of batches that make a step.
        self.run.step(None if loss is None else loss * trainer.accumulate_grad_batches)
        if self.run.should_stop:
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what the validation set came to."""
        loss, accuracy = (trainer.callback_metrics.get(name) for name in self._logged)
        if self.run is not None and loss is not None and not trainer.sanity_checking:
            self.run.validated(float(loss), None if accuracy is None else float(accuracy))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the run."""
        self._end(None)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """End the run with what has ended the training."""
        self._end(exception)

    def _end(self, error: BaseException | None) -> None:
        if self.run is not None:
            self.run.close(error)


def _scheduler_of(trainer: Trainer, optimizer: Any) -> object | None:
    """Return what moves the LR of an optimizer; None where nothing does."""
    schedulers = (config.scheduler for config in trainer.lr_scheduler_configs)
    return next((one for one in schedulers if one.optimizer is optimizer), None)
