import asyncio
import inspect

import pytest

from rheostat.client import AsyncClient, Client


class Asker:
    """Calls either client by a method's name; what it yields comes as a list."""

    def __init__(self, kind, address):
        self.kind = kind
        self.address = address
        self._clients = []

    def dial(self, address=None, **options):
        """Make another client of the same kind, here by default."""
        self._clients.append(self.kind(address or self.address, **options))
        return self._clients[-1]

    async def __call__(self, method, *arguments, of=None, **options):
        client = of or self.dial()
        if isinstance(client, Client):
            return await asyncio.to_thread(_call, client, method, *arguments, **options)
        answer = getattr(client, method)(*arguments, **options)
        if inspect.isawaitable(answer):
            return await answer
        return [item async for item in answer]

    async def close(self):
        for client in self._clients:
            await _finished(client.close())


def _call(client, method, *arguments, **options):
    answer = getattr(client, method)(*arguments, **options)
    return list(answer) if inspect.isgenerator(answer) else answer


async def _finished(closing):
    if closing is not None:
        await closing


@pytest.fixture(params=[Client, AsyncClient], ids=["blocking", "awaiting"])
async def ask(request, address):
    """Ask a daemon through a client of either kind: `await ask("get_run", "digits")`."""
    asker = Asker(request.param, address)
    yield asker
    await asker.close()
