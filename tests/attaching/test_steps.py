"""What a script says of its steps, and what of that is told."""

import itertools
import math
import struct
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from rheostat import Stopped
from rheostat.attaching import boundary
from rheostat.attaching.losses import Losses
from rheostat.errors import InvalidRequest
from rheostat.runs.messages import Decided, Failed, Finished, StopCommand, Warned


def losses_of(link):
    packed = b"".join(rows.train_loss for rows in link.rows)
    return list(struct.unpack(f"<{len(packed) // 8}d", packed))


def test_every_step_is_told_once_with_its_loss(spy, attached):
    optimizer = spy()
    script = attached(optimizer)

    for loss in (3.0, torch.tensor([2.0]), torch.tensor(1.0, requires_grad=True)):
        optimizer.step()
        script.run.step(loss)
    script.run.close()

    assert losses_of(script.link) == [3.0, 2.0, 1.0]
    assert script.link.last.result.steps == 3
    assert isinstance(script.link.last, Finished)


def test_steps_count_without_a_word_of_the_script_and_their_losses_are_unknown(spy, attached):
    optimizer = spy()
    script = attached(optimizer)

    for _ in range(3):
        optimizer.step()
    script.run.close()

    assert script.run.finished_steps == 3
    assert all(map(math.isnan, losses_of(script.link)))


def test_micro_batches_are_no_steps_and_their_losses_are_averaged(spy, attached):
    optimizer = spy()
    script = attached(optimizer)

    for index in range(6):
        if index % 3 == 2:
            optimizer.step()
        script.run.step(float(index))
    script.run.close()

    assert losses_of(script.link) == [1.0, 4.0]


def test_a_loss_that_is_not_finite_is_told_and_shown_to_no_policy(spy, attached):
    optimizer = spy()
    script = attached(optimizer, policies=["plateau"])

    for loss in (1.0, math.nan, 1.0):
        optimizer.step()
        script.run.step(loss)
    optimizer.step()

    [warning] = script.link.of_kind(Warned)
    assert warning.text.startswith("the loss of step 1 is nan")
    [policy] = script.steering.roster.statuses()
    assert sum(policy.outcomes.values()) == 2


@pytest.mark.parametrize("loss", [torch.ones(3), "much", None, object()])
def test_what_is_no_number_is_no_loss(loss):
    losses = Losses()
    with pytest.raises(InvalidRequest, match="loss"):
        losses.add(loss)


def test_a_step_that_fails_is_none_and_leaves_the_script_s_lr(spy, attached):
    optimizer = spy(0.1)
    script = attached(optimizer)
    script.link.ask("scale", 0.5)

    def fail():
        raise ValueError("no such batch")

    with pytest.raises(ValueError, match="no such batch"):
        optimizer.step(fail)
    assert optimizer.param_groups[0]["lr"] == 0.1
    script.run.step(1.0)
    assert script.run.finished_steps == 0
    optimizer.step()
    script.run.step(1.0)

    assert optimizer.used == [[0.05], [0.05]]
    assert script.run.finished_steps == 1


def test_somebody_who_stops_the_run_ends_its_block_and_no_script_elsewhere(spy, attached):
    optimizer = spy()
    script = attached(optimizer)
    script.link.asked.append(StopCommand())
    optimizer.step()
    script.run.step(1.0)
    assert script.run.should_stop

    with script.run:
        script.run.step(1.0)
        pytest.fail("the block goes on")

    assert script.link.last.stopped
    assert issubclass(Stopped, Exception)


def test_what_ends_a_script_is_what_its_run_has_failed_with(spy, attached):
    script = attached(spy())

    with pytest.raises(KeyError), script.run:
        {}["gone"]

    assert isinstance(script.link.last, Failed)
    assert script.link.last.failure.message == "KeyError: 'gone'"


def test_a_closed_run_has_nothing_to_do_with_the_optimizer_any_more(spy, attached):
    optimizer = spy(0.1)
    script = attached(optimizer)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    script.link.ask("scale", 0.5)
    optimizer.step()
    script.run.close()
    scheduler.step()
    optimizer.step()

    assert optimizer.used == [[0.05], [0.05]]  # half, and then the scheduler's own half
    plain = spy()
    attached(plain).run.close()
    assert "step" not in vars(plain)


def test_calls_without_any_step_of_the_optimizer_are_remarked_once(spy, attached):
    script = attached(spy())

    for _ in range(300):
        script.run.step(1.0)

    [warning] = script.link.of_kind(Warned)
    assert "without a step of the optimizer" in warning.text


def test_what_is_asked_before_a_step_acts_in_it(spy, attached):
    optimizer = spy(0.1)
    script = attached(optimizer)
    optimizer.step()
    script.run.step(1.0)
    number = script.link.ask("scale", 0.5)
    optimizer.step()

    assert script.link.answer_to(number).applied_step == 1
    assert optimizer.used == [[0.1], [0.05]]
    assert script.run.learning_rates == {"default": 0.05}
    assert script.run.script_learning_rates == {"default": 0.1}


