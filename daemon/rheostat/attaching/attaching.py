"""`rheostat.attach`: three lines that make a training script a run."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from rheostat.attaching.boundary import Boundary, Evaluation
from rheostat.attaching.building import build, spec_of
from rheostat.attaching.carriers import Carriers
from rheostat.attaching.company import Company, company_of
from rheostat.attaching.enrolling import Enrolment, enroll
from rheostat.attaching.groups import ParamNames, describe_groups
from rheostat.attaching.remembering import Memory
from rheostat.attaching.run import AttachedRun, Desk, last_words
from rheostat.attaching.saving import InFolder, ScriptSaver
from rheostat.errors import InvalidRequest, Violation
from rheostat.runs.messages import Ready
from rheostat.runs.records import GroupDescription
from rheostat.runs.starting import CHECKPOINTS_FOLDER
from rheostat.spec.attached import AttachedSpec
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
            a number.
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
        restore: brings model, optimizer, scheduler and whatever else to what `save` had written.
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
    optimizer = _unwrapped(optimizer)
    descriptions = describe_groups(optimizer, groups, param_names)
    company = company_of(len(descriptions))
    progress = Progress()
    desk: Desk | None = None
    if company is None or company.rank == 0:
        spec = spec_of(
            optimizer,
            scheduler,
            name=name or _script_name(),
            steps=steps,
            seed=seed,
            policies=policies,
            guardrails=guardrails,
        )
        enrolment = enroll(spec, address=address, state_dir=state_dir, resume=resume)
        saves = save is not None
        desk = _begin(
            spec, enrolment, optimizer, descriptions, progress, batch_size, evaluate, saves=saves
        )
    name = _told(company, desk)
    return AttachedRun(
        name,
        optimizer,
        descriptions,
        progress,
        desk=desk,
        company=company,
        save=save,
        restore=restore,
    )


def _begin(
    spec: AttachedSpec,
    enrolment: Enrolment,
    optimizer: Optimizer,
    descriptions: tuple[GroupDescription, ...],
    progress: Progress,
    batch_size: int,
    evaluate: Evaluation | None,
    *,
    saves: bool,
) -> Desk:
    """Put together what decides the LRs, and let the daemon know that it is there."""
    view = enrolment.view
    try:
        lrs = Carriers(optimizer, len(descriptions)).read()
        steered = build(spec, view.name, descriptions, optimizer, lrs)
        memory = Memory(enrolment.folder, steered.steering)
        folder = enrolment.folder / CHECKPOINTS_FOLDER
        saver = ScriptSaver(folder, view.name, steered.steering, progress) if saves else None
        boundary = Boundary(
            steered,
            enrolment.link,
            progress,
            batch_size=batch_size,
            memory=memory,
            saver=saver,
            evaluate=evaluate,
        )
        if view.snapshot is not None:
            progress.step = view.snapshot.step
            if problem := memory.recall():
                boundary.warn(f"steering begins anew, as what it was could not be read: {problem}")
            elif steered.steering.step >= 0:
                steered.script.recall(progress.step - 1)
            # What was decided since it was kept has been undone by the end of the script.
            steered.steering.ledger.revision = view.revision
    except BaseException as error:
        enrolment.link.close(last_words(progress, error))
        enrolment.leave()
        raise
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
    print(
        f"{view.name} can be steered: rheostat lr scale {view.name} 0.5 --address "
        f"{enrolment.address}",
        file=sys.stderr,
    )
    return Desk(boundary, enrolment)


def _told(company: Company | None, desk: Desk | None) -> str:
    """Return the name of the run, which only the rank at the desk knows."""
    name = "" if desk is None else desk.enrolment.view.name
    return name if company is None else str(company.hear(name))


def _unwrapped(optimizer: Any) -> Optimizer:
    """Return the torch optimizer inside what libraries put around one."""
    found = optimizer
    while not isinstance(found, Optimizer) or _is_wrapper(found):
        inner = getattr(found, "optimizer", None)
        if inner is None or inner is found:
            expected = "a torch.optim.Optimizer, or what has one as its attribute `optimizer`"
            raise InvalidRequest([Violation("optimizer", type(optimizer).__name__, expected)])
        found = inner
    return found


def _is_wrapper(optimizer: Optimizer) -> bool:
    """Whether an optimizer hands its steps on to another one, as Accelerate's does."""
    return isinstance(getattr(optimizer, "optimizer", None), Optimizer)


def _script_name() -> str:
    """Return a name after the file that Python was started with."""
    text = Path(sys.argv[0]).stem.lower() if sys.argv and sys.argv[0] else ""
    kept = "".join(one if one.isascii() and one.isalnum() else "-" for one in text)
    return kept.strip("-")[:60].strip("-") or "script"
