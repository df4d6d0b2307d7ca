"""What to do next for a resource: a pure function of what the daemon knows.

One thing at a time: what it brings about is looked at before the next is chosen, so that a thing
that fails or is done twice does no harm. A declaration is carried out when it changes and not
again: what somebody does meanwhile by other ways stays, and is shown as drift.
"""

from dataclasses import dataclass

from rheostat.cluster.declaration import Declaration
from rheostat.cluster.findings import ACCEPTED, LEARNING_RATE_APPLIED, Findings
from rheostat.cluster.resources import TrainingRun
from rheostat.runs.records import Phase, RunView


@dataclass(frozen=True, slots=True)
class Claim:
    """Write this daemon into the status, unless another is quicker."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Add the finalizer."""


@dataclass(frozen=True, slots=True)
class LetGo:
    """Remove the finalizer."""


@dataclass(frozen=True, slots=True)
class Create:
    """Create the run."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run, validated and saved."""

    run: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Let the run stand still."""

    run: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Let the run go on."""

    run: str


@dataclass(frozen=True, slots=True)
class Steer:
    """Bring the declared schedule, policies and LR about."""

    run: str
    declaration: Declaration


@dataclass(frozen=True, slots=True)
class Note:
    """Note that this generation asks for nothing that is not so already."""

    declaration: Declaration


Action = Claim | Guard | LetGo | Create | Stop | Pause | Resume | Steer | Note


def next_action(found: Findings) -> Action | None:
    """Return what to do next; None when all is done, or something must happen first."""
    resource = found.resource
    if not is_for(resource, found.daemon):
        return None
    is_ours = resource.status.daemon == found.daemon
    if resource.is_deleting:
        if not (is_ours and resource.is_guarded):
            return None
        return LetGo() if resource.is_attached else _ending(found.run)
    if not is_ours:
        return Claim()
    # A script goes on without its resource, so nothing need wait for its end.
    if not resource.is_guarded and not resource.is_attached:
        return Guard()
    if resource.declaration is None:
        return None
    if found.run is not None:
        return _steering(found, found.run, resource.declaration)
    must_wait = (
        resource.is_attached
        or found.is_lost
        or resource.declaration.suspend
        or _is_refused(found, ACCEPTED)
    )
    return None if must_wait else Create()


def is_for(resource: TrainingRun, daemon: str) -> bool:
    """Whether a daemon may train a resource: it has taken it, or is asked to, or nobody else is."""
    wanted = resource.declaration.daemon if resource.declaration else None
    return (resource.status.daemon or wanted or daemon) == daemon


def is_settled(resource: TrainingRun, run: RunView | None) -> bool:
    """Whether a run has ended, and the resource says so."""
    return (
        run is not None
        and run.phase.is_final
        and resource.status.phase == run.phase.value
        and resource.status.observed_generation == resource.generation
    )


def _ending(run: RunView | None) -> Action | None:
    if run is None or run.phase.is_final:
        return LetGo()
    return None if run.phase is Phase.STOPPING else Stop(run.name)


def _steering(found: Findings, run: RunView, declared: Declaration) -> Action | None:
    acted = found.acted
    if acted.generation == found.resource.generation or found.is_steering:
        return None
    if run.phase not in (Phase.RUNNING, Phase.PAUSED):
        return None  # it will be, or it ends
    if declared.suspend and not acted.suspend and run.phase is Phase.RUNNING:
        return Pause(run.name)
    if acted.suspend and not declared.suspend and run.phase is Phase.PAUSED:
        return Resume(run.name)
    if acted.is_all_of(declared):
        return Note(declared)
    if run.snapshot is None or _is_refused(found, LEARNING_RATE_APPLIED):
        return None
    return Steer(run.name, declared)


def _is_refused(found: Findings, condition: str) -> bool:
    """Whether this generation was refused, and it is too early to ask again."""
    refusal = found.refusal(condition)
    return refusal is not None and (refusal.retry_at is None or found.now < refusal.retry_at)
