"""Every RPC of a live daemon, with random and mutated messages, while a run trains beside it.

    python -m fuzzing.requests --requests 100000 --specs 10000

A real `rheostat serve` trains two runs: `steady`, which nobody may touch, and `target`, which is
changed, paused, stopped, deleted and made anew. Callers have tokens: an admin of everything but
`steady`, a viewer, and one that nobody knows. It is found to be at fault if an answer has a status
that means that somebody did not think of it, if a text looks like a traceback, if the daemon dies,
if it is larger afterwards than it may be, or if `steady` does not train to its end.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pool

from fuzzing.documents import random_document
from fuzzing.messages import mutated, random_message, rpcs
from rheostat.client import AsyncClient, Credentials
from rheostat.door.roles import Role
from rheostat.door.tokens import NewToken, new_token
from rheostat.errors import InvalidRequest, RheostatError
from rheostat.locating import daemon_address
from rheostat.runs.records import Phase

CALLERS = 64
"""Requests under way at once."""
BLOCK = 1000
"""Requests after which the run that is ill-treated is made to train again."""
MAX_GROWTH_BYTES = 40 * 2**20
"""By which a daemon may be larger afterwards: what an allocator keeps, and the buffers of gRPC."""
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
TARGET = {
    "name": "target",
    "model": {"name": "mlp", "args": {"hidden": [16]}},
    "data": {"name": "digits"},
    "train": {"steps": 10**8, "device": "cpu"},
    "evaluate": {"every": 10**8},
}


@dataclass
class Findings:
    """What went wrong, and what went on."""

    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def note(self, what: str, code: grpc.StatusCode, details: str, request: bytes) -> None:
        self.statuses[code.name] += 1
        if code not in CLEAN or "Traceback" in details or '.py", line' in details:
            self.faults.append(f"{what}: {code.name}: {details[:300]} for {request[:500]!r}")


class Daemon:
    """A `rheostat serve` of its own process, and who calls it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.tokens: dict[str, NewToken] = {
            "steadier": new_token("steadier", Role.ADMIN),
            "fuzzer": new_token("fuzzer"),
            "viewer": new_token("viewer", Role.VIEWER),
            "stranger": new_token("stranger"),
        }
        known = [one.line for name, one in self.tokens.items() if name != "stranger"]
        (folder / "tokens").write_text("".join(f"{line}\n" for line in known))
        runs = [f"[{letter}]*" for letter in "abcdefghijklmnopqrtuvwxyz0123456789*"]
        binding = {"role": "admin", "principals": ["fuzzer"], "runs": [*runs, "", "Target"]}
        binding["runs"] = [one for one in binding["runs"] if one]
        (folder / "roles").write_text(json.dumps({"bindings": [binding]}))
        self.address = ""

    def start(self) -> None:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(
                        sys.executable,
                        "-m",
                        "rheostat",
                        "serve",
                        "--state-dir",
                        self.folder / "state",
                    ),
                    *("--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"),
                    *("--tokens", self.folder / "tokens", "--roles", self.folder / "roles"),
                    *("--max-requests-per-minute", "100000000", "--reflection"),
                    *("--max-concurrent-runs", "2", "--log-level", "error"),
                ],
                stderr=log,
                cwd=self.folder,
            )
        while (address := daemon_address(self.folder / "state")) is None:
            if self.process.poll() is not None:
                raise SystemExit(self.log.read_text())
            time.sleep(0.05)
        self.address = address

    def client(self, name: str) -> AsyncClient:
        return AsyncClient(self.address, credentials=Credentials(token=self.tokens[name].token))

    def metadata(self, name: str) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.tokens[name].token}"),)

    @property
    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@asynccontextmanager
async def serving() -> AsyncIterator[Daemon]:
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder))
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.process.terminate()
            daemon.process.wait()


async def have_target(client: AsyncClient) -> None:
    """See to it that the run that is ill-treated trains."""
    with suppress(RheostatError):
        view = await client.get_run("target")
        if view.phase is Phase.PAUSED:
            await client.resume_run("target")
        if not view.phase.is_final:
            return
    await forget(client)
    with suppress(RheostatError):
        await client.create_run(json.dumps(TARGET))
        for _ in range(200):
            if (await client.get_run("target")).snapshot is not None:
                return
            await asyncio.sleep(0.1)


async def forget(client: AsyncClient) -> None:
    """Delete every run that was made by the way."""
    for _ in range(100):
        others = [view for view in await client.list_runs() if view.name != "steady"]
        if not others:
            return
        for view in others:
            with suppress(RheostatError):
                if view.phase.is_final:
                    await client.delete_run(view.name)
                elif view.phase is not Phase.STOPPING:
                    await client.stop_run(view.name)
        await asyncio.sleep(0.1)


