import io

import msgspec
import pytest
from rich.console import Console
from tests.cli.conftest import DECISION, POLICIES, SNAPSHOT, STATE, make_view

from rheostat.cli import runs
from rheostat.cli.dashboard import Dashboard
from rheostat.runs.records import Phase, WatchEvent


def drawn(events, width=100, **before):
    """Return the last frame of a dashboard, line by line."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    with Dashboard(console, **before) as dashboard:
        for event in events:
            dashboard.show(event)
        frame = dashboard.render()
    plain = Console(file=io.StringIO(), width=width, color_system=None)
    plain.print(frame)
    return plain.file.getvalue().splitlines()


def view(**changes):
    return WatchEvent(run="digits", view=make_view(**changes))


def snapshot(**changes):
    return WatchEvent(run="digits", snapshot=msgspec.structs.replace(SNAPSHOT, **changes))


def line_of(lines, label):
    return next(line for line in lines if line.startswith(label))


def test_it_says_where_the_run_stands():
    head, bar, *_ = drawn([view(device="cpu")])

    assert head == "digits running on cpu  1,950 steps/s  0.0 s left"
    assert bar.endswith("step 60 of 100")


def test_losses_and_rates_have_a_curve_and_their_newest_value():
    events = [view(snapshot=None)]
    events += [snapshot(step=step, train_loss=1.0 / step) for step in range(1, 9)]
    events.append(snapshot(step=8, train_loss=1.0 / 8, validation_step=8))
    lines = drawn(events)

    assert line_of(lines, "train loss").split() == ["train", "loss", "0.125", "█▄▃▂▂▁▁▁"]
    assert line_of(lines, "learning rate").split()[-2:] == ["0.0005", "▄▄▄▄▄▄▄▄"]
    assert line_of(lines, "validation loss").endswith("75.00% right")


def test_each_group_has_a_curve_and_the_rest_of_many_are_counted():
    groups = tuple(msgspec.structs.replace(STATE, name=f"layer{n}") for n in range(9))
    lines = drawn([snapshot(groups=groups)])

    assert sum(line.startswith("lr layer") for line in lines) == 6
    assert "and 3 groups more" in lines


def test_policies_are_told_with_their_factor_and_what_they_are():
    lines = drawn([snapshot(policies=POLICIES)])

    assert line_of(lines, "loss_spike").split() == ["loss_spike", "0.5", "active"]
    assert "shadow benched vanished" in line_of(lines, "mine")


def test_the_newest_decisions_are_told_those_before_it_too():
    later = [msgspec.structs.replace(DECISION, applied_step=step) for step in range(100, 106)]
    lines = drawn(
        [WatchEvent(run="digits", decision=one) for one in later], decisions=[DECISION] * 3
    )

    told = lines[lines.index("decided") + 1 :]
    assert [line.split(":")[0] for line in told] == [f"step {step}" for step in range(100, 106)]


def test_curves_begin_where_the_run_does(client):
    lines = drawn([snapshot(step=4, train_loss=0.05)], rows=client.rows)

    assert line_of(lines, "train loss").split()[-1] == "▂█▁▁"


@pytest.mark.parametrize("width", [40, 80])
def test_no_line_is_wider_than_the_terminal(width):
    events = [view(), snapshot(policies=POLICIES), WatchEvent(run="digits", decision=DECISION)]

    assert max(map(len, drawn(events, width=width))) <= width


def test_before_the_first_word_it_says_so():
    assert drawn([])[0] == "waiting for the daemon"


def test_watch_shows_it_on_a_terminal_and_then_how_the_run_ended(client, monkeypatch, rheostat):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(runs, "OUT", console)
    client.final = make_view(Phase.SUCCEEDED)

    assert rheostat("runs", "watch", "digits").exit_code == 0
    text = console.file.getvalue()
    assert "step 41: alice scale 0.5" in text
    assert "validation accuracy  97.50%" in text
