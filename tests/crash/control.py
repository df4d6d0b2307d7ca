"""Runs without any crash, in a process of their own: `python -m tests.crash.control FOLDER ...`.

A FOLDER holds a run's spec and what was decided in it. Each run is trained twice: once live, where
operators ask at the steps at which they were answered and policies decide for themselves, and once
as a replay of its history from the first step. What a rollback has undone happens in neither: the
run goes straight on where the other one had gone back to.
"""

import math
import sys
from collections import defaultdict
from pathlib import Path

import msgspec
from tests.crash.evidence import CONTROL_FILE, HISTORY_FILE, LIVE, REPLAY, Control, History

from rheostat.runs.lineage import surviving
from rheostat.runs.messages import (
    ChangeCommand,
    Decided,
    Message,
    Refused,
    Telemetry,
    ToTrainer,
    Unacknowledged,
    Warned,
)
from rheostat.runs.records import StepRows
from rheostat.runs.starting import SPEC_FILE, StartOrder
from rheostat.spec.models import Spec
from rheostat.steering import policies
from rheostat.steering.records import Decision
from rheostat.steering.script import OPERATOR, change_of
from rheostat.trainer.checkpoints.starting import start
from rheostat.trainer.loop import Loop
from rheostat.trainer.modes import evaluation_mode
from rheostat.trainer.weights import save_weights


class Operators:
    """The other side of a run: asks for changes at their steps, and keeps what it hears."""

    is_congested = False

    def __init__(self, decisions: tuple[Decision, ...]) -> None:
        self.loop: Loop | None = None
        self.heard: list[Message] = []
        self._asked: dict[int, list[ToTrainer]] = defaultdict(list)
        for one in decisions:
            if one.source == OPERATOR:
                command = ChangeCommand(command_id=one.revision, change=change_of(one))
                self._asked[one.applied_step].append(command)

    def send(self, *messages: Message) -> None:
        self.heard += messages

    def receive(self, timeout: float = 0.0) -> list[ToTrainer]:
        return [] if self.loop is None else self._asked.pop(self.loop.step, [])

    def unacknowledged(self) -> Unacknowledged:
        return Unacknowledged()

    def result(self) -> Control:
        decisions: list[Decision] = []
        rows: list[StepRows] = []
        complaints: list[str] = []
        for message in self.heard:
            match message:
                case Decided():
                    decisions += message.decisions
                case Telemetry(rows=StepRows() as batch):
                    rows.append(batch)
                case Warned():
                    complaints.append(message.text)
                case Refused():
                    complaints.append(f"refused: {message.message}")
        return Control(tuple(decisions), tuple(rows), tuple(complaints))


def train(folder: Path, name: str, operators: Operators, order: StartOrder) -> None:
    """Train the run from its first step, and write down what has come of it."""
    loop = operators.loop = start(name, folder, operators, order)
    loop.run()
    evaluation_mode(loop.parts.model, loop.parts.optimizer)
    place = folder / name
    place.mkdir()
    save_weights(loop.parts.model, place)
    (place / CONTROL_FILE).write_bytes(msgspec.msgpack.encode(operators.result()))


def train_twice(folder: Path) -> None:
    """Train a run live and as a replay."""
    # On a machine that is too busy, an answer would be dropped here that was not dropped there.
    policies.SLOW_SECONDS = math.inf
    history = msgspec.json.decode((folder / HISTORY_FILE).read_bytes(), type=History)
    decisions = tuple(surviving(history.decisions))
    backs = [one.rollback for one in decisions if one.rollback is not None]
    spec = Spec.model_validate_json((folder / SPEC_FILE).read_text())
    goes_back = any("back_steps" in one.args for one in spec.policies)
    if not history.offences and not goes_back and not any(one.skip for one in backs):
        # What was dropped by the clock, batches that were left out, and which checkpoints there
        # were when a policy went back, only a replay can know.
        train(folder, LIVE, Operators(decisions), StartOrder())
    order = StartOrder(decisions=decisions, offences=history.offences, steps_done=history.steps)
    train(folder, REPLAY, Operators(()), order)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        train_twice(Path(name))
