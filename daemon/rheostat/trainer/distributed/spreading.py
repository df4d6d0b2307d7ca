"""A state on its way from rank 0 to the others, which may not see its files."""

from collections.abc import Collection
from pathlib import Path

import torch

from rheostat.runs.messages import Unacknowledged
from rheostat.runs.records import GENERATORS
from rheostat.trainer.building import Parts, seed_everything
from rheostat.trainer.checkpoints.reading import Forms, read_model_and_optimizer
from rheostat.trainer.checkpoints.restoring import others_of, restore_tensors
from rheostat.trainer.checkpoints.state import MODEL, OPTIMIZER, State, Tensors
from rheostat.trainer.data.ordering import derive_seed
from rheostat.trainer.distributed.gang import Gang
from rheostat.trainer.generators import recall_generators

_SENT = (MODEL, OPTIMIZER)
_PLAIN = ("extra", "optimizer", "loss_scale")


def send(gang: Gang, state: State, anew: Collection[str], *, from_disk: bool) -> None:
    """Send what the others restore of a state; rank 0's half of `receive`.

    Args:
        gang: the ranks.
        state: one that was read.
        anew: what stays as the spec has it; see `restore`.
        from_disk: whether the others read their parts of the tensors where rank 0 has read its own.
    """
    plain = {name: state.plain[name] for name in _PLAIN}
    gang.share((state.step, plain, others_of(state), tuple(anew)))
    if from_disk:
        gang.share(str(state.path))
        return
    gang.share(
        {
            part: {name: (one.shape, one.dtype) for name, one in state.tensors[part].items()}
            for part in _SENT
        }
    )
    for part in _SENT:
        for tensor in state.tensors[part].values():
            gang.share_tensor(tensor.cpu().contiguous())


def receive(gang: Gang, parts: Parts, forms: Forms | None) -> None:
    """Bring this rank's parts to the state that rank 0 sends, its random generators last.

    A rank that was not there when the checkpoint was taken begins with generators of its own.

    Args:
        gang: the ranks.
        parts: of the run, as this rank has built them.
        forms: what is read from the disk as a part; None where all comes from rank 0.
    """
    step, plain, memories, anew = gang.share(None)
    tensors = _receive(gang) if forms is None else _read(gang, forms)
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


def _read(gang: Gang, forms: Forms) -> Tensors:
    """Read them where rank 0 says."""
    return read_model_and_optimizer(Path(gang.share(None)), forms)


def _receive(gang: Gang) -> Tensors:
    """Take tensors from rank 0."""
    tensors = {
        part: {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in named.items()}
        for part, named in gang.share(None).items()
    }
    for part in _SENT:
        for tensor in tensors[part].values():
            gang.share_tensor(tensor)
    return tensors
