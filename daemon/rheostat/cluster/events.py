"""Kubernetes Events of a run: what is worth telling, gathered into series.

A policy may change an LR a thousand times. Everything of one kind is one Event with a count, a
first and a last time and the newest text, written when the status is.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Literal
from uuid import uuid4

import msgspec

from rheostat.cluster.names import GROUP, KIND, MANAGER, VERSION
from rheostat.cluster.resources import TrainingRun
from rheostat.cluster.wording import stamp, told
from rheostat.runs.records import Phase, RunEvent, RunView
from rheostat.steering.records import Decision

MAX_SERIES = 64
"""Series of one resource that can still grow; the one that is quiet longest is closed first."""
_MAX_MESSAGE_LENGTH = 1000


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    reason: str
    """In one word, as Kubernetes has it: `LearningRateChanged`."""
    message: str
    kind: Literal["Normal", "Warning"] = "Normal"
    about: str = ""
    """What tells its series from others with the same reason, such as the policy's name."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A series of equal notices, as the API server is to keep it."""

    name: str
    notice: Notice
    """The newest."""
    count: int
    first: float
    """Seconds since the epoch, as `last`."""
    last: float
    is_known: bool = False
    """Whether the API server has it; then it is patched."""


class Series:
    """The events of one resource, until they are told."""

    def __init__(self) -> None:
        self._events: OrderedDict[tuple[str, str, str], Event] = OrderedDict()
        self._untold: set[tuple[str, str, str]] = set()

    def add(self, notice: Notice, now: float) -> None:
        """Note that something happened, now in seconds since the epoch."""
        key = (notice.reason, notice.kind, notice.about)
        event = self._events.pop(key, None)
        if event is None:
            event = Event(name=uuid4().hex[:16], notice=notice, count=0, first=now, last=now)
        self._events[key] = msgspec.structs.replace(
            event, notice=notice, count=event.count + 1, last=now
        )
        self._untold.add(key)
        while len(self._events) > MAX_SERIES:
            oldest, _ = self._events.popitem(last=False)
            self._untold.discard(oldest)

    def untold(self) -> list[Event]:
        """Return what has happened since it was told last."""
        return [event for key, event in self._events.items() if key in self._untold]

    def is_told(self, event: Event) -> None:
        """Note that the API server has an event as it was returned."""
        key = (event.notice.reason, event.notice.kind, event.notice.about)
        kept = self._events.get(key)
        if kept is None or kept.name != event.name:
            return
        self._events[key] = msgspec.structs.replace(kept, is_known=True)
        if kept.count == event.count:
            self._untold.discard(key)

    def is_lost(self, event: Event) -> None:
        """Note that the API server has forgotten an event: it is told as a new one."""
        key = (event.notice.reason, event.notice.kind, event.notice.about)
        if key in self._events:
            self._events[key] = msgspec.structs.replace(
                self._events[key], name=uuid4().hex[:16], is_known=False
            )


def notices_of(decision: Decision) -> Iterator[Notice]:
    """Yield what a decision is worth telling."""
    message = told(decision)
    source, _, policy = decision.source.partition(":")
    if source == "policy":
        yield Notice(reason="LearningRateChangedByPolicy", message=message, about=policy)
    elif source == "operator":
        about = f"{decision.principal} {decision.verb}"
        yield Notice(reason="LearningRateChanged", message=message, about=about)
    elif source == "expiry":
        yield Notice(reason="OverrideExpired", message=message, about=decision.verb)
    for rule in decision.guardrails:
        text = f"{rule} bent the LR: {message}"
        yield Notice(reason="GuardrailHit", kind="Warning", message=text, about=rule)


def notice_of_phase(run: RunView) -> Notice | None:
    """Return what a run's new phase is worth telling."""
    match run.phase:
        case Phase.RUNNING:
            return Notice(reason="Running", message=f"run {run.name} trains on {run.device}")
        case Phase.PAUSED:
            return Notice(reason="Paused", message=f"run {run.name} stands still")
        case Phase.FAILED:
            why = run.failure.message if run.failure else "without a reason"
            return Notice(reason="Failed", kind="Warning", message=f"run {run.name} failed: {why}")
        case Phase.SUCCEEDED | Phase.STOPPED:
            steps = run.result.steps if run.result else 0
            text = f"run {run.name} ended after {steps} steps"
            return Notice(reason=run.phase.value.capitalize(), message=text)
        case _:
            return None


_HARMLESS = frozenset({"adopted", "suspended", "rolled_back", "probed"})


def notice_of_event(event: RunEvent) -> Notice:
    """Return what happened to a run besides its steps and decisions, e.g. `Restarted`."""
    return Notice(
        reason="".join(word.capitalize() for word in event.kind.split("_")),
        kind="Normal" if event.kind in _HARMLESS else "Warning",
        message=event.message,
    )


def new_event(event: Event, resource: TrainingRun, daemon: str) -> dict[str, Any]:
    """Return an Event (core/v1) about a resource."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{resource.name}.{event.name}", "namespace": resource.namespace},
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "name": resource.name,
            "namespace": resource.namespace,
            "uid": resource.uid,
        },
        "type": event.notice.kind,
        "reason": event.notice.reason,
        "source": {"component": MANAGER, "host": daemon},
        "reportingComponent": f"{GROUP}/daemon",
        "reportingInstance": daemon,
        "firstTimestamp": stamp(event.first),
        **event_patch(event),
    }


def event_patch(event: Event) -> dict[str, Any]:
    """Return what changes in an Event when its series grows."""
    return {
        "message": event.notice.message[:_MAX_MESSAGE_LENGTH],
        "count": event.count,
        "lastTimestamp": stamp(event.last),
    }
