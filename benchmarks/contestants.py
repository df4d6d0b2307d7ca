"""Who trains beside Rheostat in `benchmarks.peers`: each takes some steps of the same training."""

import logging
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from rheostat.trainer.building import Parts
from rheostat.trainer.data import ResidentSplit
from rheostat.trainer.loop import Loop


class Contestant(Protocol):
    """Someone who trains a model of his own."""

    model: nn.Module

    def run(self, steps: int) -> None:
        """Take some steps."""
        ...


class Clock:
    """Notes when a model is called, in the block."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._times: list[float] = []

    def __enter__(self) -> Self:
        self._times = []
        note, now = self._times.append, time.perf_counter
        self._hook = self._model.register_forward_pre_hook(lambda *called: note(now()))
        return self

    def __exit__(self, *raised: object) -> None:
        self._hook.remove()

    def step(self, warm_up: int) -> float:
        """Return the seconds of a step, from call to call, without the first of them."""
        counted = self._times[warm_up:]
        return (counted[-1] - counted[0]) / (len(counted) - 1)


class Rheostat:
    """The trainer's own loop, linked to its daemon."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.model = loop.parts.model

    def run(self, steps: int) -> None:
        self._loop.advance(steps)


class Bare:
    """The loop one writes by hand, on batches that are ready."""

    def __init__(self, parts: Parts) -> None:
        self.model, self._loss, self._optimizer = parts.model, parts.loss, parts.optimizer
        count = min(parts.batches.steps_per_epoch, 100)
        self._batches = [
            tuple(one.clone() for one in parts.batches.batch(step)) for step in range(count)
        ]
        self.model.train()

    def run(self, steps: int) -> None:
        model, loss_of, optimizer, batches = self.model, self._loss, self._optimizer, self._batches
        for step in range(steps):
            inputs, targets = batches[step % len(batches)]
            optimizer.zero_grad(set_to_none=True)
            loss_of(model(inputs), targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()


class ByDataLoader:
    """The same with what most scripts have: a DataLoader and a scheduler."""

    def __init__(self, parts: Parts) -> None:
        self.model, self._loss, self._optimizer = parts.model, parts.loss, parts.optimizer
        self._scheduler = scheduler_of(parts)
        self._loader = loader_of(parts)
        self.model.train()

    def run(self, steps: int) -> None:
        for inputs, targets in islice(endless(self._loader), steps):
            self._optimizer.zero_grad(set_to_none=True)
            self._loss(self.model(inputs), targets).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._scheduler.step()


class HuggingFace:
    """`transformers.Trainer`."""

    def __init__(self, parts: Parts) -> None:
        import accelerate  # noqa: F401  its trainer asks for it late, and with another error
        from transformers import PrinterCallback, Trainer, TrainingArguments

        class WithLoss(nn.Module):
            """Gives a loss, as its trainer wants one."""

            def __init__(self) -> None:
                super().__init__()
                self.inner = parts.model

            def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
                return {"loss": parts.loss(self.inner(inputs), labels)}

        self.model = parts.model
        self._made, dataset = WithLoss(), tensors_of(parts)
        optimizer, scheduler = parts.optimizer, scheduler_of(parts)

        def collate(samples: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
            inputs, labels = zip(*samples, strict=True)
            return {"inputs": torch.stack(inputs), "labels": torch.stack(labels)}

        def trainer(steps: int) -> Any:
            made = Trainer(
                model=self._made,
                args=TrainingArguments(
                    output_dir=str(Path(gettempdir()) / "rheostat-peers"),
                    max_steps=steps,
                    per_device_train_batch_size=parts.spec.data.batch_size,
                    max_grad_norm=0.0,
                    save_strategy="no",
                    report_to=[],
                    disable_tqdm=True,
                    logging_strategy="no",
                    use_cpu=parts.device.type == "cpu",
                    dataloader_drop_last=True,
                    remove_unused_columns=False,
                ),
                train_dataset=dataset,
                data_collator=collate,
                optimizers=(optimizer, scheduler),
            )
            made.remove_callback(PrinterCallback)
            return made

        self._trainer = trainer

    def run(self, steps: int) -> None:
        self._trainer(steps).train()


class Lightning:
    """`lightning.Trainer`."""

    def __init__(self, parts: Parts) -> None:
        import lightning

        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        optimizer, scheduler = parts.optimizer, scheduler_of(parts)

        class Module(lightning.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.inner = parts.model

            def training_step(self, batch: Any, index: int) -> Tensor:
                inputs, targets = batch
                loss: Tensor = parts.loss(self.inner(inputs), targets)
                return loss

            def configure_optimizers(self) -> Any:
                return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

        self.model = parts.model
        self._loader, self._module = loader_of(parts), Module()
        accelerator = "cpu" if parts.device.type == "cpu" else "auto"

        def trainer(steps: int) -> Any:
            return lightning.Trainer(
                max_steps=steps,
                accelerator=accelerator,
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )

        self._trainer = trainer

    def run(self, steps: int) -> None:
        self._trainer(steps).fit(self._module, self._loader)


class Ignite:
    """`ignite.engine`'s trainer."""

    def __init__(self, parts: Parts) -> None:
        from ignite.engine import Events, create_supervised_trainer

        self.model = parts.model
        self._loader = loader_of(parts)
        self._engine = create_supervised_trainer(
            parts.model, parts.optimizer, parts.loss, device=parts.device
        )
        scheduler = scheduler_of(parts)
        self._engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: scheduler.step())

    def run(self, steps: int) -> None:
        self._engine.state.max_epochs = None
        self._engine.run(endless(self._loader), max_epochs=1, epoch_length=steps)


MAKERS: dict[str, Callable[[Parts], Contestant]] = {
    "bare": Bare,
    "dataloader": ByDataLoader,
    "hugging_face": HuggingFace,
    "lightning": Lightning,
    "ignite": Ignite,
}


def scheduler_of(parts: Parts) -> LambdaLR:
    """Return the run's schedule as torch's scheduler."""
    curve = parts.steering.groups[0].curve.learning_rate
    peak = parts.spec.optimizer.lr
    assert peak is not None
    return LambdaLR(parts.optimizer, lambda step: curve(step) / peak)


def tensors_of(parts: Parts) -> TensorDataset:
    """Return the training set as it is learned from, on the device."""
    split, normalisation = parts.data.train, parts.data.normalisation
    assert isinstance(split, ResidentSplit)
    inputs = split.inputs if normalisation is None else normalisation(split.inputs)
    return TensorDataset(inputs.to(parts.device), split.targets.to(parts.device))


def loader_of(parts: Parts) -> DataLoader[tuple[Tensor, ...]]:
    """Return the loader that scripts have: shuffled, in this process."""
    batch_size = parts.spec.data.batch_size
    return DataLoader(tensors_of(parts), batch_size=batch_size, shuffle=True, drop_last=True)


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield a loader's batches, epoch after epoch."""
    while True:
        yield from loader
