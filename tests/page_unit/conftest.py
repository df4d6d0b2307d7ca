import json

import aiohttp
import pytest

from rheostat.door.authenticating import Door
from rheostat.door.binding import RolesFile
from rheostat.door.limits import Limits
from rheostat.door.roles import Role
from rheostat.door.tokens import TokenFile, new_token
from rheostat.page.server import PageServer


class Answer:
    """What a browser gets."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.splitlines()]


class Visitor:
    """Somebody at a page, with a token or without."""

    def __init__(self, address, http, token=None):
        self.url = f"http://{address}"
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def get(self, path, **headers):
        return await self.ask("GET", path, headers=headers)

    async def post(self, path, content=None, **headers):
        return await self.ask(
            "POST", path, json={} if content is None else content, headers=headers
        )

    async def ask(self, method, path, *, headers=(), **more):
        headers = {**self._headers, **{k.replace("_", "-"): v for k, v in dict(headers).items()}}
        asked = self._http.request(method, f"{self.url}{path}", headers=headers, **more)
        async with asked as response:
            return Answer(response.status, response.headers, await response.read())


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def serve(service):
    """Start a page: `address = await serve(door=..., limits=...)`."""
    servers = []

    async def start(**options):
        servers.append(PageServer(service, **{"address": "127.0.0.1:0", **options}))
        return await servers[-1].start()

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def page(serve, http):
    """Somebody at a page that lets everybody in."""
    return Visitor(await serve(), http)


@pytest.fixture
def tokens(tmp_path):
    """A token for each role, and for `ada`, who has what the file of roles gives."""
    made = {role: new_token(f"a-{role}", role) for role in Role} | {"ada": new_token("ada")}
    (tmp_path / "tokens").write_text("".join(f"{one.line}\n" for one in made.values()))
    return {name: one.token for name, one in made.items()}


@pytest.fixture
def bind(tmp_path):
    """Write the file of roles: `bind("{role: viewer, principals: [ada]}")`."""

    def write(*bindings):
        (tmp_path / "roles.yaml").write_text("bindings: [" + ", ".join(bindings) + "]")

    write()
    return write


@pytest.fixture
async def guarded(serve, http, tmp_path, tokens, bind):
    """Make somebody at a page that asks who they are: `visitor = guarded(Role.VIEWER)`."""
    door = Door([TokenFile(tmp_path / "tokens")], [RolesFile(tmp_path / "roles.yaml")])
    address = await serve(door=door, asks=True)
    return lambda name=None: Visitor(address, http, tokens.get(name, name))


@pytest.fixture
def limited(serve, http):
    """Make somebody at a page with limits: `visitor = await limited(streams=1)`."""

    async def start(**limits):
        return Visitor(await serve(limits=Limits(**limits)), http)

    return start
