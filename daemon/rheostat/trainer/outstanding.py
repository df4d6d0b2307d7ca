"""What the trainer has told and the daemon has not made durable yet."""

from collections import deque
from itertools import islice

from rheostat.runs.messages import Decided, Message, Offended, Telemetry, Unacknowledged
from rheostat.runs.records import Snapshot, StepRows
from rheostat.steering.records import Decision, Offence

MAX_ROW_BYTES = 64 * 2**20
"""Rows kept for a daemon that is away: about 1.5 million steps of a run with one param group."""
_DECISIONS_PER_MESSAGE = 1000


class Outstanding:
    """Keeps decisions, all of them, and rows, the newest of them, until they are durable.

    Nothing here does I/O: a `Link` asks what is owed when it has found a daemon again.
    """

    def __init__(self, max_row_bytes: int = MAX_ROW_BYTES) -> None:
        self.revision = 0
        """That of the newest decision told."""
        self.snapshot: Snapshot | None = None
        """The newest state told."""
        self.lost_rows = 0
        """Rows dropped because there were too many."""
        self._max_row_bytes = max_row_bytes
        # An era begins with a rollback, whose revision is its number: from there on steps are
        # counted from less, so what is said of a step means that of the same era.
        self._eras = [0]
        self._decisions: deque[Decision] = deque()
        self._offences: list[tuple[int, Offence]] = []
        self._rows: deque[tuple[int, StepRows]] = deque()
        self._row_bytes = 0

    @property
    def has_decisions(self) -> bool:
        """Whether some decision is not durable yet."""
        return bool(self._decisions)

    def keep(self, message: Message) -> None:
        """Keep what of a message must become durable."""
        match message:
            case Decided():
                self._decisions.extend(message.decisions)
                self.revision = message.decisions[-1].revision
                self._eras += [one.revision for one in message.decisions if one.rollback]
            case Offended():
                self._offences += [(self._eras[-1], one) for one in message.offences]
            case Telemetry():
                self.snapshot = message.snapshot
                if message.rows is not None:
                    self._keep_rows(message.rows)

    def acknowledge(self, revision: int, next_row: int) -> None:
        """Forget what has become durable.

        Args:
            revision: that of the newest durable decision.
            next_row: the first step whose row is not durable, as it was at that revision.
        """
        era = self._era_of(revision)
        while self._decisions and self._decisions[0].revision <= revision:
            self._decisions.popleft()
        # An offence is told, and written down, before the step that it was meant for.
        durable = (era, next_row)
        self._offences = [one for one in self._offences if (one[0], one[1].step + 1) >= durable]
        while self._rows and (self._rows[0][0], _end(self._rows[0][1])) <= durable:
            self._row_bytes -= _size(self._rows.popleft()[1])

    def answer_to(self, request_id: str) -> Decision | None:
        """Return what a request became already, None where nobody here has heard of it.

        A daemon that has not got the decision yet asks for the same again.
        """
        if not request_id:
            return None
        return next((one for one in self._decisions if one.request_id == request_id), None)

    def owed(self) -> list[Message]:
        """Return what is not durable, in the order in which it must be told."""
        messages: list[Message] = []
        for era in self._eras:
            decisions = (one for one in self._decisions if self._era_of(one.revision) == era)
            while some := tuple(islice(decisions, _DECISIONS_PER_MESSAGE)):
                messages.append(Decided(decisions=some))
            if offences := tuple(one for since, one in self._offences if since == era):
                messages.append(Offended(offences=offences))
            if self.snapshot is not None:
                messages += [
                    Telemetry(snapshot=self.snapshot, rows=rows)
                    for since, rows in self._rows
                    if since == era
                ]
        if self.snapshot is not None:
            messages.append(Telemetry(snapshot=self.snapshot))
        return messages

    def unacknowledged(self) -> Unacknowledged:
        """Return it for a checkpoint to hold: all but the rows of steps that are undone."""
        now = self._eras[-1]
        return Unacknowledged(
            decisions=tuple(self._decisions),
            offences=tuple(one for since, one in self._offences if since == now),
            rows=tuple(rows for since, rows in self._rows if since == now),
        )

    def _era_of(self, revision: int) -> int:
        return max(era for era in self._eras if era <= revision)

    def _keep_rows(self, rows: StepRows) -> None:
        self._rows.append((self._eras[-1], rows))
        self._row_bytes += _size(rows)
        while self._row_bytes > self._max_row_bytes and len(self._rows) > 1:
            _, oldest = self._rows.popleft()
            self._row_bytes -= _size(oldest)
            self.lost_rows += oldest.count


def _end(rows: StepRows) -> int:
    """Return the first step after a batch; one without steps ends after what was validated."""
    if rows.count:
        return rows.first_step + rows.count
    return max(rows.validation_loss, default=0) + 1


def _size(rows: StepRows) -> int:
    """Return about how many bytes of memory a batch takes."""
    columns = (rows.learning_rate, rows.base, rows.momentum)
    packed = sum(len(values) for column in columns for values in column.values())
    texts = sum(len(text) for text in rows.components.values())
    return len(rows.train_loss) + len(rows.duration) + packed + texts + 256
