"""One process's part in a run of several, from the meeting to the end."""

import os
import sys
from pathlib import Path

import msgspec
import torch

from rheostat.errors import InvalidSpec, Violation
from rheostat.runs.messages import Failed, Finished
from rheostat.runs.starting import CHECKPOINTS_FOLDER, SPEC_FILE, StartOrder
from rheostat.spec.models import Spec
from rheostat.trainer.building import Parts, build
from rheostat.trainer.checkpoints.starting import start
from rheostat.trainer.data.ordering import Share
from rheostat.trainer.devices import find_device
from rheostat.trainer.distributed.environment import LOCAL_RANK_VARIABLE, STORE_VARIABLE
from rheostat.trainer.distributed.following import Follower
from rheostat.trainer.distributed.gang import Gang, is_loss_of_rank
from rheostat.trainer.distributed.launching import EXIT_LOST
from rheostat.trainer.distributed.leading import Leading
from rheostat.trainer.distributed.meeting import Work, meet
from rheostat.trainer.distributed.replicas import Replicas
from rheostat.trainer.distributed.shards import Shards
from rheostat.trainer.ending import EXIT_FAILED, EXIT_OK, failure_of, train_to_end
from rheostat.trainer.learning import NonFiniteLoss
from rheostat.trainer.peers import Peer


def lead(run: str, folder: Path, link: Peer, order: StartOrder) -> Finished | Failed:
    """Train a run as its rank 0, and return the last words.

    Raises:
        SystemExit: if another rank is gone without a word; there is nothing to say of it that the
            daemon does not see.
        Exception: as a trainer of one process would.
    """
    text = (folder / SPEC_FILE).read_text()
    spec = Spec.model_validate_json(text)
    meeting = meet()
    meeting.announce(Work(run=run, spec=text))
    gang = Gang(meeting.store, 0, meeting.world_size, _find_device(spec))
    _check_place(spec)
    parallel = _make_parallel(spec, gang)
    led: list[Leading] = []

    def enlist(parts: Parts) -> Leading:
        led.append(Leading(gang, parts, parallel, folder / CHECKPOINTS_FOLDER))
        return led[0]

    try:
        share = Share(0, meeting.world_size)
        last = train_to_end(
            folder, start(run, folder, link, order, share=share, parallel=parallel, enlist=enlist)
        )
    except NonFiniteLoss:
        led[0].dismiss()
        raise
    except Exception as error:
        if (failure := gang.read_note()) is not None:
            return Failed(failure=failure)
        if is_loss_of_rank(error):
            print(f"rank 0: another rank is gone: {error}", file=sys.stderr, flush=True)
            sys.exit(EXIT_LOST)
        raise
    led[0].dismiss()
    gang.close()
    return last


def follow() -> int:
    """Train a run as one that follows rank 0, and return the exit code."""
    meeting = meet()
    work, rank = meeting.work(), meeting.rank
    spec = Spec.model_validate_json(work.spec)
    gang = None
    try:
        gang = Gang(meeting.store, rank, meeting.world_size, _find_device(spec))
        # Nobody steers here, so nobody needs the policies, which may be only where rank 0 is.
        share = Share(rank, meeting.world_size)
        parallel = _make_parallel(spec, gang)
        own = spec.model_copy(update={"policies": ()})
        parts = build(own, work.run, share=share, parallel=parallel)
        Follower(gang, parts, parallel).follow()
    except Exception as error:
        if is_loss_of_rank(error):
            print(f"rank {rank}: another rank is gone: {error}", file=sys.stderr, flush=True)
            return EXIT_LOST
        failure = failure_of(error)
        told = f"rank {rank}: {failure.message}"
        if gang is not None:
            gang.leave_note(msgspec.structs.replace(failure, message=told))
        return EXIT_FAILED
    gang.close()
    return EXIT_OK


def _check_place(spec: Spec) -> None:
    """Refuse a run of several machines that have no place to meet.

    Raises:
        InvalidSpec: if that is so.
    """
    if spec.train.nodes > 1 and STORE_VARIABLE in os.environ:
        expected = "1, as this daemon was started without --rendezvous HOST:PORT"
        raise InvalidSpec([Violation("train.nodes", str(spec.train.nodes), expected)])


def _make_parallel(spec: Spec, gang: Gang) -> Replicas | Shards:
    make = Shards if spec.train.parallel == "fsdp" else Replicas
    return make(gang, spec.data.batch_size)


def _find_device(spec: Spec) -> torch.device:
    """Return where this process trains: of several GPUs, its own.

    Raises:
        InvalidSpec: if there is none for it.
    """
    device = find_device(spec.train.device)
    if device.type == "cuda":
        own, there = int(os.environ[LOCAL_RANK_VARIABLE]), torch.cuda.device_count()
        if own >= there:
            expected = f"at most {there}, the number of GPUs of this machine"
            raise InvalidSpec([Violation("train.processes", str(spec.train.processes), expected)])
        torch.cuda.set_device(own)
    elif device.type != "cpu":
        expected = "cpu or cuda, where several processes can train together"
        raise InvalidSpec([Violation("train.device", device.type, expected)])
    return device
