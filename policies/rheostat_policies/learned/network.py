"""The forward pass of a small network, in numpy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rheostat_policies.learned.features import Rows
from rheostat_policies.learned.tensors import Arrays

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weights (out, in), and biases (out,)."""


def _relu(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.maximum(values, np.float32(0))


ACTIVATIONS: Mapping[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "relu": _relu,
    "tanh": np.tanh,
}


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Linear layers with an activation between them, and none after the last."""

    layers: Sequence[Layer]
    activation: str

    def __call__(self, rows: Rows) -> list[list[float]]:
        """Return the outputs of each row, (rows, outputs), for (rows, inputs)."""
        return self.head(self.hidden(rows))

    def hidden(self, rows: Rows) -> NDArray[np.float32]:
        """Return what goes into the last layer, (rows, width)."""
        between = ACTIVATIONS[self.activation]
        values = rows
        for weights, biases in self.layers[:-1]:
            values = between(values @ weights.T + biases)
        return values

    def head(self, hidden: NDArray[np.float32]) -> list[list[float]]:
        """Return what the last layer makes of it, (rows, outputs)."""
        weights, biases = self.layers[-1]
        outputs: list[list[float]] = (hidden @ weights.T + biases).tolist()
        return outputs

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return its weights and biases by name, for a file."""
        named = {}
        for index, (weights, biases) in enumerate(self.layers):
            named[f"layers.{index}.weight"], named[f"layers.{index}.bias"] = weights, biases
        return named


def network_of(arrays: Arrays, activation: str, inputs: int, outputs: int) -> Network:
    """Return the network in a file.

    Args:
        arrays: weights and biases, by the names that `Network.arrays` gives them.
        activation: between its layers.
        inputs: width it must have at its beginning.
        outputs: width it must have at its end.

    Raises:
        ValueError: if they make no such network.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"its network has the unknown activation {activation!r}")
    names = [f"layers.{index}" for index in range(len(arrays) // 2)]
    wanted = {f"{name}.{part}" for name in names for part in ("weight", "bias")}
    if not names or wanted != set(arrays):
        raise ValueError(f"its network is not layers.0 and on, but {', '.join(sorted(arrays))}")
    if not all(bool(np.all(np.isfinite(array))) for array in arrays.values()):
        raise ValueError("the weights of its network are not all finite")
    layers = [(arrays[f"{name}.weight"], arrays[f"{name}.bias"]) for name in names]
    if any(a.ndim != 2 or b.shape != a.shape[:1] for a, b in layers):
        raise ValueError("the layers of its network are not matrices with a bias per row")
    if any(a.shape[0] != b.shape[1] for (a, _), (b, _) in pairwise(layers)):
        raise ValueError("the layers of its network do not fit each other")
    widths = layers[0][0].shape[1], layers[-1][0].shape[0]
    if widths != (inputs, outputs):
        raise ValueError(
            f"its network goes from {widths[0]} to {widths[1]} numbers, "
            f"and its features and answers are {inputs} and {outputs}"
        )
    return Network(layers, activation)
