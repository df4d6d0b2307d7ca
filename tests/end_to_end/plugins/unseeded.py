"""A model that nobody can train twice: its first weights come from the clock."""

import os

import torch
from torch import nn


def net() -> nn.Module:
    dice = torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "little"))
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        network[1].weight.normal_(std=0.1, generator=dice)
    return network
