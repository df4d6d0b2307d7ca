"""An API server that does what it is told, and runs that are played: what these tests share."""

import asyncio
import copy
import json
import os
from collections import deque

import msgspec
import pytest
from aiohttp import web
from hypothesis import settings
from kubernetes.aio import client

from rheostat.cluster import reporting
from rheostat.cluster.calling import ApiServer
from rheostat.cluster.reviewing import Reviews
from rheostat.errors import InvalidSpec, NotFound, Violation
from rheostat.runs.records import (
    ChangeResult,
    GroupDescription,
    Phase,
    Result,
    RunView,
    Snapshot,
    WatchEvent,
)
from rheostat.spec.validation import load
from rheostat.steering.records import (
    Decision,
    GroupChange,
    GroupState,
    PolicyStatus,
    Verb,
)

# A busy machine is no bug, so no example has a deadline; CI tries the same examples every time.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

RUNS = "/apis/rheostat.dev/v1alpha1/namespaces/ml/trainingruns"
EVENTS = "/api/v1/namespaces/ml/events"
SPEC = {"train": {"steps": 1000}}
BASE = 0.001


def merged(document, patch):
    """Return what a merge patch makes of a document."""
    if not isinstance(patch, dict) or not isinstance(document, dict):
        return patch
    result = {key: value for key, value in document.items() if patch.get(key, 0) is not None}
    for key, value in patch.items():
        if value is not None:
            result[key] = merged(result.get(key, {}), value)
    return result


def document(name, run, status, spec):
    """Return a TrainingRun as the API server has it."""
    return {
        **({"status": status} if status else {}),
        "metadata": {
            "name": name,
            "namespace": "ml",
            "uid": f"uid-of-{name}",
            "generation": 1,
            "resourceVersion": "1",
            "managedFields": [
                {"manager": "kubectl", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {}}}
            ],
        },
        "spec": {**({} if "attached" in spec and not run else {"run": run or SPEC}), **spec},
    }


