"""A program elsewhere that is a policy of a run, as long as it is connected."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping

from rheostat.runs.live import LiveRun
from rheostat.runs.messages import PolicyAnswer
from rheostat_policies import Observation

MAX_WAITING = 100
"""Observations kept for a policy that is slow to take them; of more, the oldest are dropped."""


class PolicySession:
    """One connection of one remote policy: observations one way, answers the other."""

    def __init__(self, run: LiveRun, policy: str) -> None:
        self.policy = policy
        self._run = run
        self._waiting: deque[Observation] = deque(maxlen=MAX_WAITING)
        self._news = asyncio.Event()
        self._is_closed = False

    def tell(self, observation: Observation) -> None:
        """Let the policy know of an observation, when it asks for the next."""
        if self._is_closed:
            return
        self._waiting.append(observation)
        self._news.set()

    def close(self) -> None:
        """End the observations after those that wait."""
        self._is_closed = True
        self._news.set()

    def answer(
        self,
        step: int,
        factor: float | Mapping[str, float] | None,
        ramp_steps: int = 1,
        reason: str = "",
    ) -> None:
        """Pass the policy's answer to the observation of a step on to the trainer.

        What is wrong with it is found there, and counted against the policy.
        """
        self._run.tell(
            PolicyAnswer(
                policy=self.policy,
                step=step,
                factor=dict(factor) if isinstance(factor, Mapping) else factor,
                ramp_steps=ramp_steps,
                reason=reason,
            )
        )

    async def observations(self) -> AsyncIterator[Observation]:
        """Yield observations until the run ends or the policy is detached."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._is_closed:
                return
            self._news.clear()
            await self._news.wait()
