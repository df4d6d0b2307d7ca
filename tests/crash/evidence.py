"""What is known of a run when it is judged."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from rheostat.runs.records import RunView, StepRows
from rheostat.steering.records import Decision, Offence

HISTORY_FILE = "history.json"
CONTROL_FILE = "control.msgpack"
LIVE, REPLAY = "live", "replay"
_DURABLE_SECONDS = 8.0
"""After that long a daemon has written down where a run stands, however busy the machine."""
_GONE_SECONDS = 30.0
"""Time in which a trainer and a daemon count as having died together."""


@dataclass(slots=True)
class Answers:
    """What became of the requests, by request_id."""

    decided: dict[str, Decision] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    """What went wrong with other errands."""
    tries: int = 0
    """How often somebody asked."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was shown of a run at some moment."""

    at: float
    """Seconds of the monotonic clock."""
    step: int
    """Number of finished steps."""
    train_loss: float
    """Of the last of them."""
    revision: int


@dataclass(slots=True)
class Told:
    """What has become of a run, as it was told to those outside."""

    view: RunView
    answers: Answers
    sights: list[Sight]
    """What must be in the run as it ended."""


def lasting(
    sights: Sequence[Sight], daemon_deaths: Sequence[float], trainer_deaths: Sequence[float]
) -> list[Sight]:
    """Return what was shown of steps that must be in the run as it ended.

    A step that was shown and not written down yet is lost where trainer and daemon die together,
    and may be taken anew in another way.
    """
    fatal = [
        death
        for death in daemon_deaths
        if any(abs(death - other) < _GONE_SECONDS for other in trainer_deaths)
    ]
    return [
        one for one in sights if not any(0 <= death - one.at < _DURABLE_SECONDS for death in fatal)
    ]


def standing(sights: Sequence[Sight], decisions: Sequence[Decision]) -> list[Sight]:
    """Return what was shown of steps that no rollback has undone after that."""
    backs = [(one.revision, one.rollback.to_step) for one in decisions if one.rollback is not None]
    return [
        one
        for one in sights
        if not any(one.revision < revision and one.step > step for revision, step in backs)
    ]


class History(msgspec.Struct, frozen=True):
    """What was decided in a run, and how many steps it took."""

    steps: int
    decisions: tuple[Decision, ...]
    offences: tuple[Offence, ...]


class Control(msgspec.Struct, frozen=True):
    """What a run without a crash has come to."""

    decisions: tuple[Decision, ...]
    """Those that were decided anew."""
    rows: tuple[StepRows, ...]
    complaints: tuple[str, ...]
    """What was refused, or came out otherwise than it is written down."""
