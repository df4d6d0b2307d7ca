"""The clients of a busy day: watchers, a scraper, and people asking things.

They live in a process of their own that is nice to the others: in life they are other machines.
`python -m benchmarks.crowd RUN ADDRESS METRICS WATCHERS REQUESTS [PAGE PAGES]` says a line of JSON
when all are there, and answers each line of its input with what they have seen; it ends with its
input. PAGES browsers have the page of the run open.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import grpc

from rheostat.client import AsyncClient
from rheostat.steering.records import Change, Verb
from rheostat.v1 import runs_pb2
from rheostat.v1.runs_pb2_grpc import RunsStub

WATCHERS_PER_CONNECTION = 20
NICENESS = 10


class _Crowd:
    def __init__(self, run: str, address: str, metrics: str) -> None:
        self._run, self._address, self._metrics = run, address, metrics
        self._seen: list[list[int]] = []
        self._snapshots: list[int] = []
        self._answered: list[tuple[int, float]] = []
        """Revision and seconds of each change."""

    async def spend(self, watchers: int, requests: int, page: str, pages: int) -> None:
        tasks = [asyncio.create_task(self._scrape())]
        tasks += [asyncio.create_task(self._look_at(page)) for _ in range(pages)]
        options = [("grpc.use_local_subchannel_pool", 1)]
        connections = -(-watchers // WATCHERS_PER_CONNECTION)
        channels = [grpc.aio.insecure_channel(self._address, options) for _ in range(connections)]
        self._seen = [[] for _ in range(watchers)]
        self._snapshots = [0] * watchers
        for number in range(watchers):
            watching = self._watch(channels[number // WATCHERS_PER_CONNECTION], number)
            tasks.append(asyncio.create_task(watching))
        await asyncio.sleep(0.5 + watchers / 500)
        if requests:
            tasks.append(asyncio.create_task(self._ask(requests)))
        print(json.dumps({"watchers": watchers}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await self._tally()), flush=True)
        for task in tasks:
            task.cancel()

    async def _watch(self, channel: grpc.aio.Channel, number: int) -> None:
        seen, request = self._seen[number], runs_pb2.WatchRunRequest(run=self._run)
        async for event in RunsStub(channel).WatchRun(request):
            if event.HasField("decision"):
                seen.append(event.decision.revision)
            elif event.HasField("snapshot"):
                self._snapshots[number] += 1

    async def _scrape(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"http://{self._metrics}/metrics") as response:
                    await response.read()
                await asyncio.sleep(1.0)

    async def _look_at(self, page: str) -> None:
        """Read what the page tells a browser for as long as it is open."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.get(f"http://{page}/api/runs/{self._run}/live") as response,
        ):
            response.raise_for_status()
            async for _ in response.content.iter_any():
                pass

    async def _ask(self, requests: int) -> None:
        """Half reads, half changes that leave the LR where it is.

        While the loop stands still, as others have their turn, its answer is waited for; what was
        not asked meanwhile is not made up for, or the loop would have all of it in its own turn.
        """
        due, asked = time.perf_counter(), 0
        async with AsyncClient(self._address) as client:
            while True:
                if asked % 2:
                    await client.get_run(self._run)
                else:
                    sent = time.perf_counter()
                    done = await client.change_learning_rate(
                        self._run, Change(verb=Verb.SCALE, value=1.0)
                    )
                    revision = done.decision.revision if done.decision else 0
                    self._answered.append((revision, time.perf_counter() - sent))
                asked += 1
                due = max(due + 1 / requests, time.perf_counter())
                await asyncio.sleep(due - time.perf_counter())

    async def _tally(self) -> dict[str, Any]:
        """Return what was seen, once every watcher has had time for the newest answered change."""
        newest = max((revision for revision, _ in self._answered), default=0)
        deadline = time.monotonic() + 30.0
        while time.monotonic() < deadline and not all(_has(one, newest) for one in self._seen):
            await asyncio.sleep(0.1)
        return {
            "changes": len(self._answered),
            "answer_seconds": [seconds for _, seconds in self._answered],
            "watchers": len(self._seen),
            "watchers_that_missed_a_decision": sum(
                not _is_whole(one, newest) for one in self._seen
            ),
            "snapshots_per_watcher": sum(self._snapshots) / max(1, len(self._snapshots)),
        }


def _has(seen: Sequence[int], revision: int) -> bool:
    return bool(seen) and seen[-1] >= revision


def _is_whole(seen: Sequence[int], newest: int) -> bool:
    """Whether all decisions up to one were seen, each once and in order."""
    if not newest:
        return True
    return _has(seen, newest) and list(seen) == [*range(seen[0], seen[-1] + 1)] and seen[0] == 1


def main() -> None:
    run, address, metrics, watchers, requests, *page = sys.argv[1:]
    where, pages = page or ("", "0")
    os.nice(NICENESS)
    crowd = _Crowd(run, address, metrics)
    asyncio.run(crowd.spend(int(watchers), int(requests), where, int(pages)))


if __name__ == "__main__":
    main()
