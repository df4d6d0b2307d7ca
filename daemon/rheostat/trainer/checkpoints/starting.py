"""A trainer's beginning: from nothing, or from where another one was interrupted."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from rheostat.runs.messages import Ready
from rheostat.runs.records import STEERING
from rheostat.runs.starting import CHECKPOINTS_FOLDER, SPEC_FILE, StartOrder
from rheostat.spec.models import Spec
from rheostat.steering.script import Script
from rheostat.trainer.building import Parts, build
from rheostat.trainer.checkpoints.reading import read_state
from rheostat.trainer.checkpoints.restoring import restore
from rheostat.trainer.checkpoints.saver import Saver
from rheostat.trainer.checkpoints.state import State
from rheostat.trainer.data.ordering import WHOLE, Share
from rheostat.trainer.loop import Loop
from rheostat.trainer.memory import keep_freed_memory
from rheostat.trainer.parallel import SINGLE, Parallel
from rheostat.trainer.peers import Peer
from rheostat.trainer.ranks import Alone, Ranks

Enlist = Callable[[Parts], Ranks]
"""Returns the processes that train a run, once rank 0 has built its own."""


def start(
    run: str,
    folder: Path,
    link: Peer,
    order: StartOrder,
    *,
    share: Share = WHOLE,
    parallel: Parallel = SINGLE,
    enlist: Enlist | None = None,
) -> Loop:
    """Build a run from its folder, bring it to where it had come, and tell that it is ready.

    Args:
        run: its name.
        folder: with its spec.
        link: whom to tell.
        order: where to begin, and what has been decided from there on.
        share: of each batch that this process has.
        parallel: how the processes work on the model.
        enlist: finds the other processes; None where there are none.

    Raises:
        InvalidSpec: for what only torch, the data and the model can tell.
        BadCheckpoint: if the checkpoint that the order names is not whole or not this run's.
        RheostatError: if what had been decided cannot be done again.
    """
    text = (folder / SPEC_FILE).read_bytes()
    spec, digest = Spec.model_validate_json(text), hashlib.sha256(text).hexdigest()
    keep_freed_memory()
    parts = build(spec, run, share=share, parallel=parallel)
    ranks = Alone() if enlist is None else enlist(parts)
    state, lost = None, list[str]()
    if order.checkpoint is not None:
        state = read_state(Path(order.checkpoint), spec_sha256=digest, forms=ranks.forms)
        lost = restore(parts, state, order.anew)
        ranks.spread(state, order.anew)
    script = Script(order.decisions, order.offences, order.steps_done)
    parts.steering.follow(script)
    for line in _told(parts, order, script, state):
        print(line, flush=True)
    at = 0 if state is None else state.step
    link.send(
        Ready(
            steps=parts.steering.steps,
            groups=tuple(group.describe() for group in parts.groups),
            device=str(parts.device),
            warnings=(*parts.warnings, *ranks.warnings, *lost),
            step=at,
        )
    )
    saver = Saver(folder / CHECKPOINTS_FOLDER, run, spec.checkpoint, digest, at, ranks)
    return Loop(parts, link, ranks, saver, state, anew=order.anew, until=order.until)


def _told(parts: Parts, order: StartOrder, script: Script, state: State | None) -> Sequence[str]:
    """Say for the log what the run goes on with, and what takes precedence over what."""
    if state is None and not order.decisions:
        return ()
    where = (
        "from its beginning" if state is None else f"at step {state.step} from {order.checkpoint}"
    )
    lines = [f"attempt {order.attempt} goes on {where}"]
    if order.anew:
        lines.append(f"{', '.join(order.anew)}: the spec takes precedence over the checkpoint")
    if state is not None and STEERING not in order.anew:
        lines.append(
            "schedule, overrides and policies are the checkpoint's, at its revision "
            f"{state.revision}; they take precedence over the spec"
        )
    if order.decisions:
        first, last = order.decisions[0].revision, order.decisions[-1].revision
        lines.append(
            f"decisions {first} to {last} are newer and take precedence; they act again at their "
            f"steps, and nothing new is decided before step {script.end}"
        )
    if state is not None and STEERING not in order.anew:
        saved = [float(group["lr"]) for group in parts.optimizer.param_groups]
        for group, lr in zip(parts.steering.groups, saved, strict=True):
            lines.append(
                f"the LR of group {group.name} is {group.learning_rate!r}, as steering says; in "
                f"the optimizer's state stood {lr!r}"
            )
    return lines
