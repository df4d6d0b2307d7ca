"""Conditions in CEL, the Common Expression Language, over an observation.

Alone in this package, this module needs more than the standard library: `cel_expr_python`, the CEL
project's own runtime. It checks names and types when a condition is compiled, so a misspelt one
fails before the run and not in it.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_math

_PER_GROUP = cel.Type.Map(cel.Type.STRING, cel.Type.DOUBLE)
TYPES = {
    "step": cel.Type.INT,
    "steps": cel.Type.INT,
    "progress": cel.Type.DOUBLE,
    "train_loss": cel.Type.DOUBLE,
    "train_loss_average": cel.Type.DOUBLE,
    "validation_loss": cel.Type.DOUBLE,
    "validation_accuracy": cel.Type.DOUBLE,
    "validation_step": cel.Type.INT,
    "gradient_norm": cel.Type.DOUBLE,
    "learning_rate": _PER_GROUP,
    "base": _PER_GROUP,
    "factor": _PER_GROUP,
    "gradient_alignment": cel.Type.DOUBLE,
    "gradient_signal": cel.Type.DOUBLE,
    "gradient_noise": cel.Type.DOUBLE,
    "group_gradient_norm": _PER_GROUP,
    "prediction_variance": cel.Type.DOUBLE,
    "prediction_change_variance": cel.Type.DOUBLE,
    "output_weight_mean": cel.Type.DOUBLE,
    "output_weight_variance": cel.Type.DOUBLE,
    "prediction_kl": cel.Type.DOUBLE,
}
"""The CEL type of each variable."""


class Condition:
    """A CEL expression that is true or not of each observation, compiled once.

    Args:
        expression: in CEL, of type bool, over the variables of the rules policy.

    Raises:
        ValueError: if it does not compile; says where and why.
    """

    def __init__(self, expression: str) -> None:
        if any("\ud800" <= character <= "\udfff" for character in expression):
            raise ValueError("it holds broken characters")
        try:
            self._compiled = _environment().compile(expression)
        except RuntimeError as error:
            raise ValueError(_problem(str(error))) from error
        answers = self._compiled.return_type()
        if answers != cel.Type.BOOL:
            raise ValueError(f"it gives a value of type {answers.name()}, not true or false")
        words = set(re.findall(r"\w+", expression))
        self.variables = tuple(name for name in TYPES if name in words)
        """Names of the variables it may look at, at the least all that it does."""

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Say whether it is true; one whose outcome hangs on a missing value is not.

        Args:
            values: the variables that are known, by name.
        """
        # An error is a value too in CEL, so that `unknown || true` can be true.
        return self._compiled.eval(data=values).value() is True


@cache
def _environment() -> cel.Env:
    return cel.NewEnv(variables=TYPES, extensions=[ext_math.ExtMath()])


def _problem(text: str) -> str:
    """Turn the runtime's report into one sentence for whoever wrote the expression."""
    found = re.search(r"ERROR: <input>:(\d+):(\d+): (.+)", text)
    if found is None:
        return text
    line, column, problem = found.groups()
    place = f"column {column}" if line == "1" else f"line {line}, column {column}"
    if "undeclared reference" in problem:
        problem = problem.removesuffix(" (in container '')") + f"; there are {', '.join(TYPES)}"
    elif re.search(r"\((int, double|double, int)\)", problem):
        problem += "; write 3.0 rather than 3 beside a loss or an LR, and double(step) for the step"
    return f"{place}: {problem}"
