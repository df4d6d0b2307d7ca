"""A state on its way from rank 0 to the others, which may not see its files."""

from collections.abc import Collection

import torch

from rheostat.runs.messages import Unacknowledged
from rheostat.runs.records import GENERATORS
from rheostat.trainer.building import Parts, seed_everything
from rheostat.trainer.checkpoints.restoring import others_of, restore_tensors
from rheostat.trainer.checkpoints.state import MODEL, OPTIMIZER, State
from rheostat.trainer.data.ordering import derive_seed
from rheostat.trainer.distributed.gang import Gang
from rheostat.trainer.generators import recall_generators

_SENT = (MODEL, OPTIMIZER)
_PLAIN = ("extra", "optimizer", "loss_scale")


def send(gang: Gang, state: State, anew: Collection[str]) -> None:
    """Send what the others restore of a state; rank 0's half of `receive`."""
    forms = {
        part: {name: (one.shape, one.dtype) for name, one in state.tensors[part].items()}
        for part in _SENT
    }
    plain = {name: state.plain[name] for name in _PLAIN}
    gang.share((state.step, plain, forms, others_of(state), tuple(anew)))
    for part in _SENT:
        for tensor in state.tensors[part].values():
            gang.share_tensor(tensor.cpu().contiguous())


def receive(gang: Gang, parts: Parts) -> None:
    """Bring this rank's parts to the state that rank 0 sends, its random generators last.

    A rank that was not there when the checkpoint was taken begins with generators of its own.
    """
    step, plain, forms, memories, anew = gang.share(None)
    tensors = {
        part: {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in named.items()}
        for part, named in forms.items()
    }
    for part in _SENT:
        for tensor in tensors[part].values():
            gang.share_tensor(tensor)
    state = State(
        step=step,
        revision=0,
        validation_loss=None,
        tensors=tensors,
        plain=plain,
        unacknowledged=Unacknowledged(),
    )
    restore_tensors(parts, state, anew)
    if GENERATORS in anew:
        return
    if gang.rank <= len(memories):
        recall_generators(memories[gang.rank - 1])
    else:
        seed_everything(derive_seed(parts.spec.train.seed, 2, gang.rank, step))
