"""From a living run to its state."""

from collections.abc import Sequence
from typing import Any

import msgspec
from torch import Tensor, nn

from rheostat.runs.messages import Unacknowledged
from rheostat.steering.remembering import remember
from rheostat.trainer.building import Parts
from rheostat.trainer.checkpoints.state import LOOP, MODEL, OPTIMIZER, State
from rheostat.trainer.checkpoints.trees import flatten
from rheostat.trainer.generators import remember_generators
from rheostat.trainer.gradients import GradientWatch
from rheostat.trainer.predictions import PredictionWatch
from rheostat.trainer.progress import Progress
from rheostat.trainer.sharding import is_sharded


def gather(
    parts: Parts,
    progress: Progress,
    gradients: GradientWatch | None,
    predictions: PredictionWatch,
    unacknowledged: Unacknowledged,
    others: Sequence[Any] = (),
) -> State:
    """Return the state of a run whose next LRs are settled and whose next step has not begun.

    Its tensors are those of the run, not copies. `others` are the memories of the random generators
    of ranks 1, 2, ...

    Raises:
        FailedPrecondition: if something is of a kind that cannot be kept; says what.
    """
    model, optimizer, loop = model_tensors(parts.model), dict[str, Tensor](), dict[str, Tensor]()
    seen = (None if gradients is None else gradients.memory(), predictions.memory())
    plain = {
        "steering": msgspec.to_builtins(remember(parts.steering)),
        "progress": msgspec.to_builtins(progress),
        "extra": flatten(extra_states(parts.model), "extra", model),
        "optimizer": flatten(parts.optimizer.state_dict(), "optimizer", optimizer),
        "loss_scale": parts.precision.memory(),
        "generators": flatten(remember_generators(parts.device), "generators", loop),
        "seen": flatten(seen, "seen", loop),
        "others": flatten(list(others), "others", loop),
    }
    is_validated = progress.validation_step == progress.step
    return State(
        step=progress.step,
        revision=parts.steering.revision,
        validation_loss=progress.validation_loss if is_validated else None,
        tensors={MODEL: model, OPTIMIZER: optimizer, LOOP: loop},
        plain=plain,
        unacknowledged=unacknowledged,
    )


def gather_parts(parts: Parts, step: int) -> State:
    """Return what a process has parts of, where the first has all the rest; no copies.

    Args:
        parts: of the run, between two steps.
        step: number of finished steps.
    """
    optimizer: dict[str, Tensor] = {}
    flatten(parts.optimizer.state_dict(), "optimizer", optimizer)
    tensors = {
        part: {name: one for name, one in named.items() if is_sharded(one)}
        for part, named in ((MODEL, model_tensors(parts.model)), (OPTIMIZER, optimizer))
    }
    return State(
        step=step,
        revision=0,
        validation_loss=None,
        tensors=tensors,
        plain={},
        unacknowledged=Unacknowledged(),
    )


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, also buffers that a state dict leaves out.

    What stands in the model under several names is there under its first.
    """
    return {
        name: tensor.detach()
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }


def extra_states(model: nn.Module) -> dict[str, Any]:
    """Return what modules keep beside their tensors, by the module's name."""
    plain = nn.Module.get_extra_state
    return {
        name: module.get_extra_state()
        for name, module in model.named_modules()
        if type(module).get_extra_state is not plain
    }
