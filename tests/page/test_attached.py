"""A script of somebody's own, on the page like any other run."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys, time, torch, rheostat
weight = torch.nn.Parameter(torch.ones(2))
optimizer = torch.optim.SGD([weight], lr=0.1)
said = {}
if len(sys.argv) > 2:
    said = {
        "save": lambda folder: torch.save([weight.data], folder / "mine.pt"),
        "restore": lambda folder: weight.data.copy_(torch.load(folder / "mine.pt")[0]),
    }
with rheostat.attach(optimizer, name="mine", address=sys.argv[1], **said) as run:
    while True:
        weight.grad = torch.ones(2)
        optimizer.step()
        run.step(0.5)
        time.sleep(0.005)
"""


@pytest.fixture
def begin_script(daemon, wait_until):
    """Start scripts that attach themselves as `mine`, or as that with a number; return the name."""
    started = []

    def begin(*arguments):
        known = {one.name for one in daemon.client.list_runs()}
        command = [sys.executable, "-c", SCRIPT, daemon.address, *arguments]
        started.append(subprocess.Popen(command))

        def new():
            return [one.name for one in daemon.client.list_runs() if one.name not in known]

        wait_until(new, "it is attached")
        [name] = new()
        daemon.advance(name, 20)
        return name

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def script(begin_script):
    """A script that is attached as `mine`."""
    return begin_script()


def test_a_script_is_seen_and_steered_and_what_it_cannot_do_says_why(
    visit, daemon, script, knows, wait_until
):
    page = visit(f"{daemon.page}#/runs/{script}")
    page.wait_for_selector("#chart-components canvas")
    page.wait_for_selector(f".runs .run >> text={script}")
    page.click("text=Scale")
    page.fill("[name=value]", "0.5")
    page.wait_for_selector(".preview td strong")
    page.click("dialog .button.first")
    page.wait_for_selector(".toast >> text=Acts from step")

    [made] = [one.decision for one in daemon.history(script)]
    assert [(one.old, one.new) for one in made.groups] == [(0.1, 0.05)]
    wait_until(
        lambda: knows(page, "state.course.told.groups.default.last.at(-1)") == pytest.approx(0.05),
        "the curve shows it",
    )
    page.click("text=Roll back")
    page.wait_for_selector("dialog >> text=attached with save= and restore=")
    assert page.is_disabled("dialog .button.first")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.click("#tab-checkpoints")
    page.wait_for_selector("#tab >> text=Of a script one is taken when somebody asks")


def test_a_fork_of_a_script_says_how_its_script_is_started(visit, daemon, begin_script):
    script = begin_script("saves")
    daemon.client.save_checkpoint(script)
    fork = daemon.client.fork_run(script, "name: other").name

    page = visit(f"{daemon.page}#/runs/{fork}")

    page.wait_for_selector("text=It waits for its script")
    page.wait_for_selector(f"code:has-text('RHEOSTAT_RUN={fork} python script.py')")
