"""LRs that a script's own loop tries out: from one state, back to it, and no step of the run."""

import copy
import math

import pytest
import torch
from torch import nn

from rheostat.runs.messages import (
    Decided,
    PauseCommand,
    Probed,
    Refused,
    ResumeCommand,
    StopCommand,
    Warned,
)

BATCH = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))


class Loop:
    """A training script with dropout, momentum and a schedule, and functions to bring it back."""

    def __init__(self, attached, tmp_path, *, forgets=False, **said):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 1))
        groups = [{"params": list(self.model[index].parameters())} for index in (0, 2)]
        self.optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9)
        self.parts = [self.model, self.optimizer, self.scheduler][: 1 if forgets else 3]
        self.used, self.losses, self.batches = [], [], 0
        self.optimizer.register_step_pre_hook(
            lambda optimizer, *_: self.used.append([one["lr"] for one in optimizer.param_groups])
        )
        functions = {"save": self.save, "restore": self.restore, "folder": tmp_path / "kept"}
        script = attached(self.optimizer, **(functions | said))
        self.run, self.link, self.steering = script.run, script.link, script.steering

    def save(self, folder):
        torch.save([part.state_dict() for part in self.parts], folder / "mine.pt")

    def restore(self, folder):
        for part, state in zip(self.parts, torch.load(folder / "mine.pt"), strict=True):
            part.load_state_dict(state)

    def iterate(self, loss_told=True):
        """Take one step of the loop."""
        self.optimizer.zero_grad()
        loss = (self.model(BATCH) - 1).square().mean()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        self.batches += 1
        self.losses.append(float(loss.detach()))
        self.run.step(loss if loss_told else None)

    def train(self, steps):
        for _ in range(steps):
            self.iterate()

    def state(self):
        """Return everything that decides how the loop goes on."""
        return copy.deepcopy([part.state_dict() for part in self.parts]), torch.get_rng_state()

    @property
    def answer(self):
        [answer] = [one for one in self.link.told if isinstance(one, Probed | Refused)]
        return answer


