import asyncio

import pytest

from rheostat.client import AsyncClient, Client


@pytest.fixture
def endless(service):
    """The service, with watches that never end and tell nothing after the first events."""

    async def watch_run(run, *, after_revision=None):
        try:
            yield service.events[0]
            await asyncio.Event().wait()
        finally:
            service.given_up.set()

    service.watch_run = watch_run
    return service


async def test_a_blocking_watch_that_is_left_ends_in_the_daemon(address, endless):
    def first_event():
        with Client(address) as client:
            events = client.watch_run("digits")
            event = next(events)
            events.close()
            return event

    assert await asyncio.to_thread(first_event) == endless.events[0]
    await asyncio.wait_for(endless.given_up.wait(), 5)


async def test_an_awaiting_watch_that_is_left_ends_in_the_daemon(address, endless):
    async with AsyncClient(address) as client:
        events = client.watch_run("digits")
        assert await anext(events) == endless.events[0]
        await events.aclose()

        await asyncio.wait_for(endless.given_up.wait(), 5)


async def test_closing_a_blocking_client_ends_its_watches(address, endless):
    client = Client(address)
    events = client.watch_run("digits")
    await asyncio.to_thread(next, events)
    rest = asyncio.create_task(asyncio.to_thread(list, events))

    await asyncio.to_thread(client.close)

    assert await rest == []


async def test_closing_an_awaiting_client_ends_its_watches(address, endless):
    client = AsyncClient(address)
    events = client.watch_run("digits")
    await anext(events)

    async def rest():
        return [event async for event in events]

    reading = asyncio.create_task(rest())
    await asyncio.sleep(0)

    await client.close()

    assert await reading == []


async def test_cancelling_a_task_that_watches_cancels_it(address, endless):
    async with AsyncClient(address) as client:
        events = client.watch_run("digits")
        await anext(events)
        reading = asyncio.create_task(anext(events))
        await asyncio.sleep(0)

        reading.cancel()

        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.wait_for(endless.given_up.wait(), 5)
