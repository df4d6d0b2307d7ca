"""The screenshots of the documentation: a run that was steered, in light, in dark, on a phone."""

import os
from pathlib import Path

import pytest
from PIL import Image

from rheostat.steering.records import Change, Verb

CHECKOUT = Path(__file__).parents[2]
MOST_BYTES = 150_000
SETTLE_MS = 1500


@pytest.fixture(scope="module")
def steered(daemon):
    """A run with a story: two people, a policy, a way back, and a branch."""
    client = daemon.client
    run = daemon.train(name="speech-small")

    def change(verb, value=None, **more):
        client.change_learning_rate(run, Change(verb=verb, value=value, **more))
        daemon.advance(run, 150)

    daemon.advance(run, 300)
    change(Verb.SCALE, 0.5, reason="too noisy")
    change(Verb.RAMP, 4e-3, steps=120, groups=("head",), reason="the head lags behind")
    change(Verb.HOLD, 1e-3, groups=("default",), expires_after_steps=100, reason="let it settle")
    client.roll_back_run(run, back_steps=100, reason="it diverges")
    daemon.advance(run, 200)
    change(Verb.SCALE, 0.7, reason="calmer")
    yield run
    client.stop_run(run)


@pytest.fixture
def take(visit, daemon, steered, tmp_path):
    """Take a picture of the run: `take("page-light", color_scheme="light")`."""
    folder = CHECKOUT / os.environ["PICTURES"] if "PICTURES" in os.environ else tmp_path

    def take_picture(name, prepare=lambda page: None, **options):
        page = visit(f"{daemon.page}#/runs/{steered}", **options)
        page.wait_for_selector("#chart-components canvas")
        prepare(page)
        page.wait_for_timeout(SETTLE_MS)
        file = folder / f"{name}.png"
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=file, scale="device")
        with Image.open(file) as picture:
            picture.convert("RGB").quantize(128).save(file, optimize=True)
        return file

    return take_picture


def preview(page):
    page.keyboard.press("s")
    page.fill("[name=value]", "0.5")
    page.fill("[name=reason]", "overfits")
    page.wait_for_selector(".preview td strong")


@pytest.mark.parametrize(
    ("name", "prepare", "options"),
    [
        ("page-light", lambda page: None, {"color_scheme": "light"}),
        ("page-dark", lambda page: None, {"color_scheme": "dark"}),
        ("page-preview", preview, {"color_scheme": "light"}),
        ("page-phone", lambda page: None, "phone"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_picture_shows_curves_and_is_small(take, phone, name, prepare, options):
    file = take(name, prepare, **(phone if options == "phone" else options))

    assert file.stat().st_size < MOST_BYTES
    with Image.open(file) as picture:
        colours = picture.convert("RGB").getcolors(2**24)
    assert len(colours) > 40, "something is drawn"
