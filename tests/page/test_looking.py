"""Who sees what, in which colours, on which screen, with which keys."""

import re

import pytest

from rheostat.door.roles import Role

SCHEMES = ("light", "dark")


def log_in(page, token):
    page.fill("[name=token]", token)
    page.keyboard.press("Enter")


def test_a_viewer_sees_the_curves_and_no_buttons(visit, guarded, knows):
    page = visit(guarded.page)
    log_in(page, guarded.tokens[Role.VIEWER])
    page.wait_for_selector("#chart-components canvas")

    assert knows(page, "state.run.role") == "viewer"
    assert page.locator(".verbs, .verbs button").count() == 0
    for key in "srehxpb":
        page.keyboard.press(key)
    page.keyboard.press("?")  # keys are dealt with in order, so the others have been
    page.wait_for_selector("dialog kbd")
    assert page.locator("dialog").count() == 1


def test_an_operator_steers_under_the_name_of_the_token(visit, guarded):
    page = visit(guarded.page)
    log_in(page, guarded.tokens[Role.OPERATOR])
    page.click("text=Scale")
    page.click("dialog >> text=0.8")
    page.click("dialog .button.first:not(:disabled)")
    page.wait_for_selector(".toast >> text=Acts from step")

    principals = [one.decision.principal for one in guarded.history(guarded.run)]
    assert "a-operator" in principals
    assert page.locator(".verbs >> text=Pause").is_visible()
    assert page.locator(".verbs >> text=Roll back").count() == 0, "that takes an admin"


def test_a_token_lives_as_long_as_the_tab_and_nowhere_else(visit, guarded):
    page = visit(guarded.page)
    token = guarded.tokens[Role.VIEWER]
    log_in(page, token)
    page.wait_for_selector(".runs .run")
    page.reload()
    page.wait_for_selector(".runs .run")

    assert token not in page.url
    assert token not in page.evaluate("JSON.stringify(localStorage)")
    assert page.context.cookies() == []
    other = page.context.new_page()
    other.goto(guarded.page)
    other.wait_for_selector("[name=token]")
    page.click("text=Log out")
    page.wait_for_selector("[name=token]")
    assert page.evaluate("sessionStorage.length") == 0


def test_a_token_that_is_not_known_is_refused_and_forgotten(visit, guarded):
    page = visit(guarded.page)
    log_in(page, "a-guess")
    page.wait_for_selector(".mend >> text=The daemon does not know this token")

    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_has_the_colours_of_the_system_until_somebody_chooses(visit, daemon, scheme):
    page = visit(daemon.page, color_scheme=scheme)
    other = next(one for one in SCHEMES if one != scheme)

    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == scheme
    page.keyboard.press("d")
    assert page.evaluate(theme) == other
    page.reload()
    assert page.evaluate(theme) == other


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_can_be_read_on_its_ground(visit, daemon, scheme):
    page = visit(daemon.page, color_scheme=scheme)
    pairs = [(ink, ground) for ink in ("ink", "ink-2", "ink-3") for ground in ("paper", "surface")]
    pairs += [(one, f"{one}-soft") for one in ("good", "warn", "bad")]
    pairs += [("accent-ink", "accent"), ("accent", "surface"), ("bad", "surface")]
    contrasts = {pair: contrast(*(colour(page, name) for name in pair)) for pair in pairs}

    assert {pair: ratio for pair, ratio in contrasts.items() if ratio < 4.5} == {}
    # What is drawn needs less than what is read (WCAG 1.4.11).
    series = [f"series-{number}" for number in range(1, 7)]
    marks = [f"mark-{kind}" for kind in ("operator", "policy", "guardrail", "expiry", "rollback")]
    drawn = {name: contrast(colour(page, name), colour(page, "surface")) for name in series + marks}
    assert {name: ratio for name, ratio in drawn.items() if ratio < 3.0} == {}


def colour(page, name):
    text = page.evaluate(
        "(name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`)", name
    )
    return [int(part, 16) for part in re.findall("[0-9a-f]{2}", text.strip()[1:])]