def equal(first, second):
    """Tell whether two states are the same, bit for bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


@pytest.fixture
def loop(attached, tmp_path):
    def make(**said):
        return Loop(attached, tmp_path, **said)

    return make


def rows_of(link):
    return sum(rows.count for rows in link.rows)


def by_hand(loop, lr, steps, others=None):
    """Return the losses of a loop made by hand, from where the script stands, which is put back."""
    kept, generators = loop.state()
    optimizer = torch.optim.SGD(
        [{"params": list(loop.model[index].parameters())} for index in (0, 2)], lr=0.1, momentum=0.9
    )
    optimizer.load_state_dict(kept[1])
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        loss = (loop.model(BATCH) - 1).square().mean()
        loss.backward()
        optimizer.param_groups[0]["lr"] = lr
        optimizer.param_groups[1]["lr"] = lr if others is None else others[step]
        optimizer.step()
        losses.append(float(loss.detach()))
    loop.model.load_state_dict(kept[0])
    torch.set_rng_state(generators)
    return tuple(losses)


def test_each_lr_starts_from_one_state_and_the_run_goes_on_from_it(loop):
    script = loop(policies=["plateau"])
    script.train(5)
    script.link.probe(0.01, 0.03, 0.3, steps=4)
    script.train(1)  # the probe is asked for in it, and begins after it
    before = script.state()
    expected = [by_hand(script, lr, 4) for lr in (0.01, 0.03, 0.3)]
    asked = sum(script.steering.roster.statuses()[0].outcomes.values())
    script.train(12)

    assert script.run.finished_steps == 6
    assert equal(script.state(), before)
    assert [row[0] for row in script.used[6:]] == [0.01] * 4 + [0.03] * 4 + [0.3] * 4
    script.train(3)
    found = script.answer
    assert list(found.losses) == expected
    assert (found.step, found.batches) == (6, 12)
    assert script.run.finished_steps == 9
    script.run.close()
    assert rows_of(script.link) == 9
    assert sum(script.steering.roster.statuses()[0].outcomes.values()) == asked + 3
    assert script.link.of_kind(Decided) == script.link.of_kind(Warned) == []


def test_the_other_groups_go_on_with_their_schedule_and_what_operators_want(loop):
    script = loop(guardrails={"max_lr": 0.5})
    script.link.ask("scale", 0.5)
    script.train(3)
    script.link.probe(0.01, 2.0, steps=2, groups=("group_0",))
    script.train(1)
    others = [0.5 * 0.1 * 0.9**step for step in (4, 5)]
    expected = [by_hand(script, lr, 2, others) for lr in (0.01, 0.5)]
    script.train(5)

    assert [list(map(pytest.approx, row)) for row in script.used[4:8]] == [
        [0.01, others[0]],
        [0.01, others[1]],
        [0.5, others[0]],
        [0.5, others[1]],
    ]
    found = script.answer
    assert found.losses == tuple(map(pytest.approx, expected))
    assert (found.used[1], found.guardrails) == ({"group_0": 0.5}, ((), ("max_lr",)))
    assert script.used[8] == [pytest.approx(0.5 * 0.1 * 0.9**4)] * 2


def test_a_loss_that_is_not_finite_ends_its_trial_alone(loop):
    script = loop(guardrails={"max_lr": 1e30})
    script.train(1)
    script.link.probe(1e30, 0.01, steps=5)
    script.train(1)
    before = script.state()
    script.train(8)
    script.link.probe(0.01, steps=2)

    first, second = script.answer.losses
    assert not math.isfinite(first[-1])
    assert all(map(math.isfinite, first[:-1]))
    assert len(first) < 5
    assert len(second) == 5
    assert len(script.losses) - len(first) - len(second) == script.run.finished_steps
    assert all(torch.isfinite(tensor).all() for tensor in script.model.state_dict().values())
    assert equal(before[0][0].keys(), script.model.state_dict().keys())


def test_a_change_that_arrives_meanwhile_acts_at_the_next_step_of_the_run(loop):
    script = loop()
    script.train(3)
    script.link.probe(0.01, steps=5)
    script.train(3)
    number = script.link.ask("hold", 0.2)
    script.train(3)
    assert script.run.finished_steps == 4
    script.train(1)

    assert script.link.answer_to(number).applied_step == 4
    assert script.used[-1] == [0.2, 0.2]


@pytest.mark.parametrize(("order", "why"), [(PauseCommand(), "paused"), (StopCommand(), "stopped")])
def test_a_pause_or_a_stop_does_not_wait_and_the_probe_is_refused(loop, order, why):
    script = loop()
    script.train(3)
    script.link.probe(0.01, 1.0, steps=50)
    script.train(1)
    before = script.state()
    script.train(3)
    script.link.asked.append(order)
    script.train(1)
    assert equal(script.state(), before)

    script.link.asked.append(ResumeCommand())
    script.iterate()
    assert f"the run was {why} before it could be probed" in script.answer.message
    assert script.run.finished_steps == 5
    assert script.run.should_stop is (why == "stopped")


def test_a_probe_without_losses_is_refused_and_the_run_goes_on(loop):
    script = loop()
    for told in (True, False):
        script.link.told.clear()
        script.link.probe(0.01, steps=3)
        script.iterate(loss_told=told)
        if told:
            before = script.state()
            script.iterate(loss_told=False)  # in the trial
            assert equal(script.state(), before)
        script.train(2)
        assert "run.step(loss)" in script.answer.message
    script.link.told.clear()
    script.link.probe(0.01, steps=3)
    for _ in range(3):
        script.optimizer.step()
    assert "run.step(loss)" in script.answer.message


def test_a_script_that_ends_in_the_middle_is_where_it_was(loop):
    script = loop()
    script.train(3)
    script.link.probe(0.02, steps=50)
    script.train(1)
    before = script.state()
    script.train(7)
    script.run.close()

    assert equal(script.state(), before)
    assert "the script ended" in script.answer.message
    assert script.link.last.result.steps == 4
    assert rows_of(script.link) == 4


def test_a_script_that_raises_in_the_middle_is_where_it_was(loop):
    script = loop()
    script.train(3)
    script.link.probe(0.02, steps=50)
    script.train(1)
    before = script.state()

    def go_on():
        with script.run:
            script.train(7)
            raise KeyError("the data")

    with pytest.raises(KeyError):
        go_on()

    assert equal(script.state(), before)
    assert "KeyError" in script.link.last.failure.message


def test_a_probe_ends_with_its_daemon(loop):
    script = loop()
    script.train(3)
    script.link.probe(0.02, steps=50)
    script.train(1)
    before = script.state()
    script.train(7)
    script.link.is_congested = True
    script.train(1)

    assert equal(script.state(), before)
    script.train(2)
    assert script.run.finished_steps == 6


def test_what_cannot_be_tried_is_refused_with_the_reason(loop, attached, spy):
    script = loop(steps=100)
    script.train(3)
    script.link.probe(0.1, 0.2, steps=60)
    script.train(2)
    assert "has 96 left, and this one would take 120" in script.answer.message

    def fail(folder):
        raise OSError("no room")

    script = loop(save=fail)
    script.train(3)
    script.link.probe(0.1, steps=5)
    script.train(2)
    assert "the script's save failed with OSError: no room" in script.answer.message
    assert script.run.finished_steps == 5

    optimizer = spy()
    plain = attached(optimizer)
    plain.link.probe(0.1, steps=5)
    optimizer.step()
    [refused] = plain.link.of_kind(Refused)
    assert "save=... and restore=..." in refused.message


def test_a_restore_that_forgets_the_schedule_is_told(loop):
    script = loop(forgets=True)
    script.train(3)
    script.link.probe(0.1, 0.2, steps=2)
    script.train(7)

    [warning] = script.link.of_kind(Warned)
    assert "does not bring the script's schedule back" in warning.text


def test_a_validation_in_the_middle_is_none_of_the_run(loop):
    script = loop()
    script.train(3)
    script.run.validated(0.5)
    script.link.probe(0.5, steps=3)
    script.train(2)
    script.run.validated(99.0)
    script.train(3)
    script.run.close()

    assert script.link.last.result.validation_loss == 0.5
