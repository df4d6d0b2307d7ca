"""What the tests of the page share: a real daemon that trains, and a real browser."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rheostat.client import Client, Credentials
from rheostat.door.roles import Role
from rheostat.door.tokens import new_token

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright cannot be had here (tests/page/requirements.txt)"
)

PARTS = Path(__file__).parents[2] / "tools/parts"
UNAVAILABLE = 69
"""Exit code of a script in tools/parts whose part cannot be had on this machine."""
PLUGINS = Path(__file__).parents[1] / "plugins"
DESKTOP = {"width": 1280, "height": 1100}
PHONE = {"width": 390, "height": 844}
PATIENCE_SECONDS = 60.0
SPEC = {
    "name": "digits",
    "model": {"name": "unhurried:network"},
    "data": {"name": "digits"},
    "optimizer": {"name": "AdamW", "lr": 3e-3},
    "groups": [{"name": "head", "match": "^3\\.", "lr_scale": 0.5}],
    "schedule": {"name": "warmup_cosine", "args": {"warmup_steps": 100}},
    "policies": [
        {"name": "loss_spike"},
        {"name": "plateau", "shadow": True, "args": {"patience": 3, "factor": 0.7}},
    ],
    "train": {"steps": 10**7, "device": "cpu", "seed": 0},
    "evaluate": {"every": 50},
    "checkpoint": {"every": 200},
}


def wait_until(question, what):
    """Ask again and again, and return the first answer that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still waiting until {what}"
        time.sleep(0.02)
    return answer


class Daemon:
    """A `rheostat serve` of its own process, with a page."""

    def __init__(self, folder, *options, token=None):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        with (folder / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                (
                    *(sys.executable, "-m", "rheostat", "serve", "--state-dir", str(folder)),
                    *("--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"),
                    *("--page-address", "127.0.0.1:0", "--max-concurrent-runs", "2"),
                    *("--allow-import", "unhurried:*", *options),
                ),
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PLUGINS)},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        found = wait_until(self._endpoints, "the daemon is ready")
        self.address = found["address"]
        self.page = f"http://{found['page_address']}/"
        credentials = Credentials(token=token) if token else None
        self.client = Client(self.address, principal="ada@lab", credentials=credentials)

    def train(self, **sections):
        """Have a run train, and return its name once it has begun."""
        name = self.client.create_run(json.dumps(SPEC | sections)).name
        self.advance(name, 1)
        return name

    def step(self, run):
        view = self.client.get_run(run)
        assert view.failure is None, view.failure
        return view.snapshot.step if view.snapshot else 0

    def advance(self, run, steps):
        target = self.step(run) + steps
        wait_until(lambda: self.step(run) >= target, f"{run} has finished {target} steps")

    def history(self, run):
        return list(self.client.list_decisions(run))

    def end(self):
        self.client.close()
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_SECONDS)
        finally:
            self._process.kill()

    def _endpoints(self):
        assert self._process.poll() is None, (self.folder / "serve.log").read_text()
        file = self.folder / "daemon.json"
        found = json.loads(file.read_text()) if file.exists() else {}
        return found if found.get("pid") == self._process.pid else None


@pytest.fixture(scope="session")
def daemon(tmp_path_factory):
    """The daemon that most tests share."""
    daemon = Daemon(tmp_path_factory.mktemp("state"))
    yield daemon
    daemon.end()


@pytest.fixture(scope="session")
def run(daemon):
    """The run that most tests steer."""
    return daemon.train()


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """A daemon that asks who is looking, with `tokens` by role, and a run."""
    folder = tmp_path_factory.mktemp("guarded")
    made = {role: new_token(f"a-{role}", role) for role in Role}
    (folder / "tokens").write_text("".join(f"{one.line}\n" for one in made.values()))
    tokens = {role: one.token for role, one in made.items()}
    daemon = Daemon(folder, "--tokens", str(folder / "tokens"), token=tokens[Role.ADMIN])
    daemon.tokens = tokens
    daemon.run = daemon.train()
    yield daemon
    daemon.end()


@pytest.fixture(scope="session")
def chromium():
    """A real browser without a screen."""
    found = subprocess.run([PARTS / "chromium.sh"], capture_output=True, text=True)
    if found.returncode == UNAVAILABLE:
        pytest.skip(found.stderr.splitlines()[-1])
    assert found.returncode == 0, found.stderr
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.stdout.strip(),
            # CI is root in a container, where Chromium's own sandbox cannot be.
            args=["--no-sandbox", "--force-color-profile=srgb"],
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Open an address in a browser of its own: `page = visit(url, color_scheme="dark")`.

    Whatever the browser complains of fails the test, but for answers that say no.
    """
    contexts, complaints = [], []

    def open_page(url, **options):
        context = chromium.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE_SECONDS)
        page.on("pageerror", lambda error: complaints.append(error.stack or error.message))
        page.on("console", lambda line: complaints.append(line.text) if is_bad(line) else None)
        page.goto(url)
        return page

    def is_bad(line):
        is_answer = "the server responded with" in line.text or "net::ERR_FAILED" in line.text
        return line.type in ("error", "warning") and not is_answer

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def look(visit, daemon, run):
    """Open the page of the run: `page = look()`."""

    def open_run(**options):
        page = visit(f"{daemon.page}#/runs/{run}", **options)
        page.wait_for_selector("#chart-components canvas")
        return page

    return open_run


@pytest.fixture
def knows():
    """Return what a page knows: `knows(page, "state.course.end")`."""

    def ask(page, expression):
        return page.evaluate(f"import('./state.js').then(({{ state }}) => {expression})")

    return ask


@pytest.fixture
def meter():
    """Measure a page from now on: `busy = meter(page)`, and `busy()` is then the seconds of a
    processor that the page's own thread has taken since, whatever else the machine had to do."""

    def measure(page):
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def busy():
            metrics = session.send("Performance.getMetrics")["metrics"]
            return {one["name"]: one["value"] for one in metrics}["TaskDuration"]

        return busy

    return measure


@pytest.fixture
def frames():
    """Note a page's frames from now on; `frames(page)()` is the milliseconds between them."""

    def note(page):
        page.evaluate(
            """() => {
                globalThis.noted = [];
                let last = performance.now();
                const frame = (now) => {
                    noted.push(now - last);
                    last = now;
                    requestAnimationFrame(frame);
                };
                requestAnimationFrame(frame);
            }"""
        )
        return lambda: sorted(page.evaluate("noted"))

    return note


@pytest.fixture(name="wait_until")
def wait_until_():
    """Ask again and again, and return the first answer that is true."""
    return wait_until


@pytest.fixture
def phone():
    """What makes a browser a phone."""
    return {"viewport": PHONE, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