def contrast(one, other):
    """The contrast of two colours, as the WCAG define it: 1 to 21."""

    def luminance(parts):
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in (value / 255 for value in parts)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_nothing_hangs_over_the_edge_of_the_screen(look):
    page = look()

    for width in (320, 390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        for tab in ("decisions", "policies", "groups", "checkpoints", "events"):
            page.click(f"#tab-{tab}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, tab)


def test_a_thumb_reaches_what_steers_a_run(look, phone):
    page = look(**phone)
    page.tap("text=Scale")
    page.tap("dialog >> text=0.5")
    page.wait_for_selector(".preview td strong")

    box = page.locator("dialog").bounding_box()
    assert box["y"] + box["height"] == pytest.approx(phone["viewport"]["height"], abs=2)
    assert page.locator("dialog .button.first").bounding_box()["height"] >= 32


def test_everything_is_reached_by_the_keyboard_and_the_focus_can_be_seen(look):
    page = look()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "() => { const at = document.activeElement; if (at === document.body) return ['', ''];"
            " return [(at.innerText || at.ariaLabel ||"
            " at.id || '').trim().split('\\n')[0], getComputedStyle(at).outlineStyle]; }"
        )
        if name:
            assert outline != "none", name
        reached.add(name)

    assert {"Scale", "Ramp", "Set", "Hold", "Release", "Pause", "Roll back"} <= reached
    assert any(name.startswith("Decisions") for name in reached)


def test_a_dialog_keeps_the_focus_and_gives_it_back(look):
    page = look()
    page.focus("text=Hold")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.name") == "value"
    for _ in range(20):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || "
            "document.querySelector('dialog').contains(document.activeElement)"
        )
    page.keyboard.press("Escape")

    page.wait_for_selector("dialog", state="detached")  # the browser tells of it a moment later
    assert page.evaluate("document.activeElement.innerText") == "Hold"


def test_keys_are_listed_and_do_what_the_list_says(look, knows, daemon, run):
    page = look()
    page.keyboard.press("?")
    listed = page.locator("dialog kbd").all_inner_texts()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert {"j", "k", "[", "]", "0", "l", "s", "r", "e", "h", "x", "p", "b", "d", "?"} == set(
        listed
    )

    daemon.client.change_learning_rate(run, _scale())
    page.wait_for_selector("tr >> text=a key to press")
    page.keyboard.press("[")
    assert knows(page, "state.marked") == knows(page, "state.decisions.at(-1).revision")
    page.keyboard.press("l")
    assert knows(page, "state.isLog.rate") is True
    page.fill("#name", "")
    page.focus("#name")
    page.keyboard.type("sally")
    assert page.locator("dialog").count() == 0, "what is typed into a field is no key"


def _scale():
    from rheostat.steering.records import Change, Verb

    return Change(verb=Verb.SCALE, value=1.0, reason="a key to press")


def test_dragging_shows_some_steps_closely_and_a_double_click_all_of_them(
    look, knows, daemon, run, wait_until
):
    daemon.advance(run, 300)
    page = look()
    box = page.locator("#chart-loss .u-over").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 100, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, middle, steps=5)
    page.mouse.up()
    wait_until(lambda: knows(page, "state.closeUp !== null"), "the steps have come")
    zoom = knows(page, "state.zoom")

    assert 0 < zoom["from"] < zoom["to"] < knows(page, "state.course.end")
    assert knows(page, "state.closeUp.width") <= knows(page, "state.course.width")
    page.locator("#chart-loss .u-over").dblclick()
    assert knows(page, "state.zoom") is None


def test_a_browser_says_when_news_stop_and_goes_on_when_they_come(look, knows, wait_until):
    page = look()
    page.route("**/live*", lambda route: route.abort())
    page.evaluate("import('./looking.js').then(({ listen }) => listen())")
    page.wait_for_selector(".bar .chip >> text=No connection")
    page.unroute("**/live*")
    page.wait_for_selector(".bar .chip >> text=Live")


def test_a_run_that_does_not_exist_is_said_not_to(visit, daemon, run):
    page = visit(f"{daemon.page}#/runs/nobody")

    page.wait_for_selector(".toast.fails >> text=no run is named 'nobody'")
