"""Steering a living run from the page, as a person does: with a mouse, and with the keys."""

import json

import pytest

from rheostat.runs.records import Phase


def scale(page, factor, **fields):
    page.click("text=Scale")
    page.fill("[name=value]", str(factor))
    for name, value in fields.items():
        page.fill(f"[name={name}]", value)
    page.wait_for_selector(".preview td strong")


def apply(page):
    page.click("dialog .button.first")
    page.wait_for_selector("dialog", state="detached")


def newest(daemon, run):
    """The newest decision of a person; policies decide meanwhile."""
    return [one.decision for one in daemon.history(run) if one.decision.principal][-1]


def test_a_click_changes_the_lr_and_the_curve_shows_it(look, daemon, run, knows, wait_until):
    page = look()
    scale(page, 0.5, reason="too noisy")
    reasons = [one.decision.reason for one in daemon.history(run)]
    assert "too noisy" not in reasons, "a preview changes nothing"
    apply(page)
    page.wait_for_selector(".toast >> text=Acts from step")

    made = newest(daemon, run)
    assert (made.verb, made.value) == ("scale", 0.5)
    assert (made.principal, made.reason) == ("page", "too noisy")
    width = 2 * knows(page, "state.course.width")
    before, after = made.applied_step - width, made.applied_step + width
    wait_until(lambda: knows(page, "state.course.end") > after, "the curve has gone on")
    drawn = knows(
        page,
        f"[{before}, {after}].map((one) => "
        "state.course.told.groups.default.last[state.course.at(one)])",
    )
    old, new = next((one.old, one.new) for one in made.groups if one.name == "default")
    assert drawn == pytest.approx([old, new], rel=0.02)
    assert new == pytest.approx(old / 2, rel=0.02)


def test_a_decision_is_marked_on_the_curve_and_explained_on_hover(look, daemon, run, wait_until):
    page = look()
    scale(page, 0.9, reason="for the record")
    apply(page)
    made = newest(daemon, run)
    daemon.advance(run, 100)
    box = page.locator("#chart-rate .u-over").bounding_box()

    def is_explained():
        # From the right, since the newest decision stands there.
        for x in range(int(box["width"]) - 1, 0, -3):
            page.mouse.move(box["x"] + x, box["y"] + box["height"] / 2)
            told = page.locator("#chart-rate .explains")
            if told.is_visible() and "for the record" in told.inner_text():
                return told.inner_text()
        return None

    told = wait_until(is_explained, "the mark is found")
    assert "page · scale 0.9" in told
    assert f"step {made.applied_step:,}, revision {made.revision}" in told
    assert "default: " in told


def test_the_preview_tells_old_and_new_for_each_group_and_what_bends_it(look, run):
    page = look()
    scale(page, 1e6)
    rows = page.locator(".preview tbody tr").all_inner_texts()

    assert [row.split()[0] for row in rows] == ["head", "default"]
    assert "Guardrail max_lr bent the result" in page.inner_text(".preview")


def test_what_can_never_be_is_refused_beside_its_field_and_cannot_be_done(look):
    page = look()
    page.keyboard.press("s")
    for text, mend in (
        ("-3", "a finite factor, 0 or greater"),
        ("lots", "a number, as 0.5 or 3e-4"),
        ("1e999", "a finite number"),
    ):
        page.fill("[name=value]", text)
        page.wait_for_selector(f".field .mend >> text={mend}")
        assert page.get_attribute("[name=value]", "aria-invalid") == "true"
        assert page.is_disabled("dialog .button.first")


def test_one_group_alone_is_ramped_held_and_released(look, daemon, run):
    page = look()
    page.keyboard.press("r")
    page.fill("[name=value]", "1e-4")
    page.fill("[name=steps]", "50")
    page.check("[name=group][value=head]")
    page.wait_for_selector(".preview td strong")
    apply(page)
    ramp = newest(daemon, run)
    page.keyboard.press("h")
    page.fill("[name=value]", "2e-4")
    page.check("[name=group][value=head]")
    page.wait_for_selector(".preview td strong")
    apply(page)
    hold = newest(daemon, run)
    page.keyboard.press("x")
    page.wait_for_selector(".preview td strong")
    apply(page)
    release = newest(daemon, run)

    assert (ramp.verb, ramp.steps, [one.name for one in ramp.groups]) == ("ramp", 50, ["head"])
    assert (hold.verb, hold.groups[0].new) == ("hold", 2e-4)
    assert release.verb == "release"


