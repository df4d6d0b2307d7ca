"""From a state to a living run: everything as it was, to the last bit.

The LR is what steering says. An optimizer's state dict brings LRs of its own; they are read and
written over.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import torch
from torch import Tensor
from torch.optim import Optimizer

from rheostat.runs.checkpoints import BadCheckpoint
from rheostat.runs.records import OPTIONS, STEERING
from rheostat.steering.memory import SteeringMemory
from rheostat.steering.remembering import begin_anew, recall
from rheostat.trainer.building import Parts
from rheostat.trainer.checkpoints.forms import parameter_of
from rheostat.trainer.checkpoints.gathering import extra_states, model_tensors
from rheostat.trainer.checkpoints.state import LOOP, MODEL, OPTIMIZER, State
from rheostat.trainer.checkpoints.trees import flatten, unflatten
from rheostat.trainer.progress import Progress
from rheostat.trainer.sharding import is_sharded, like, part_of


def restore(parts: Parts, state: State, anew: Collection[str] = ()) -> list[str]:
    """Bring freshly built parts to a state, all but the random generators.

    These come last, with `seen` and `progress`, since building and restoring may draw from them.

    Args:
        parts: of the run, as its spec has them.
        state: of it, or of the one that it was forked from.
        anew: what stays as the spec has it; see `Origin.anew`.

    Returns:
        Sentences about what will not be as it was.

    Raises:
        BadCheckpoint: if the state is of another model.
        RheostatError: if a policy or a schedule that was added to the run cannot be made any more.
    """
    lost = restore_tensors(parts, state, anew)
    if STEERING in anew:
        begin_anew(parts.steering, steering_of(state))
    else:
        recall(parts.steering, steering_of(state))
    return lost


def restore_tensors(parts: Parts, state: State, anew: Collection[str] = ()) -> list[str]:
    """Bring model and optimizer to a state; see `restore`."""
    options = [_options(group) for group in parts.optimizer.param_groups]
    _restore_model(parts, state)
    parts.precision.recall(state.plain["loss_scale"])
    lost = restore_optimizer(parts.optimizer, state, parts.device)
    if OPTIONS in anew:
        for group, own in zip(parts.optimizer.param_groups, options, strict=True):
            group.update(own)
    return lost


def steering_of(state: State) -> SteeringMemory:
    """Return what steering remembers."""
    return msgspec.convert(state.plain["steering"], SteeringMemory)


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def progress_of(state: State) -> Progress:
    """Return the loop's measurements."""
    return msgspec.convert(state.plain["progress"], Progress)


def seen_of(state: State, device: torch.device) -> tuple[Any, Any]:
    """Return the memories of the gradient watch, None where there was none, and of predictions."""
    gradients, predictions = unflatten(state.plain["seen"], state.tensors[LOOP], device)
    return gradients, predictions


def generators_of(state: State) -> Any:
    """Return the memory of the random generators."""
    return unflatten(state.plain["generators"], state.tensors[LOOP], torch.device("cpu"))


def others_of(state: State) -> list[Any]:
    """Return the memories of the random generators of ranks 1, 2, ... as they were then."""
    memories: list[Any] = unflatten(state.plain["others"], state.tensors[LOOP], torch.device("cpu"))
    return memories


def restore_optimizer(optimizer: Optimizer, state: State, device: torch.device) -> list[str]:
    """Bring an optimizer to a state, LRs among it, and look whether that went well."""
    kept = state.tensors[OPTIMIZER]
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    tree = unflatten(state.plain["optimizer"], kept, device)
    for index, own in tree["state"].items():
        tree["state"][index] = _sharded(own, parameters[index])
    optimizer.load_state_dict(tree)
    _keep_types(optimizer, kept)
    now: dict[str, Tensor] = {}
    plain = flatten(optimizer.state_dict(), "optimizer", now)
    others = sorted({name for name in {*kept, *now} if not _is_kept(kept.get(name), now.get(name))})
    if not others and plain == state.plain["optimizer"]:
        return []
    what = others[0] if others else "what is no tensor in its state"
    return [
        f"{type(optimizer).__name__} does not take its own state back as it was ({what}): the run "
        "goes on, and not to the last bit as it would have without the interruption"
    ]


def _keep_types(optimizer: Optimizer, kept: Mapping[str, Tensor]) -> None:
    """Put back what torch has cast to the type of its parameter, which it does when it loads, and
    lay out in memory as its parameter what has its shape: fused kernels take that for granted.
    """
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for name, tensor in kept.items():
        index = parameter_of(name)
        if index is None:
            continue
        parameter, key = parameters[index], name.rpartition(".")[2]
        own = optimizer.state[parameter]
        loaded = own.get(key)
        if not isinstance(loaded, Tensor):
            continue
        if loaded.dtype != tensor.dtype:
            own[key] = loaded = like(loaded, tensor.to(loaded.device))
        if is_sharded(parameter):
            continue
        if loaded.shape == parameter.shape and loaded.stride() != parameter.stride():
            own[key] = torch.empty_like(parameter, dtype=loaded.dtype).copy_(loaded)


def _sharded(own: dict[str, Any], parameter: Tensor) -> dict[str, Any]:
    """Return a parameter's state in the form of the parameter: its part where it is one."""
    return {
        name: like(parameter, value)
        if isinstance(value, Tensor) and value.shape == parameter.shape
        else value
        for name, value in own.items()
    }


def _is_kept(kept: Tensor | None, now: Tensor | None) -> bool:
    if kept is None or now is None:
        return False
    return is_same(part_of(like(now, kept)), part_of(now))


def _restore_model(parts: Parts, state: State) -> None:
    kept = state.tensors[MODEL]
    own = model_tensors(parts.model)
    missing = sorted(set(own) - set(kept))
    if missing:
        raise BadCheckpoint(f"the checkpoint has no tensor {missing[0]}, which the model has")
    with torch.no_grad():
        for name, tensor in own.items():
            if tensor.shape != kept[name].shape or tensor.dtype != kept[name].dtype:
                raise BadCheckpoint(
                    f"tensor {name} of the checkpoint is {_form(kept[name])}, and of the model "
                    f"{_form(tensor)}"
                )
            own_part, kept_part = part_of(tensor), part_of(like(tensor, kept[name]))
            # A buffer that is the same anyway may be one that cannot be written to.
            if not is_same(own_part, kept_part):
                own_part.copy_(kept_part)
    extra = unflatten(state.plain["extra"], kept, parts.device)
    modules = dict(parts.model.named_modules())
    for name in extra_states(parts.model):
        modules[name].set_extra_state(extra[name])


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} of {tensor.dtype}"


def is_same(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two tensors are equal to the last bit, NaN and all."""
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(_bits(a), _bits(b))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
