"""The embedded data set: handwritten digits, for a first run that needs no file.

"Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning
Repository, doi:10.24432/C50P49, licensed CC BY 4.0. The 1,797 images of its test set, 8x8 pixels
of 0 to 16. See DIGITS.md beside this file for where it comes from and what was done to it.
"""

from importlib import resources

import numpy as np
import torch

from rheostat.trainer.data.records import Collection, ResidentSplit


def read_digits() -> Collection:
    """Return the 1,797 digits as (1, 8, 8) uint8 images of 10 classes."""
    embedded = resources.files("rheostat.trainer.data").joinpath("digits.npz")
    with embedded.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        images = torch.from_numpy(arrays["images"]).unsqueeze(1)
        labels = torch.from_numpy(arrays["labels"]).long()
    return Collection(train=ResidentSplit(images, labels), share=0.2, classes=10)
