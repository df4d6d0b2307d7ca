"""Several optimizers that step as one."""

from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

from rheostat.trainer.shortcuts import step_of


class SplitOptimizer(Optimizer):
    """Optimizers of different classes, each with some of the groups, behind the face of one.

    `param_groups` holds the very dictionaries that the parts read, in the order of the run's
    groups, and `state` is one for all. So whoever writes an LR, forgets gradients, saves or loads
    need not know that there are several.
    """

    def __init__(self, parts: Sequence[Optimizer], param_groups: Sequence[dict[str, Any]]) -> None:
        """Join optimizers.

        Args:
            parts: at least one, none of which needs a closure.
            param_groups: all groups of all parts, the same dictionaries, in the order wanted.
        """
        super().__init__(list(param_groups), {})
        self.parts = tuple(parts)
        self._indices = [
            [index for index, one in enumerate(param_groups) if _holds(part, one)] for part in parts
        ]
        self._share()
        # Whoever listens to steps listens to this optimizer's; the parts' own wrappers only cost.
        self._steps = [step_of(part) for part in parts]

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Let each part update its own parameters."""
        for step in self._steps:
            step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a state that `state_dict` gave, which has torch's usual form."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Let the parts work on this optimizer's groups and state; loading replaces both."""
        for part, indices in zip(self.parts, self._indices, strict=True):
            part.state = self.state
            part.param_groups = [self.param_groups[index] for index in indices]


def _holds(part: Optimizer, group: dict[str, Any]) -> bool:
    return any(group is one for one in part.param_groups)