class FakeApiServer:
    """Keeps resources in memory, speaks HTTP on loopback, and fails as it is told."""

    def __init__(self):
        self.resources = {}
        self.events = {}
        self.asked = []
        """Method and path of each request, in order; a watch is called WATCH."""
        self.faults = deque()
        """What the next requests are answered with: (method, status, headers)."""
        self.version = 1
        self.reviews = []
        """Specs of the reviews it was asked for."""
        self.tokens = {}
        """Status of a TokenReview, by token."""
        self.rights = set()
        """What RBAC allows: (user, verb, namespace, run), the run empty for all."""
        self.history = []
        """Version, type and resource of everything that has happened."""
        self._watches = set()
        self._happened = asyncio.Event()

    # --- what a test does ---

    async def until(self, question, seconds=10.0):
        """Look again and again, and return the first answer that is true."""
        async with asyncio.timeout(seconds):
            while not (answer := question()):
                await asyncio.sleep(0.01)
        return answer

    def create(self, name="digits", run=None, status=None, **spec):
        """Create a TrainingRun as kubectl would."""
        self.put(document(name, run, status, spec))

    def put(self, resource):
        """Create a resource, or replace it as kubectl would; its generation grows."""
        resource = copy.deepcopy(resource)
        before = self.resources.get(resource["metadata"]["name"])
        if before is not None:
            resource["metadata"]["generation"] = before["metadata"]["generation"] + 1
        self._keep(resource, "MODIFIED" if before else "ADDED")

    def patch(self, name, spec):
        """Change a resource's spec as `kubectl patch` would."""
        resource = copy.deepcopy(self.resources[name])
        resource["spec"] = merged(resource["spec"], spec)
        self.put(resource)

    def delete(self, name):
        """Ask for a deletion; finalizers delay it."""
        resource = copy.deepcopy(self.resources[name])
        resource["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self._keep(resource, "MODIFIED")

    def fail(self, method, *statuses, **headers):
        """Answer the next requests of a method with statuses; None hangs up."""
        self.faults += [(method, status, headers) for status in statuses]

    def drop_watches(self):
        """Hang up on everybody who watches."""
        for watch in list(self._watches):
            watch.cancel()

    def status(self, name="digits"):
        return self.resources[name].get("status", {})

    def count(self, method, path=RUNS):
        return sum(1 for one in self.asked if one[0] == method and one[1].startswith(path))

    # --- what it answers ---

    def app(self):
        app = web.Application(middlewares=[self._fail_or_go_on])
        app.add_routes(
            [
                web.get(RUNS, self._list_or_watch),
                web.patch(RUNS + "/{name}", self._patch),
                web.patch(RUNS + "/{name}/status", self._patch_status),
                web.post("/apis/authentication.k8s.io/v1/tokenreviews", self._review_token),
                web.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", self._review_access),
                web.post(EVENTS, self._create_event),
                web.patch(EVENTS + "/{name}", self._patch_event),
            ]
        )
        return app

    @web.middleware
    async def _fail_or_go_on(self, request, handler):
        method = "WATCH" if "watch" in request.query else request.method
        self.asked.append((method, request.path))
        fault = next((one for one in self.faults if one[0] == method), None)
        if fault is None:
            return await handler(request)
        self.faults.remove(fault)
        _, status, headers = fault
        if status is None:
            request.transport.abort()
            raise ConnectionResetError
        return web.json_response(
            {"message": f"told to answer {status}"}, status=status, headers=headers
        )

    async def _list_or_watch(self, request):
        if "watch" not in request.query:
            items = list(self.resources.values())
            return web.json_response(
                {"items": items, "metadata": {"resourceVersion": str(self.version)}}
            )
        response = web.StreamResponse()
        await response.prepare(request)
        self._watches.add(asyncio.current_task())
        seen = int(request.query["resourceVersion"])
        try:
            while True:
                for version, kind, resource in self.history:
                    if version > seen:
                        seen = version
                        event = {"type": kind, "object": resource}
                        await response.write(json.dumps(event).encode() + b"\n")
                await self._happened.wait()
        finally:
            self._watches.discard(asyncio.current_task())

    async def _patch(self, request):
        patch = await request.json()
        return self._patched(request, {key: patch[key] for key in patch if key != "status"})

    async def _patch_status(self, request):
        patch = await request.json()
        allowed = {"status": patch.get("status", {}), "metadata": patch.get("metadata", {})}
        return self._patched(request, allowed)

    def _patched(self, request, patch):
        resource = self.resources.get(request.match_info["name"])
        if resource is None:
            return web.json_response({"message": "not found"}, status=404)
        now = resource["metadata"]["resourceVersion"]
        if patch.get("metadata", {}).get("resourceVersion", now) != now:
            return web.json_response({"message": "the object has been modified"}, status=409)
        return web.json_response(self._keep(merged(resource, patch), "MODIFIED"))

    async def _review_token(self, request):
        spec = (await request.json())["spec"]
        self.reviews.append(spec)
        unknown = {"authenticated": False, "error": "invalid bearer token"}
        return web.json_response({"status": self.tokens.get(spec["token"], unknown)}, status=201)

    async def _review_access(self, request):
        spec = (await request.json())["spec"]
        self.reviews.append(spec)
        asked = spec["resourceAttributes"]
        named = (spec["user"], asked["verb"], asked["namespace"], asked.get("name", ""))
        allowed = named in self.rights or (*named[:3], "") in self.rights
        allowed = allowed and (asked["group"], asked["resource"]) == ("rheostat.dev", "runs")
        return web.json_response({"status": {"allowed": allowed}}, status=201)

    async def _create_event(self, request):
        event = await request.json()
        self.events[event["metadata"]["name"]] = event
        return web.json_response(event, status=201)

    async def _patch_event(self, request):
        name = request.match_info["name"]
        if name not in self.events:
            return web.json_response({"message": "not found"}, status=404)
        self.events[name] = merged(self.events[name], await request.json())
        return web.json_response(self.events[name])

    def _keep(self, resource, kind):
        self.version += 1
        metadata = resource["metadata"]
        metadata["resourceVersion"] = str(self.version)
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            kind = "DELETED"
            self.resources.pop(metadata["name"], None)
        else:
            self.resources[metadata["name"]] = resource
        self.history.append((self.version, kind, copy.deepcopy(resource)))
        self._happened.set()
        self._happened = asyncio.Event()
        return resource


@pytest.fixture
async def server():
    """The API server that the daemon asks."""
    return FakeApiServer()


@pytest.fixture
async def connect(server):
    """Connect a daemon to that server."""
    runner = web.AppRunner(server.app(), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]

    def connect():
        settings = client.Configuration(host=f"http://{host}:{port}")
        connected.append(ApiServer(client.ApiClient(settings), "ml"))
        return connected[-1]

    connected = []
    yield connect
    for api in connected:
        await api.close()
    server.drop_watches()
    await runner.cleanup()


@pytest.fixture
async def reviews(connect):
    """Who asks that server about callers; `clock[0]` is the time."""
    clock = [0.0]
    made = Reviews(connect()._client, "ml", audience="rheostat", clock=lambda: clock[0])
    made.clock = clock
    return made


@pytest.fixture
async def api(connect):
    """The calls of one daemon to that server."""
    return connect()


class PlayedRuns:
    """What the daemon's `RunService` is to the cluster room: runs that do as a test says."""

    def __init__(self):
        self.views = {}
        self.requests = {}
        self.histories = {}
        self.asked = []
        """Name of the method and its principal."""
        self.errors = deque()
        """Raised by the next changes; None lets one pass."""
        self.news = asyncio.Event()

    # --- what a test does ---

    def begin(self, name="digits"):
        """Let a run train its first step."""
        group = GroupState(name="default", learning_rate=BASE, base=BASE, factors={}, operator=1.0)
        self.tell(
            name,
            phase=Phase.RUNNING,
            groups=(GroupDescription(name="default", tensors=1, parameters=1, lr_scale=1.0),),
            steps=1000,
            snapshot=Snapshot(step=1, revision=0, groups=(group,), train_loss=0.5),
        )

    def attach(self, name="mine", attempt=1):
        """Let a script be attached, and train its first step."""
        self.histories.setdefault(name, [])
        optimizer, schedule = {"name": "AdamW"}, {"name": "LambdaLR of the script"}
        spec = json.dumps({"name": name, "optimizer": optimizer, "schedule": schedule})
        self.views[name] = RunView(
            name=name, phase=Phase.STARTING, spec=spec, attached=True, attempt=attempt
        )
        self.begin(name)

    def tell(self, name="digits", **fields):
        self.views[name] = msgspec.structs.replace(self.views[name], **fields)
        self.news.set()
        self.news = asyncio.Event()

    def finish(self, name="digits", phase=Phase.SUCCEEDED):
        self.tell(name, phase=phase, result=Result(steps=1000, train_loss=0.25))

    def decide(self, name="digits", *, time=4e9, **fields):
        """Write down a decision, as the trainer would have made it."""
        view = self.views[name]
        [state] = view.snapshot.groups
        operator, hold = state.operator, state.hold
        match fields.get("verb"):
            case Verb.SCALE:
                operator *= fields["value"]
            case Verb.SET:
                operator = fields["value"] / state.base
            case Verb.HOLD:
                hold = fields["value"]
            case Verb.RELEASE if hold is not None:
                hold = None
            case Verb.RELEASE:
                operator = 1.0
        policies = self._policies_after(view.snapshot.policies, fields)
        new = state.base * operator if hold is None else hold
        revision = view.revision + 1
        change = GroupChange(
            name="default", old=state.learning_rate, new=new, base=state.base, operator=operator
        )
        decision = Decision(
            revision=revision,
            applied_step=view.snapshot.step,
            source=fields.pop("source", "operator"),
            groups=(change,),
            time=time,
            **fields,
        )
        self.histories[name].append(decision)
        after = msgspec.structs.replace(state, learning_rate=new, operator=operator, hold=hold)
        in_force = () if fields.get("verb") == Verb.RELEASE else (*view.snapshot.in_force, revision)
        snapshot = msgspec.structs.replace(
            view.snapshot,
            revision=revision,
            groups=(after,),
            in_force=in_force,
            policies=policies,
        )
        self.tell(name, revision=revision, snapshot=snapshot)
        return decision

    def _policies_after(self, policies, fields):
        """Return how the policies of a run stand after a decision."""
        edit = fields.get("policy")
        if edit is None:
            return policies
        others = tuple(one for one in policies if one.name != edit.policy)
        match fields["verb"]:
            case Verb.DETACH:
                return others
            case Verb.ATTACH:
                return (*others, PolicyStatus(name=edit.policy, shadow=edit.shadow))
            case verb:
                return (*others, PolicyStatus(name=edit.policy, shadow=verb is Verb.SHADOW))

    # --- what the daemon is asked ---

    async def create_run(self, spec, *, principal, request_id=""):
        self.asked.append(("create_run", principal))
        parsed = load(spec)
        if request_id not in self.requests:
            self.requests[request_id] = parsed.name
            self.histories[parsed.name] = []
            self.views[parsed.name] = RunView(
                name=parsed.name, phase=Phase.QUEUED, spec=parsed.model_dump_json()
            )
        return self.views[self.requests[request_id]]

    async def get_run(self, name):
        if name not in self.views:
            raise NotFound(f"no run is named {name!r}")
        return self.views[name]

    async def pause_run(self, name, *, principal):
        self.asked.append(("pause_run", principal))
        self.tell(name, phase=Phase.PAUSED)
        return self.views[name]

    async def resume_run(self, name, *, principal):
        self.asked.append(("resume_run", principal))
        self.tell(name, phase=Phase.RUNNING)
        return self.views[name]

    async def stop_run(self, name, *, principal):
        self.asked.append(("stop_run", principal))
        self.tell(name, phase=Phase.STOPPING)
        return self.views[name]

    async def change_learning_rate(self, name, change, *, wait=True):
        self.asked.append(("change_learning_rate", change.principal))
        error = self.errors.popleft() if self.errors else None
        if error is not None:
            raise error
        known = [one for one in self.histories[name] if one.request_id == change.request_id]
        fields = ("verb", "value", "edit", "policy", "principal", "reason", "request_id")
        decision = (
            known[0]
            if known
            else self.decide(name, **{field: getattr(change, field) for field in fields})
        )
        return ChangeResult(decision=decision, request_id=change.request_id)

    async def watch_run(self, name, *, after_revision=None):
        told, phase, snapshot = after_revision, None, None
        while True:
            news, view = self.news, self.views[name]
            for decision in self.histories[name][told:]:
                told = decision.revision
                yield WatchEvent(run=name, decision=decision)
            if view.snapshot is not None and view.snapshot is not snapshot:
                snapshot = view.snapshot
                yield WatchEvent(run=name, snapshot=snapshot)
            if view.phase is not phase:
                phase = view.phase
                yield WatchEvent(run=name, view=view)
            if view.phase.is_final:
                return
            await news.wait()


@pytest.fixture
async def runs():
    """The runs of the daemon."""
    return PlayedRuns()


@pytest.fixture
def prompt_reports(monkeypatch):
    """Let reports follow each other as fast as a test can read."""
    monkeypatch.setattr(reporting, "REPORT_SECONDS", 0.02)


@pytest.fixture
def refusal():
    """An error of a run that refuses a change."""
    return InvalidSpec([Violation("value", "-1", "a finite LR")])
