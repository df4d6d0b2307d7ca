"""Train on Fashion-MNIST with Lightning, and steer it meanwhile.

The files are those of Debian's package dataset-fashion-mnist, or any other folder with them.

    python examples/attach/lightning_fashion.py
    rheostat lr scale fashion 0.5
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from rheostat.integrations.lightning import RheostatCallback

ROOT = Path("/usr/share/datasets/fashion-mnist")


def read(part):
    """Return images (N, 1, 28, 28) of 0 to 1, and labels (N,)."""
    with gzip.open(ROOT / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(ROOT / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return TensorDataset(
        torch.from_numpy(pixels.copy()).float() / 255, torch.from_numpy(labels.copy()).long()
    )


class Fashion(LightningModule):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 5, stride=2), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))

    def training_step(self, batch, index):
        inputs, targets = batch
        return nn.functional.cross_entropy(self.head(self.body(inputs)), targets)

    def validation_step(self, batch, index):
        inputs, targets = batch
        outputs = self.head(self.body(inputs))
        self.log("val_loss", nn.functional.cross_entropy(outputs, targets))
        self.log("val_acc", (outputs.argmax(1) == targets).float().mean())

    def configure_optimizers(self):
        groups = [
            {"params": self.body.parameters(), "lr": 0.05},
            {"params": self.head.parameters(), "lr": 0.1},
        ]
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=[0.05, 0.1], total_steps=self.steps + 1
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def main(steps=500, **attaching):
    torch.manual_seed(0)
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=10,
        val_check_interval=min(steps, 100),
        callbacks=[RheostatCallback("fashion", **attaching)],
    )
    trainer.fit(
        Fashion(steps),
        DataLoader(read("train"), batch_size=64, shuffle=True),
        DataLoader(read("t10k"), batch_size=256),
    )
    print({name: round(float(value), 3) for name, value in trainer.callback_metrics.items()})
    return trainer


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
