"""Every RPC of a live daemon, with random and mutated messages, while a run trains beside it.

    python -m fuzzing.requests --requests 100000 --specs 10000

A real `rheostat serve` trains two runs: `steady`, which nobody may touch, and `target`, which is
changed, paused, stopped, deleted and made anew. Callers have tokens: an admin of everything but
`steady`, an operator of `target`, a viewer, and one that nobody knows. It is found to be at fault
if an answer has a status that means that somebody did not think of it, if a text looks like a
traceback, if an RPC was left out, if the daemon dies, if it is larger afterwards than it may be,
or if `steady` notices. Which RPCs there are is read from their descriptors.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from benchmarks.processes import waiting_seconds
from google.protobuf.descriptor import MethodDescriptor

from fuzzing.daemon import TARGET, Daemon, forget, have_target, serving
from fuzzing.documents import random_document
from fuzzing.messages import message_for, mutated, path_of, rpcs
from rheostat.client import AsyncClient
from rheostat.errors import InvalidRequest, PermissionDenied, RheostatError
from rheostat.runs.records import Phase, RunView

CALLERS = 24
"""Requests under way at once, over a few connections."""
CONNECTIONS = 4
SPECS_AT_ONCE = 8
BLOCK = 2000
"""Requests after which the run that is ill-treated is made to train again, and others deleted."""
RARELY = {"StopRun": 0.02, "DeleteRun": 0.02, "ReplayRun": 0.1, "ForkRun": 0.1}
"""Weights of what ends the run that the other requests are about, or fills the queue."""
DEADLINES = (0.05, 0.5, 2.0)
"""Seconds that callers wait; some give up before they can have an answer."""
KEEP_SECONDS = 0.5
CALM_SECONDS = 3.0
MAX_GROWTH_BYTES = 40 * 2**20
"""By which a daemon may be larger afterwards: what an allocator keeps, and the buffers of gRPC."""
LEAST_SPEED = 0.9
"""Of the run beside."""
CLEAN = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.DEADLINE_EXCEEDED,  # ours: a stream that goes on, a change that waits
    grpc.StatusCode.CANCELLED,
}


@dataclass
class Findings:
    """What went wrong, and what went on."""

    statuses: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def note(self, path: str, code: grpc.StatusCode, said: str, request: bytes) -> None:
        self.statuses[code.name] += 1
        self.calls[path] += 1
        self.answered[path] += code is grpc.StatusCode.OK
        if code not in CLEAN or "Traceback" in said or '.py", line' in said:
            self.faults.append(f"{path}: {code.name}: {said[:300]} for {request[:500]!r}")


async def one_request(
    channel: grpc.aio.Channel,
    method: MethodDescriptor,
    daemon: Daemon,
    draw: random.Random,
    findings: Findings,
) -> None:
    messages = []
    for _ in range(draw.randrange(4) if method.client_streaming else 1):
        content = message_for(draw, method).SerializeToString()
        messages.append(mutated(draw, content) if draw.random() < 0.3 else content)
    who = draw.choices(["fuzzer", "second", "viewer", "stranger"], [18, 2, 1, 1])[0]
    options = {"metadata": daemon.metadata(who), "timeout": draw.choice(DEADLINES)}
    path = path_of(method)
    if method.client_streaming:
        call: Any = channel.stream_stream(path)(iter(messages), **options)
    else:
        call = channel.unary_stream(path)(messages[0], **options)
    code, said = grpc.StatusCode.OK, ""
    try:
        for _ in range(20):
            if await call.read() is grpc.aio.EOF:
                code = await call.code()
                said = f"{await call.details()} {await call.trailing_metadata()}"
                break
    except grpc.RpcError as error:
        code, said = error.code(), f"{error.details()} {error.trailing_metadata()}"  # type: ignore[attr-defined]
    except asyncio.CancelledError:
        if not call.done():
            raise  # it is we who end
        code = grpc.StatusCode.CANCELLED
    finally:
        call.cancel()
    if "Internal error from Core" in said:
        code = grpc.StatusCode.CANCELLED  # the client's own: it wrote when the call was over
    findings.note(path, code, said, b"|".join(messages))


async def all_requests(daemon: Daemon, number: int, seed: int, findings: Findings) -> None:
    methods = rpcs()
    weights = [RARELY.get(method.name, 1.0) for method in methods]

    async def work(name: str, remaining: Iterator[int], channel: grpc.aio.Channel) -> None:
        draw = random.Random(name)
        for number in remaining:
            # Each once, and then by chance.
            [method] = methods[number : number + 1] or draw.choices(methods, weights)
            await one_request(channel, method, daemon, draw, findings)

    async with daemon.client("steadier") as client:
        for block in range(0, number, BLOCK):
            await forget(client, but=("steady", "target"))
            await have_target(client)
            remaining = iter(range(min(BLOCK, number - block)))
            apart = [("grpc.use_local_subchannel_pool", 1)]
            channels = [
                grpc.aio.insecure_channel(daemon.address, options=apart) for _ in range(CONNECTIONS)
            ]
            callers = [
                work(f"{seed}-{block}-{one}", remaining, channels[one % CONNECTIONS])
                for one in range(CALLERS)
            ]
            keeping = asyncio.create_task(keep_target(client))
            await asyncio.gather(*callers)
            keeping.cancel()
            for channel in channels:
                await channel.close()
            tell(f"{min(block + BLOCK, number)} requests", daemon, findings)
            if daemon.process.poll() is not None:
                findings.faults.append(f"the daemon died: {daemon.log.read_text()[-2000:]}")
                return


async def all_specs(daemon: Daemon, number: int, seed: int, findings: Findings) -> None:
    draw = random.Random(f"{seed}-specs")
    async with daemon.client("fuzzer") as fuzzer, daemon.client("steadier") as client:

        async def one_spec(text: str) -> None:
            try:
                await fuzzer.create_run(text)
                findings.statuses["spec accepted"] += 1
            except (InvalidRequest, PermissionDenied):  # it may be called what is not ours
                findings.statuses["spec refused"] += 1
            except RheostatError as error:
                findings.faults.append(f"spec: {error!r} for {text[:2000]}")

        async def work(remaining: Iterator[int]) -> None:
            for _ in remaining:
                await one_spec(random_document(draw))

        for block in range(0, number, BLOCK):
            # While the target trains, what is accepted waits in the queue and starts no trainer.
            await have_target(client)
            remaining = iter(range(min(BLOCK, number - block)))
            await asyncio.gather(*(work(remaining) for _ in range(SPECS_AT_ONCE)))
            await forget(client, but=("steady", "target"))
            tell(f"{min(block + BLOCK, number)} specs", daemon, findings)


async def keep_target(client: AsyncClient) -> None:
    """See to it again and again that there is something to ill-treat."""
    while True:
        await asyncio.sleep(KEEP_SECONDS)
        await have_target(client)


def tell(what: str, daemon: Daemon, findings: Findings) -> None:
    megabytes = daemon.resident_bytes >> 20
    print(f"{what}, {len(findings.faults)} faults, {megabytes} MiB", file=sys.stderr, flush=True)


async def steady(client: AsyncClient) -> RunView:
    view = await client.get_run("steady")
    if view.phase is Phase.FAILED:
        raise SystemExit(f"steady has failed: {view.failure}")
    return view


async def steps_per_second(client: AsyncClient, during: Callable[[], Awaitable[None]]) -> float:
    """Return how fast `steady` trains while something else is done.

    Seconds in which it waited for a CPU that another program had do not count: here everything
    shares a CPU or two, and what is asked is whether the daemon keeps it waiting.
    """

    async def look() -> tuple[int, float]:
        view = await steady(client)
        assert view.snapshot is not None
        assert view.pid is not None
        return view.snapshot.step, time.monotonic() - waiting_seconds(view.pid)

    before = await look()
    await during()
    after = await look()
    return (after[0] - before[0]) / (after[1] - before[1])


async def fuzz(requests: int, specs: int, seed: int) -> dict[str, Any]:
    findings = Findings()
    async with serving() as daemon, daemon.client("steadier") as client:
        await client.create_run(json.dumps({**TARGET, "name": "steady"}))
        while (view := await steady(client)).snapshot is None or view.snapshot.step < 100:
            await asyncio.sleep(0.1)
        # What is loaded and cached at first use is no leak.
        await all_requests(daemon, min(BLOCK, requests // 2), seed + 1, Findings())
        await all_specs(daemon, min(200, specs), seed + 1, Findings())

        async def calm() -> None:
            await forget(client)
            await asyncio.sleep(CALM_SECONDS)

        async def attack() -> None:
            await all_requests(daemon, requests, seed, findings)
            await all_specs(daemon, specs, seed, findings)

        speed_before, before = await steps_per_second(client, calm), daemon.resident_bytes
        began = time.monotonic()
        speed_during = await steps_per_second(client, attack)
        seconds = time.monotonic() - began
        speed_after, after = await steps_per_second(client, calm), daemon.resident_bytes
        findings.faults += [f"the daemon logs: {line}" for line in daemon.said_wrong()[:20]]
    missing = {path_of(method) for method in rpcs()} - findings.calls.keys()
    findings.faults += [f"{path} was not called" for path in sorted(missing)]
    if after - before > MAX_GROWTH_BYTES:
        findings.faults.append(f"the daemon grew from {before} to {after} bytes")
    if min(speed_during, speed_after) < LEAST_SPEED * speed_before:
        findings.faults.append("steady has become slower")
    return {
        "requests": requests,
        "specs": specs,
        "seconds": seconds,
        "statuses": dict(findings.statuses),
        "answered": {path: f"{findings.answered[path]}/{n}" for path, n in findings.calls.items()},
        "resident_bytes_before": before,
        "resident_bytes_after": after,
        "steps_per_second": {
            "before": speed_before,
            "meanwhile": speed_during,
            "after": speed_after,
        },
        "faults": findings.faults[:50],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--specs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    result = asyncio.run(fuzz(options.requests, options.specs, options.seed))
    print(json.dumps(result, indent=2))
    sys.exit(bool(result["faults"]))


if __name__ == "__main__":
    main()
