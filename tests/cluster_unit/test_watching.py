"""Knowing what there is, on an API server that fails in every way it can."""

import asyncio
import random
from contextlib import aclosing

import pytest

from rheostat.cluster import watching
from rheostat.cluster.watching import Changed, Gone, Listed, Pauses, watch


class Watcher:
    """Takes the news of a watch, and remembers how long it slept."""

    def __init__(self, api):
        self.news = []
        self.slept = []
        self.pauses = Pauses()
        self._task = asyncio.create_task(self._follow(api))

    async def _follow(self, api):
        async with aclosing(watch(api, pauses=self.pauses, sleep=self._sleep)) as news:
            async for one in news:
                self.news.append(one)

    async def _sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def knows(self, name):
        return any(
            isinstance(one, Changed) and one.resource["metadata"]["name"] == name
            for one in self.news
        )

    async def stop(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def watcher(server, api):
    server.create("first")
    watcher = Watcher(api)
    await server.until(lambda: server.count("WATCH"))
    yield watcher
    await watcher.stop()


async def test_what_is_there_is_listed_and_what_comes_is_told(server, watcher):
    server.create("second")
    await server.until(lambda: watcher.knows("second"))
    server.delete("second")
    await server.until(lambda: isinstance(watcher.news[-1], Gone))

    [listed] = [one for one in watcher.news if isinstance(one, Listed)]
    assert [one["metadata"]["name"] for one in listed.resources] == ["first"]


async def test_a_dropped_watch_goes_on_where_it_was(server, watcher):
    server.drop_watches()
    server.create("second")

    await server.until(lambda: watcher.knows("second"))

    assert server.count("GET") == 1


async def test_a_forgotten_version_makes_it_list_again(server, watcher):
    server.fail("WATCH", 410)
    server.drop_watches()
    server.create("second")

    await server.until(lambda: server.count("GET") >= 2)

    relisted = await server.until(
        lambda: [one for one in watcher.news if isinstance(one, Listed)][1:]
    )
    assert {one["metadata"]["name"] for one in relisted[0].resources} == {"first", "second"}


async def test_a_version_forgotten_in_mid_watch_makes_it_list_again(server, watcher):
    server.history.append((99, "ERROR", {"code": 410, "message": "too old resource version"}))
    server.drop_watches()

    await server.until(lambda: server.count("GET") >= 2)


@pytest.mark.parametrize("status", [429, 500, 503, 403, None])
async def test_whatever_fails_is_tried_again(server, watcher, status):
    server.fail("WATCH", status, status)
    server.drop_watches()
    server.create("second")

    await server.until(lambda: watcher.knows("second"))

    assert server.count("GET") == 1


async def test_it_waits_as_long_as_the_api_server_asks(server, watcher):
    server.fail("WATCH", 429, **{"Retry-After": "7"})
    server.drop_watches()

    await server.until(lambda: len(watcher.slept) >= 2)

    assert 7.0 in watcher.slept


async def test_an_api_server_that_is_away_at_first_is_waited_for(server, api):
    server.fail("GET", None, 500, 404)
    server.create("first")
    watcher = Watcher(api)

    await server.until(lambda: watcher.news)

    assert len(watcher.slept) >= 2
    await watcher.stop()


def test_pauses_grow_and_are_bounded():
    pauses = Pauses(random.Random(0))

    taken = [pauses.fail() for _ in range(12)]

    assert taken[0] <= watching.FIRST_PAUSE_SECONDS
    assert max(taken) <= watching.LONGEST_PAUSE_SECONDS
    assert min(taken[8:]) >= watching.LONGEST_PAUSE_SECONDS / 2


def test_a_success_makes_pauses_short_again():
    pauses = Pauses(random.Random(0))
    for _ in range(9):
        pauses.fail()
    pauses.succeed()

    assert pauses.fail() <= watching.FIRST_PAUSE_SECONDS


def test_daemons_do_not_come_back_in_step():
    assert Pauses(random.Random(1)).fail() != Pauses(random.Random(2)).fail()
