"""A loop with Accelerate, with gradient accumulation and a schedule, that can be steered.

accelerate launch examples/attach/accelerate_loop.py     # or plain python, or torchrun
rheostat lr scale accelerated 0.5
"""

import sys
from importlib import resources

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import get_cosine_schedule_with_warmup

import rheostat


def main(epochs=30, **attaching):
    set_seed(0)
    accelerator = Accelerator(gradient_accumulation_steps=2)
    with resources.files("rheostat.trainer.data").joinpath("digits.npz").open("rb") as file:
        digits = np.load(file)
        images = torch.from_numpy(digits["images"]).float().flatten(1) / 16
        labels = torch.from_numpy(digits["labels"]).long()
    loader = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    steps = epochs * len(loader) // 2
    scheduler = get_cosine_schedule_with_warmup(optimizer, steps // 10, steps)
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)

    attaching = {"name": "accelerated", "scheduler": scheduler, "steps": steps} | attaching
    with rheostat.attach(optimizer, **attaching) as run:
        for _ in range(epochs):
            for inputs, targets in loader:
                with accelerator.accumulate(model):
                    loss = nn.functional.cross_entropy(model(inputs), targets)
                    accelerator.backward(loss)
                    optimizer.step()
                    scheduler.step()
                    optimizer.zero_grad()
                    run.step(loss)
    accelerator.print(f"loss {loss.item():.4f} after {run.finished_steps} steps")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
