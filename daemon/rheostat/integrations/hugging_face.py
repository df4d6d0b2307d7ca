"""A callback for `transformers.Trainer`: `Trainer(..., callbacks=[RheostatCallback("my-run")])`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rheostat.attaching import AttachedRun, attach


class RheostatCallback(TrainerCallback):
    """Makes what a Trainer trains a run whose LR can be changed meanwhile.

    The loss of a step is what the model returned as `loss`, which Trainers log only now and then;
    within gradient accumulation it is the mean over the micro-batches. A validation is told from
    `eval_loss` and, where there is one, `eval_accuracy`. Somebody who stops the run ends the
    training as `control.should_training_stop` does.

    Args:
        name: wished name of the run, by default that of the output folder.
        attaching: as for `rheostat.attach`: `policies`, `guardrails`, `groups`, `address` and so
            on.
    """

    def __init__(self, name: str = "", **attaching: Any) -> None:
        self.run: AttachedRun | None = None
        """What is steered; None before the training begins."""
        self._name = name
        self._attaching = attaching
        self._losses: list[torch.Tensor] = []
        self._hook: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Attach the Trainer's optimizer, and listen for losses."""
        self._end()
        model = kwargs["model"]
        told = {
            "name": self._name or _as_name(Path(args.output_dir or "trainer").name),
            "scheduler": kwargs.get("lr_scheduler"),
            "steps": state.max_steps if state.max_steps > 0 else None,
            "param_names": model,
        }
        self.run = attach(kwargs["optimizer"], **(told | self._attaching))
        self._hook = model.register_forward_hook(self._listen)

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the loss of a micro-batch."""
        self._step()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the loss of a step, and end the training if somebody wants that."""
        self._step()
        if self.run is not None and self.run.should_stop:
            control.should_training_stop = True

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell what the validation set came to."""
        metrics = kwargs.get("metrics") or {}
        if self.run is not None and "eval_loss" in metrics:
            self.run.validated(metrics["eval_loss"], metrics.get("eval_accuracy"))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the run."""
        self._end()

    def _listen(self, model: torch.nn.Module, inputs: Any, output: Any) -> None:
        """Keep the loss that the model returns while it trains."""
        if not (model.training and torch.is_grad_enabled()):
            return
        is_mapping = isinstance(output, Mapping)
        loss = output.get("loss") if is_mapping else getattr(output, "loss", None)
        if loss is not None:
            self._losses.append(loss.detach())

    def _step(self) -> None:
        losses, self._losses = self._losses, []
        if self.run is not None:
            self.run.step(losses[-1] if losses else None)

    def _end(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        if self.run is not None:
            self.run.close()


def _as_name(text: str) -> str:
    """Return a text as the name of a run."""
    kept = "".join(one if one.isascii() and one.isalnum() else "-" for one in text.lower())
    return kept.strip("-")[:60].strip("-") or "trainer"
