"""What this process has parts of, by the names that a checkpoint gives it."""

from torch import Tensor

from rheostat.trainer.building import Parts
from rheostat.trainer.checkpoints.gathering import model_tensors
from rheostat.trainer.checkpoints.reading import Forms
from rheostat.trainer.checkpoints.state import MODEL, OPTIMIZER
from rheostat.trainer.sharding import is_sharded


def forms_of(parts: Parts) -> Forms:
    """Return how a run's tensors are cut: those of the optimizer as the parameters they belong to,
    if they have their shape.
    """
    model = {name: one for name, one in model_tensors(parts.model).items() if is_sharded(one)}
    parameters = [one for group in parts.optimizer.param_groups for one in group["params"]]

    def form(part: str, name: str, shape: tuple[int, ...]) -> Tensor | None:
        own = None
        if part == MODEL:
            own = model.get(name)
        elif part == OPTIMIZER and (index := parameter_of(name)) is not None:
            own = parameters[index] if index < len(parameters) else None
        if own is None or not is_sharded(own) or tuple(own.shape) != shape:
            return None
        return own.detach()

    return form


def parameter_of(name: str) -> int | None:
    """Return the index of the parameter that a tensor of an optimizer's state belongs to; None if
    it belongs to none by itself.
    """
    path = name.split(".")
    return int(path[2]) if len(path) == 4 and path[1] == "state" else None
