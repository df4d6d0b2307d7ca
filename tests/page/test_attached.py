"""A script of somebody's own, on the page like any other run."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys, time, torch, rheostat
weight = torch.nn.Parameter(torch.ones(2))
optimizer = torch.optim.SGD([weight], lr=0.1)
with rheostat.attach(optimizer, name="mine", address=sys.argv[1]) as run:
    while True:
        weight.grad = torch.ones(2)
        optimizer.step()
        run.step(0.5)
        time.sleep(0.005)
"""


@pytest.fixture
def script(daemon, wait_until):
    """A script that is attached as `mine`."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, daemon.address])
    wait_until(lambda: "mine" in [one.name for one in daemon.client.list_runs()], "it is attached")
    daemon.advance("mine", 20)
    yield "mine"
    process.kill()
    process.wait()


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
