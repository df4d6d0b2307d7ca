"""What a run trains: the built-in networks, and the way to everybody else's.

Here live factories that make a `torch.nn.Module` for a description of the data. Not here: weights
(nothing is ever downloaded), param groups, devices. This room may ask `spec`, `errors` and its
neighbour `data`.
"""

from rheostat.trainer.models.building import build_model

__all__ = ["build_model"]