def test_a_ramp_arrives_though_the_schedule_moves_beneath(spy, attached):
    optimizer = spy(0.1)
    script = attached(optimizer)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    script.link.ask("ramp", 0.001, steps=10)

    for _ in range(15):
        optimizer.step()
        scheduler.step()
        script.run.step(1.0)

    used = [row[0] for row in optimizer.used]
    assert used[9] == pytest.approx(0.001, rel=1e-12)
    assert all(later < earlier for earlier, later in itertools.pairwise(used))
    assert used[12] == pytest.approx(0.001 * 0.9**3, rel=1e-12)


def test_a_script_that_climbs_is_never_bent_by_the_default_bound(spy, attached):
    optimizer = spy(1e-7)
    script = attached(optimizer)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 10.0)

    for _ in range(8):
        optimizer.step()
        scheduler.step()
    number = script.link.ask("scale", 1000.0)
    optimizer.step()

    assert optimizer.used[:8] == [[pytest.approx(1e-7 * 10**step)] for step in range(8)]
    assert script.link.answer_to(number).guardrails == ("max_lr",)
    assert optimizer.used[8] == [pytest.approx(100 * 10.0)]


def test_a_guardrail_of_the_script_s_own_binds_the_script_too(spy, attached):
    optimizer = spy(0.1)
    script = attached(optimizer, guardrails={"max_lr": 0.04})
    optimizer.step()
    script.run.step(1.0)
    optimizer.step()

    assert optimizer.used == [[0.04], [0.04]]
    [decided] = script.link.of_kind(Decided)
    assert decided.decisions[0].source == "guardrail"


def test_a_compiled_model_does_not_hide_the_steps(spy, attached):
    # The first compilation of a process takes torch's own hooks from optimizer classes.
    torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1))
    optimizer = spy(0.1)
    script = attached(optimizer)
    script.link.ask("scale", 0.5)
    optimizer.step()

    assert optimizer.used == [[0.05]]


def test_importing_rheostat_imports_no_torch():
    code = "import sys, rheostat; sys.exit('torch' in sys.modules or 'grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_change_after_many_quiet_steps_is_told_with_the_lr_of_the_step_before(spy, attached):
    optimizer = spy(0.1, 0.02)
    script = attached(optimizer)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    for _ in range(30):
        optimizer.step()
        scheduler.step()
        script.run.step(1.0)
    number = script.link.ask("hold", 0.003)
    optimizer.step()

    decision = script.link.answer_to(number)
    assert decision.applied_step == 30
    assert [group.old for group in decision.groups] == optimizer.used[29]
    assert [group.new for group in decision.groups] == optimizer.used[30] == [0.003, 0.003]
    assert [group.base for group in decision.groups] == [
        group["lr"] for group in optimizer.param_groups
    ]


def test_short_steps_do_not_all_listen_and_none_is_deaf_for_longer_than_it_may(
    spy, attached, monkeypatch
):
    clock = SimpleNamespace(now=100.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(boundary, "time", clock)
    monkeypatch.setattr(boundary, "LISTEN_SECONDS", 0.002)
    optimizer = spy(0.1)
    script = attached(optimizer)
    for _ in range(4):
        optimizer.step()
        script.run.step(1.0)

    clock.now += 0.01
    optimizer.step()
    script.run.step(1.0)
    number = script.link.ask("scale", 0.5)
    clock.now += 0.001
    optimizer.step()
    script.run.step(1.0)
    assert script.link.asked
    clock.now += 0.0011
    optimizer.step()

    decision = script.link.answer_to(number)
    assert decision.applied_step == 6
    assert [rates[0] for rates in optimizer.used[4:]] == [0.1, 0.1, 0.05]


def test_steps_that_are_passed_over_are_told_like_any_other(spy, attached):
    optimizer = spy(0.1)
    script = attached(optimizer)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    script.link.ask("scale", 0.5, expires_after_steps=5)
    for _ in range(20):
        optimizer.step()
        scheduler.step()
        script.run.step(1.0)
    script.run.close()

    def column(kind):
        packed = b"".join(getattr(rows, kind)["default"] for rows in script.link.rows)
        return list(struct.unpack(f"<{len(packed) // 8}d", packed))

    used = [row[0] for row in optimizer.used]
    gains = [0.5] * 5 + [1.0] * 15
    assert column("learning_rate") == used
    assert [base * gain for base, gain in zip(column("base"), gains, strict=True)] == used


def test_a_policy_that_looks_for_what_no_script_shows_is_remarked(spy, attached):
    optimizer = spy(0.1)
    script = attached(optimizer, policies=["hypergradient"])
    for _ in range(5):
        optimizer.step()
        script.run.step(1.0)

    [warning] = script.link.of_kind(Warned)
    assert warning.text.startswith("policy hypergradient observes gradient_alignment")
    assert optimizer.used == [[0.1]] * 5
