import asyncio
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import msgspec
import pytest

from rheostat.api.server import ApiServer
from rheostat.client import AsyncClient, Client
from rheostat.client.connections import MAX_WAITING
from rheostat.errors import FailedPrecondition, InvalidRequest, RheostatError, Unreachable
from rheostat.runs.messages import PolicyAnswer
from rheostat.runs.records import Phase
from rheostat.runs.sessions import PolicySession
from rheostat.steering.records import PolicyEdit, RemoteTerms, Verb
from rheostat_policies import KEEP, Action, GroupInfo, Observation, RunInfo

OBSERVATION = Observation(
    step=7,
    steps=100,
    train_loss=1 / 3,
    validation_loss=0.5,
    learning_rate={"default": 1e-3},
    base={"default": 2e-3},
    factor={"default": 0.5},
    gradient_norm=2.5,
)


def at(step):
    return OBSERVATION._replace(step=step)


class Seat:
    """The place of a remote policy in the run that the made-up service knows."""

    def __init__(self, service):
        self.service = service
        self.observations = [at(7)]
        """What each connection is told first."""
        self.ends = True
        """Whether the run ends then."""
        self.errors = []
        """Raised after those observations, one per connection."""
        self.hellos = []
        self.answers = []
        self.is_left = asyncio.Event()
        self.is_there = asyncio.Event()

    @asynccontextmanager
    async def connect_policy(self, run, change):
        self.service._hear("connect_policy", run, change=change)
        self.hellos.append(change)
        session = PolicySession(SimpleNamespace(tell=self.answers.append), change.policy.policy)
        for observation in self.observations:
            session.tell(observation)
        if self.ends:
            session.close()
        self.is_there.set()
        try:
            yield self if self.errors else session
        finally:
            self.is_left.set()

    async def told(self):
        for observation in self.observations:
            yield observation
        raise self.errors.pop(0)

    def __getattr__(self, name):
        return {"observations": self.told, "close": lambda: None}[name]