async def one_request(
    channel: grpc.aio.Channel, daemon: Daemon, draw: random.Random, findings: Findings
) -> None:
    path = draw.choice(rpcs())
    service, _, name = path[1:].partition("/")
    method: Any = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    messages = []
    for _ in range(draw.randrange(4) if method.client_streaming else 1):
        content = random_message(draw, method.input_type).SerializeToString()
        messages.append(mutated(draw, content) if draw.random() < 0.3 else content)
    who = draw.choices(["fuzzer", "viewer", "stranger"], [18, 1, 1])[0]
    options = {"metadata": daemon.metadata(who), "timeout": draw.choice([0.02, 0.1, 0.2])}
    if method.client_streaming:
        call: Any = channel.stream_stream(path)(iter(messages), **options)
    else:
        call = channel.unary_stream(path)(messages[0], **options)
    code, details = grpc.StatusCode.OK, ""
    try:
        for _ in range(20):
            if await call.read() is grpc.aio.EOF:
                code, details = await call.code(), await call.details()
                break
    except grpc.RpcError as error:
        code, details = error.code(), error.details() or ""
    except asyncio.CancelledError:
        if not call.done():
            raise  # it is we who end
        code = grpc.StatusCode.CANCELLED
    finally:
        call.cancel()
    if "Internal error from Core" in details:
        code = grpc.StatusCode.CANCELLED  # the client's own: it wrote when the call was over
    findings.note(path, code, details, b"|".join(messages))


async def all_requests(daemon: Daemon, number: int, seed: int, findings: Findings) -> None:
    async with daemon.client("steadier") as client:
        await have_target(client)
        for block in range(0, number, BLOCK):
            async with grpc.aio.insecure_channel(daemon.address) as channel:
                remaining = iter(range(min(BLOCK, number - block)))

                async def work(caller: int, block: int, remaining: Any, channel: Any) -> None:
                    draw = random.Random(f"{seed}-{block}-{caller}")
                    for _ in remaining:
                        await one_request(channel, daemon, draw, findings)

                callers = [work(one, block, remaining, channel) for one in range(CALLERS)]
                await asyncio.gather(*callers)
            await have_target(client)
            print(f"{block + BLOCK} requests, {len(findings.faults)} faults", file=sys.stderr)
            if daemon.process.poll() is not None:
                findings.faults.append(f"the daemon died: {daemon.log.read_text()[-2000:]}")
                return


async def all_specs(daemon: Daemon, number: int, seed: int, findings: Findings) -> None:
    draw = random.Random(f"{seed}-specs")
    async with daemon.client("fuzzer") as fuzzer, daemon.client("steadier") as client:
        for index in range(number):
            text = random_document(draw)
            try:
                await fuzzer.create_run(text)
                findings.statuses["spec accepted"] += 1
            except InvalidRequest:
                findings.statuses["spec refused"] += 1
            except RheostatError as error:
                if type(error).__name__ == "PermissionDenied":
                    findings.statuses["spec refused"] += 1  # it is called what is not ours
                else:
                    findings.faults.append(f"spec: {error!r} for {text[:2000]}")
            if index % 200 == 199:
                await forget(client)
        await forget(client)


async def steps_of(client: AsyncClient) -> int:
    view = await client.get_run("steady")
    if view.phase is Phase.FAILED:
        raise SystemExit(f"steady has failed: {view.failure}")
    return view.snapshot.step if view.snapshot else 0


async def fuzz(requests: int, specs: int, seed: int) -> dict[str, Any]:
    findings = Findings()
    async with serving() as daemon, daemon.client("steadier") as client:
        await client.create_run(json.dumps({**TARGET, "name": "steady"}))
        while await steps_of(client) < 100:
            await asyncio.sleep(0.1)
        # What is loaded and cached at first use is no leak.
        await all_requests(daemon, min(1000, requests), seed + 1, Findings())
        await all_specs(daemon, min(200, specs), seed + 1, Findings())
        await forget(client)
        before, began, first = daemon.resident_bytes, time.monotonic(), await steps_of(client)
        await all_requests(daemon, requests, seed, findings)
        await all_specs(daemon, specs, seed, findings)
        await forget(client)
        await asyncio.sleep(2.0)
        after, steps = daemon.resident_bytes, await steps_of(client) - first
        seconds = time.monotonic() - began
        errors = [line for line in daemon.log.read_text().splitlines() if "rpc.failed" in line]
        findings.faults += [f"the daemon logs: {line}" for line in errors[:20]]
    if after - before > MAX_GROWTH_BYTES:
        findings.faults.append(f"the daemon grew from {before} to {after} bytes")
    if steps <= 0:
        findings.faults.append("steady did not go on")
    return {
        "requests": requests,
        "specs": specs,
        "seconds": seconds,
        "statuses": dict(findings.statuses),
        "resident_bytes_before": before,
        "resident_bytes_after": after,
        "steps_of_the_run_beside": steps,
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
