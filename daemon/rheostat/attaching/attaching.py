"""`rheostat.attach`: three lines that make a training script a run."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from rheostat.attaching.beginning import Beginning, checkpoint_of, steer_on, take_over
from rheostat.attaching.boundary import Boundary, Evaluation
from rheostat.attaching.building import build, spec_of
from rheostat.attaching.carriers import Carriers
from rheostat.attaching.company import Company, company_of
from rheostat.attaching.ending import last_words
from rheostat.attaching.enrolling import Enrolment, enroll
from rheostat.attaching.groups import ParamNames, describe_groups
from rheostat.attaching.remembering import Memory
from rheostat.attaching.run import AttachedRun, Desk
from rheostat.attaching.saving import Checkpoint, InFolder, ScriptSaver
from rheostat.attaching.unwrapping import unwrapped
from rheostat.errors import InvalidRequest, Violation
from rheostat.runs.messages import Ready
from rheostat.runs.records import GroupDescription
from rheostat.runs.starting import CHECKPOINTS_FOLDER, RUN_VARIABLE
from rheostat.spec.attached import load_attached
from rheostat.trainer.optimizers import semantics_of
from rheostat.trainer.progress import Progress

READY_SECONDS = 10.0
"""Longest that a script waits for its daemon to take note of it; it does not need to."""


def attach(
    optimizer: Any,
    *,
    name: str = "",
    scheduler: object | None = None,
    steps: int | None = None,
    groups: Sequence[str] | None = None,
    param_names: ParamNames | None = None,
    policies: Sequence[str | Mapping[str, Any]] = (),
    guardrails: Mapping[str, Any] | None = None,
    batch_size: int = 0,
    seed: int = 0,
    evaluate: Evaluation | None = None,
    save: InFolder | None = None,
    restore: InFolder | None = None,
    address: str | None = None,
    state_dir: str | Path | None = None,
    resume: bool = False,
) -> AttachedRun:
    """Make the training script that calls this a run, whose LR can be changed while it trains.

        with rheostat.attach(optimizer, name="my-run") as run:
            for inputs, targets in loader:
                ...
                optimizer.step()
                scheduler.step()
                run.step(loss)

    The script's own scheduler goes on as before, and what it wants is the base that policies and
    people multiply. Between two steps the optimizer holds the script's own LR, so that neither the
    scheduler nor a checkpoint of the script's ever sees another; `run.learning_rates` says which
    ones the steps are taken with.

    Under torchrun every rank calls this, after `init_process_group`; rank 0 talks to the daemon.

    Args:
        optimizer: a torch optimizer, or what has one as its attribute `optimizer`.
        name: wished name of the run, by default that of the script's file; one that is taken gets
            a number. `RHEOSTAT_RUN` in the environment comes before it.
        scheduler: what moves the LR, to be named in `lr explain`, and asked how long it goes on.
        steps: planned number of optimizer steps, where the script knows; some schedules that can
            take the place of the script's must know it.
        groups: what the param groups are called, one name each; see `describe_groups` for what they
            are called otherwise.
        param_names: a model or its `named_parameters()`: what the parameters are called.
        policies: as in a spec, each a name or a mapping with `name`, `args` and `shadow`.
        guardrails: as in a spec.
        batch_size: samples of one optimizer step, to count them; 0 where it does not matter.
        seed: for policies that draw random numbers.
        evaluate: returns the loss of the validation set, or loss and accuracy, when somebody asks.
        save: writes into a folder, a `pathlib.Path`, what `restore` needs: files, no folders. Both
            are called from `run.step`, under torchrun in every rank.
        restore: brings model, optimizer, scheduler and whatever else to what `save` had written;
            of a run that is a fork it is called here, before the first step.
        address: of the daemon; by default `RHEOSTAT_ADDRESS`, else the daemon that lives on
            `state_dir`, else one that is started there for the script's life.
        state_dir: by default `RHEOSTAT_STATE_DIR`, else the user's own.
        resume: whether to go on with the run of that name, if there is one, where a script has
            left it: with its history, its number of steps, and what operators want of it.

    Raises:
        InvalidRequest: if there is a mistake in the arguments.
        RheostatError: if no daemon can be had, or it refuses.
    """
    if (save is None) is not (restore is None):
        missing = "save" if save is None else "restore"
        raise InvalidRequest([Violation(missing, "None", "a function too: one needs the other")])
    optimizer = unwrapped(optimizer)
    descriptions = describe_groups(optimizer, groups, param_names)
    company = company_of(len(descriptions))
    progress = Progress()
    enrolment: Enrolment | None = None
    if company is None or company.rank == 0:
        spec = spec_of(
            optimizer,
            scheduler,
            name=os.environ.get(RUN_VARIABLE) or name or _script_name(),
            steps=steps,
            seed=seed,
            policies=policies,
            guardrails=guardrails,
        )
        enrolment = enroll(
            spec,
            address=address,
            state_dir=state_dir,
            resume=resume,
            restores=restore is not None,
        )
    desk: Desk | None = None
    try:
        checkpoint = _checkpoint(enrolment)
        beginning = _told(company, enrolment, checkpoint)
        progress.step = beginning.step
        if beginning.folder is not None:
            assert restore is not None  # else the daemon would not have given it the run
            restore(beginning.folder)
        if enrolment is not None:
            desk = _begin(
                enrolment,
                optimizer,
                descriptions,
                progress,
                checkpoint,
                batch_size=batch_size,
                evaluate=evaluate,
                saves=save is not None,
            )
    except BaseException as error:
        if enrolment is not None:
            enrolment.link.close(last_words(progress, error))
            enrolment.leave()
        raise
    return AttachedRun(
        beginning.name,
        optimizer,
        descriptions,
        progress,
        desk=desk,
        company=company,
        save=save,
        restore=restore,
    )


def _begin(
    enrolment: Enrolment,
    optimizer: Optimizer,
    descriptions: tuple[GroupDescription, ...],
    progress: Progress,
    checkpoint: Checkpoint | None,
    *,
    batch_size: int,
    evaluate: Evaluation | None,
    saves: bool,
) -> Desk:
    """Put together what decides the LRs, and let the daemon know that it is there."""
    view = enrolment.view
    lrs = Carriers(optimizer, len(descriptions)).read()
    # As the daemon has it, which knows what was asked of a fork.
    steered = build(load_attached(view.spec), view.name, descriptions, optimizer, lrs)
    memory = Memory(enrolment.folder, steered.steering)
    folder = enrolment.folder / CHECKPOINTS_FOLDER
    saver = ScriptSaver(folder, view.name, steered.steering, progress) if saves else None
    if checkpoint is not None:
        take_over(checkpoint, progress)
    boundary = Boundary(
        steered,
        enrolment.link,
        progress,
        batch_size=batch_size,
        memory=memory,
        saver=saver,
        evaluate=evaluate,
    )
    if checkpoint is not None:
        steer_on(checkpoint, steered, view)
    elif view.snapshot is not None:
        if problem := memory.recall():
            boundary.warn(f"steering begins anew, as what it was could not be read: {problem}")
        elif steered.steering.step >= 0:
            steered.script.recall(progress.step - 1)
    # What was decided since it was kept has been undone by the end of the script.
    steered.steering.ledger.revision = view.revision
    device = str(optimizer.param_groups[0]["params"][0].device)
    enrolment.link.send(
        Ready(
            steps=steered.steps,
            groups=descriptions,
            device=device,
            warnings=semantics_of(optimizer),
            step=progress.step,
        )
    )
    boundary.wait_for_daemon(READY_SECONDS)
    _say(enrolment, progress, is_fork=checkpoint is not None)
    return Desk(boundary, enrolment)


def _say(enrolment: Enrolment, progress: Progress, *, is_fork: bool) -> None:
    """Say to whoever has started the script how it can be steered."""
    view, origin = enrolment.view, enrolment.view.origin
    if is_fork and origin is not None:
        print(f"{view.name} goes on from step {progress.step} of {origin.run}", file=sys.stderr)
    print(
        f"{view.name} can be steered: rheostat lr scale {view.name} 0.5 --address "
        f"{enrolment.address}",
        file=sys.stderr,
    )


def _checkpoint(enrolment: Enrolment | None) -> Checkpoint | None:
    """Return what the run begins with; None where it is nothing, or another rank knows."""
    return None if enrolment is None else checkpoint_of(enrolment.view, enrolment.folder)


def _told(
    company: Company | None, enrolment: Enrolment | None, checkpoint: Checkpoint | None
) -> Beginning:
    """Return how the run begins, which only the rank knows that talks to the daemon."""
    if enrolment is None:
        beginning = Beginning(name="")
    elif checkpoint is not None:
        path, step = Path(checkpoint.info.path), checkpoint.info.step
        beginning = Beginning(name=enrolment.view.name, folder=path, step=step)
    else:
        snapshot = enrolment.view.snapshot
        step = 0 if snapshot is None else snapshot.step
        beginning = Beginning(name=enrolment.view.name, step=step)
    if company is not None:
        beginning = company.hear(beginning)
    return beginning


def _script_name() -> str:
    """Return a name after the file that Python was started with."""
    text = Path(sys.argv[0]).stem.lower() if sys.argv and sys.argv[0] else ""
    kept = "".join(one if one.isascii() and one.isalnum() else "-" for one in text)
    return kept.strip("-")[:60].strip("-") or "script"
