"""What daemon and trainer must agree on before they can talk."""

import msgspec

from rheostat.steering.records import Decision, Offence

SPEC_FILE = "spec.json"
"""In the run's folder: the whole spec, defaults filled in."""
START_FILE = "start.json"
"""In the run's folder: a `StartOrder` as JSON."""
CHECKPOINTS_FOLDER = "checkpoints"
"""In the run's folder: a folder for each checkpoint."""
LOG_FILE = "trainer.log"
"""In the run's folder: what the trainer prints."""
LOCK_FILE = "trainer.lock"
"""In the run's folder: locked by the trainer for its life, with its process id as text."""
LINK_FILE = "link"
"""In the state directory: path of the present daemon's socket, as text."""
LINK_VARIABLE = "RHEOSTAT_LINK"
"""Environment variable with the path of that file."""
LOCK_VARIABLE = "RHEOSTAT_LOCK"
"""Environment variable with the number of the file descriptor that holds the lock."""
RENDEZVOUS_VARIABLE = "RHEOSTAT_RENDEZVOUS"
"""Environment variable with host:port where other machines join runs; absent where none do."""
TOKEN_VARIABLE = "RHEOSTAT_LINK_TOKEN"
"""Environment variable with the secret that opens it; all trainers of a run have the same."""
RUN_VARIABLE = "RHEOSTAT_RUN"
"""Environment variable with the name that a script's run is to have, whatever the script says."""


class StartOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Where a trainer begins, and what its run has decided from there on already."""

    attempt: int = 1
    """Counts the trainers of the run, from 1."""
    checkpoint: str | None = None
    """Path of the checkpoint's folder; None is to begin at step 0."""
    decisions: tuple[Decision, ...] = ()
    """All that are written down and newer than the checkpoint, in order."""
    offences: tuple[Offence, ...] = ()
    """Answers of policies that were dropped by the clock since the checkpoint."""
    steps_done: int = 0
    """Steps that somebody has been told are done: until then nothing new is decided, and only what
    is written down happens again."""
    anew: tuple[str, ...] = ()
    """What is not taken over from the checkpoint; see `Origin.anew`."""
    until: int | None = None
    """Number of finished steps at which the run ends, whatever is planned; None: as planned."""
    patience: float | None = None
    """Seconds without any daemon after which the run ends in order, to be resumed; None: never."""