def test_a_run_stands_still_and_goes_on(look, daemon, run):
    page = look()
    page.click("text=Pause")
    page.click("dialog .button.first")
    page.wait_for_selector(".title .chip.paused")
    assert daemon.client.get_run(run).phase is Phase.PAUSED
    page.keyboard.press("p")
    page.click("dialog .button.first")
    page.wait_for_selector(".title .chip.running")

    assert daemon.client.get_run(run).phase is Phase.RUNNING


def test_a_run_goes_back_and_what_is_undone_is_drawn_over_it(look, daemon, run, knows, wait_until):
    page = look()
    wait_until(lambda: daemon.client.list_checkpoints(run), "there is a checkpoint")
    daemon.advance(run, 200)
    page.click("text=Roll back")
    page.wait_for_selector(".preview >> text=steps are undone")
    page.fill("[name=reason]", "it diverges")
    page.wait_for_selector("dialog .button.first:not(:disabled)")
    apply(page)
    page.wait_for_selector(".toast >> text=Went back to step")
    made = newest(daemon, run)
    page.click("[aria-label='Draw over it'] button >> text=undone")
    page.wait_for_selector(f".legend >> text=undone by {made.revision}")

    assert made.rollback is not None
    assert made.reason == "it diverges"
    drawn = knows(page, f"state.overlays['undone by {made.revision}'].end")
    assert drawn == made.rollback.from_step
    page.wait_for_selector("tr.is-undone, td >> text=rollback from step")


def test_a_branch_is_drawn_over_what_it_comes_from(look, daemon, run, knows, wait_until):
    wait_until(lambda: daemon.client.list_checkpoints(run), "there is a checkpoint")
    spec = json.loads(daemon.client.get_run(run).spec) | {"name": "hotter"}
    fork = daemon.client.fork_run(run, json.dumps(spec)).name
    try:
        daemon.advance(fork, 50)
        page = look()
        page.click(f"[aria-label='Draw over it'] button >> text={fork}")
        page.wait_for_selector(f"section[aria-label=Loss] .legend >> text={fork}")
        drawn = knows(page, f"state.overlays['{fork}'].told.loss.mean.length")
        assert drawn > 20
        page.wait_for_selector(f".runs .branch-1 >> text={fork}")
    finally:
        daemon.client.stop_run(fork)


def test_policies_are_shown_with_what_those_in_shadow_would_do(look, knows, wait_until):
    page = look()
    wait_until(
        lambda: "plateau" in knows(page, "Object.keys(state.course.told.components.shadows)"),
        "the shadow is drawn",
    )
    page.click("#tab-policies")

    legend = page.locator("section[aria-label^='What makes it'] .legend")
    assert "plateau (shadow)" in legend.inner_text()
    rows = page.locator("#tab tbody tr").all_inner_texts()
    assert [row.split()[:2] for row in rows] == [["loss_spike", "active"], ["plateau", "shadow"]]


def test_the_history_shows_who_what_and_the_hash_of_each_record(look, daemon, run):
    page = look()
    scale(page, 0.99, reason="to be read again")
    apply(page)
    row = page.locator("#tab tbody tr", has_text="to be read again")
    row.click()
    [record] = [one for one in daemon.history(run) if one.decision.reason == "to be read again"]

    assert "page\tscale 0.99" in row.inner_text()
    row.locator(f"text={record.hash}").wait_for()


def test_an_answer_that_says_no_is_told_in_the_corner(look, daemon, run):
    page = look()
    scale(page, 0.98)
    page.route("**/changes", lambda route: route.abort())
    page.click("dialog .button.first")

    page.wait_for_selector(".toast.fails")
    assert page.is_visible("dialog"), "what was typed is still there"
