"""Models and data of somebody who made mistakes: found by the trainer as `faulty:<name>`."""

import math
import os

import torch


def model_that_raises():
    raise RuntimeError("the weights are from another model")


def model_that_vanishes():
    print("these are my last words")
    os._exit(7)


def data_with_infinity():
    inputs = torch.zeros(64, 4)
    inputs[40:] = math.inf
    return inputs, torch.zeros(64, dtype=torch.long)
