"""A run that is probed goes on as the one left alone, to the last bit."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rheostat.runs.messages import (
    Applied,
    ChangeCommand,
    PauseCommand,
    Paused,
    ProbeCommand,
    Probed,
    Refused,
    ResumeCommand,
    StopCommand,
    Warned,
)
from rheostat.runs.starting import StartOrder
from rheostat.steering.records import Change, Verb
from rheostat.trainer.snapshot import Snapshot

STEPS = 40
OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "AdamW": {"fused": True},
    "NAdam": {},
    "ASGD": {},
    "LBFGS": {"max_iter": 3, "history_size": 3},
    "schedulefree:AdamWScheduleFree": {"warmup_steps": 5},
    "prodigyopt:Prodigy": {},
    "pytorch_optimizer:DAdaptAdam": {},
    "pytorch_optimizer:Ranger21": {"num_iterations": 20},
}
"""Those that keep something of their own kind, in a place of their own."""
LRS = (1e-3, 0.03, 1e30)


def a_probe(number: int = 7, **fields: Any) -> ProbeCommand:
    wish = {"learning_rates": LRS, "steps": 4} | fields
    return ProbeCommand(command_id=number, **wish)


def assert_untouched(make: Any, *at: int, **spec: Any) -> tuple[Any, Any]:
    """Probe a run at some steps, and compare it with the same run left alone."""
    guardrails = {"max_lr": 1e30, **spec.pop("guardrails", {})}
    alone = make(guardrails=guardrails, **spec).begin()
    expected = alone.finish()
    probed = make(guardrails=guardrails, **spec).begin({step: [a_probe(step)] for step in at})
    last = probed.finish()

    assert [one.step for one in probed.all(Probed)] == list(at)
    for column in ("train_loss", "learning_rate", "base"):
        assert probed.column(column) == alone.column(column)
    assert probed.validations() == alone.validations()
    assert all(torch.equal(last[name], expected[name]) for name in expected)
    return alone, probed


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_optimizer_remembers_a_probe(a_run: Any, name: str) -> None:
    lr = 1.0 if "Prodigy" in name or "DAdapt" in name else 0.01
    optimizer = {"name": name, "lr": lr, "args": OPTIMIZERS[name]}
    assert_untouched(a_run, 0, 1, 13, optimizer=optimizer, train={"steps": 20, "grad_clip": 1.0})


def test_several_optimizers_that_step_as_one_remember_none(a_run: Any) -> None:
    groups = [
        {"preset": "muon_2d", "args": {"momentum": 0.9}},
        {"name": "own", "match": "bias", "optimizer": {"name": "RMSprop", "lr": 0.003}},
    ]
    optimizer = {"name": "AdamW", "lr": 0.01}
    assert_untouched(a_run, 0, 9, groups=groups, optimizer=optimizer, train={"steps": 16})


def test_neither_does_a_model_that_draws_remembers_and_ties_its_weights(
    a_run: Any, plugin: str
) -> None:
    assert_untouched(a_run, 0, 1, 17, model={"name": f"{plugin}:Net"}, evaluate={"every": 5})


def test_nor_data_that_workers_fetch_and_vary(a_run: Any, plugin: str) -> None:
    data = {"name": f"{plugin}:images", "batch_size": 16}
    model = {"name": "mlp", "args": {"hidden": [8]}}
    assert_untouched(a_run, 9, data=data, model=model, train={"steps": 14})


def test_nor_a_watch_over_gradients_a_schedule_of_momenta_or_micro_batches(a_run: Any) -> None:
    assert_untouched(
        a_run,
        3,
        20,
        schedule={"name": "OneCycleLR"},
        policies=[{"name": "hypergradient"}, {"name": "noise_scale"}],
        train={"steps": STEPS, "accumulate": 2, "precision": "bfloat16"},
    )


def test_nor_a_compiled_model_and_optimizer(a_run: Any) -> None:
    optimizer = {"name": "AdamW", "lr": 0.01}
    assert_untouched(a_run, 5, optimizer=optimizer, train={"steps": 9, "compile": True})


def test_a_trial_is_what_the_run_would_be_with_that_lr_from_there(a_run: Any) -> None:
    hold = ChangeCommand(command_id=1, change=Change(verb=Verb.HOLD, value=0.03))
    held = a_run().begin({10: [hold]})
    held.finish()
    probed = a_run(guardrails={"max_lr": 1e30}).begin({10: [a_probe(steps=6)]})
    probed.finish()

    [found] = probed.all(Probed)
    losses = held.losses()
    assert found.losses[1] == tuple(losses[step] for step in range(10, 16))
    assert not math.isfinite(found.losses[2][-1])
    assert len(found.losses[2]) < 6
    assert found.seconds > 0


def test_guardrails_bind_what_is_tried(a_run: Any) -> None:
    run = a_run(guardrails={"max_lr": 0.01, "min_lr": 2e-3}, optimizer={"name": "SGD", "lr": 5e-3})
    daemon = run.begin({3: [a_probe()]})
    daemon.finish()

    [found] = daemon.all(Probed)
    assert found.used == ({"default": 2e-3}, {"default": 0.01}, {"default": 0.01})
    assert found.guardrails == (("min_lr",), ("max_lr",), ("max_lr",))
    assert found.losses[1] == found.losses[2]


def test_groups_that_are_not_probed_go_on_with_the_lr_of_their_schedule(a_run: Any) -> None:
    groups = [{"name": "bias", "match": "bias"}]
    daemon = a_run(groups=groups).begin({3: [a_probe(groups=("bias",))]})
    daemon.finish()

    [found] = daemon.all(Probed)
    assert [list(one) for one in found.used] == [["bias"]] * 3


class DuringAProbe:
    """Says something to a run when it looks up in the middle of a probe."""

    def __init__(self, daemon: Any, after: int, *commands: Any) -> None:
        self.usual, self.looks, self.commands = daemon.receive, after, list(commands)
        self.is_probing = False
        work = daemon.loop._boundary._prober.work

        def probing(*args: Any) -> Any:
            self.is_probing = True
            answers = work(*args)
            self.is_probing = False
            return answers

        daemon.loop._boundary._prober.work = probing
        daemon.receive = self.receive

    def receive(self, timeout: float = 0.0) -> list[Any]:
        received = self.usual(timeout)
        if not self.is_probing and timeout == 0.0:
            return received
        self.looks -= 1
        due, self.commands = (self.commands, []) if self.looks == 0 else ([], self.commands)
        return [*received, *due]


def test_a_stop_interrupts_a_probe_and_leaves_no_trace_of_it(a_run: Any) -> None:
    alone = a_run(train={"steps": 10}).begin()
    expected = alone.finish()
    daemon = a_run().begin({10: [a_probe()]})
    DuringAProbe(daemon, 6, StopCommand())
    last = daemon.finish()

    [refused] = daemon.all(Refused)
    assert "stopped" in refused.message
    assert daemon.step == 10
    assert all(torch.equal(last[name], expected[name]) for name in expected)


def test_a_change_that_arrives_during_a_probe_acts_at_the_next_step(a_run: Any) -> None:
    daemon = a_run().begin({10: [a_probe()]})
    change = Change(verb=Verb.SCALE, value=0.5)
    DuringAProbe(daemon, 2, ChangeCommand(command_id=1, change=change))
    daemon.finish()

    [applied] = daemon.all(Applied)
    assert applied.decision.applied_step == 11
    assert len(daemon.all(Probed)) == 1


def test_a_paused_run_is_not_probed(a_run: Any) -> None:
    daemon = a_run().begin({4: [PauseCommand(), a_probe(), ResumeCommand()]})
    daemon.finish()

    [refused] = daemon.all(Refused)
    assert "resume it first" in refused.message
    assert daemon.all(Probed) == []


def test_a_run_that_catches_up_is_not_probed(a_run: Any) -> None:
    daemon = a_run().begin({4: [a_probe()], 12: [a_probe(8)]}, StartOrder(steps_done=12))
    daemon.finish()

    [refused] = daemon.all(Refused)
    assert "until step 12" in refused.message
    assert [one.step for one in daemon.all(Probed)] == [12]


POLICIES = """

from rheostat_policies import Action, Probe


class Trier:
    '''Tries some factors every few steps, and takes the best; remembers all that it was shown.'''

    def __init__(self, every=6, factors=(0.1, 1.0, 3.0), steps=3):
        self.every, self.factors, self.steps = every, factors, steps

    def initial_state(self, run):
        return []

    def decide(self, state, seen):
        if seen.probe is not None:
            ends = [losses[-1] for losses in seen.probe.losses]
            best = seen.probe.factors[ends.index(min(ends))]
            return Action(factor=best), [*state, [seen.step, best, ends]]
        if (seen.step + 1) % self.every == 0:
            return Action(probe=Probe(factors=tuple(self.factors), steps=self.steps)), state
        return Action(), state


class Setter:
    '''Sets its factor once.'''

    def __init__(self, at, factor):
        self.at, self.factor = at, factor

    def initial_state(self, run):
        return None

    def decide(self, state, seen):
        return Action(factor=self.factor if seen.step == self.at else None), state
"""


@pytest.fixture
def trier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Make the policies of a spec: one that tries."""
    (tmp_path / "probe_plugin.py").write_text(POLICIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda kind="Trier", **args: [{"name": f"probe_plugin:{kind}", "args": args}]


def state_of(daemon: Any) -> Any:
    return daemon.loop.parts.steering.roster.policies[0].state


def test_a_policy_sees_what_it_had_tried_in_its_next_observation(a_run: Any, trier: Any) -> None:
    daemon = a_run(policies=trier()).begin()
    daemon.finish()

    assert [step for step, _, _ in state_of(daemon)] == list(range(6, STEPS, 6))
    assert [one.applied_step for one in daemon.decisions] == list(range(7, STEPS, 6))


def test_its_trial_is_what_the_run_would_be_with_that_factor_from_there(
    a_run: Any, trier: Any
) -> None:
    spec = {"schedule": {"name": "cosine"}, "groups": [{"name": "bias", "match": "bias"}]}
    halve = ChangeCommand(command_id=1, change=Change(verb=Verb.SCALE, value=0.5))
    set_there = a_run(policies=trier("Setter", at=9, factor=3.0), **spec).begin({5: [halve]})
    set_there.finish()
    tried = a_run(policies=trier(every=10, factors=[3.0], steps=5), **spec).begin({5: [halve]})
    tried.loop.advance(12)

    [[_, _, [end]]] = state_of(tried)
    assert end == set_there.losses()[14]
    assert end != tried.losses().get(14)


def test_a_policy_in_shadow_may_try_too_and_leaves_no_trace(a_run: Any, trier: Any) -> None:
    alone = a_run().begin()
    expected = alone.finish()
    daemon = a_run(policies=[{**trier()[0], "shadow": True}]).begin()
    last = daemon.finish()

    assert len(state_of(daemon)) > 3
    assert len({end for _, _, ends in state_of(daemon) for end in ends}) > 6
    assert daemon.losses() == alone.losses()
    assert all(torch.equal(last[name], expected[name]) for name in expected)


@pytest.mark.parametrize("at", [5, 6, 7, 13])
def test_an_interrupted_run_tries_again_and_decides_the_same(
    a_run: Any, trier: Any, at: int
) -> None:
    alone = a_run(policies=trier()).begin()
    expected = alone.finish()
    run = a_run(policies=trier())
    _, order = run.interrupt(at, steps_more=9)
    daemon = run.begin(None, order)
    last = daemon.finish()

    assert state_of(daemon) == state_of(alone)
    assert all(torch.equal(last[name], expected[name]) for name in expected)


def test_a_replay_tries_again_and_comes_to_the_same(a_run: Any, trier: Any) -> None:
    alone = a_run(policies=trier()).begin()
    alone.finish()
    script = StartOrder(decisions=tuple(alone.decisions), steps_done=STEPS)
    again = a_run(policies=trier()).begin(None, script)
    again.finish()

    assert again.losses() == alone.losses()
    assert state_of(again) == state_of(alone)
    assert again.all(Warned) == []


def test_a_pause_interrupts_what_a_policy_tries_and_it_begins_anew(a_run: Any, trier: Any) -> None:
    alone = a_run(policies=trier()).begin()
    expected = alone.finish()
    daemon = a_run(policies=trier()).begin()
    DuringAProbe(daemon, 5, PauseCommand(), ResumeCommand())
    last = daemon.finish()

    assert [one.step for one in daemon.all(Paused)] == [6]
    assert state_of(daemon) == state_of(alone)
    assert all(torch.equal(last[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"factors": []}, "0 factors"),
        ({"factors": [1.0] * 33}, "33 factors"),
        ({"factors": [1.0, -1.0]}, "factor of -1.0"),
        ({"factors": ["a"]}, "factor of 'a'"),
        ({"steps": 0}, "3 x 0 steps"),
        ({"steps": 3334}, "3 x 3334 steps"),
        ({"steps": 1.5}, "TypeError"),
    ],
)
def test_a_probe_that_cannot_be_is_an_offence(
    a_run: Any, trier: Any, args: dict[str, Any], why: str
) -> None:
    daemon = a_run(policies=trier(**args)).begin()
    daemon.finish()

    policy = daemon.loop.parts.steering.roster.policies[0]
    assert why in policy.record.last_failure
    assert policy.record.outcomes["failed"] == 6
    assert state_of(daemon) == []


def test_autolrs_finds_a_better_lr_than_one_far_too_low(a_run: Any) -> None:
    args = {"stage": 20, "max_stage": 40, "probes": 6, "probe_share": 0.5}
    slow = {"optimizer": {"name": "SGD", "lr": 1e-3}, "train": {"steps": 120}}
    alone = a_run(**slow).begin()
    alone.finish()
    daemon = a_run(policies=[{"name": "autolrs", "args": args}], **slow).begin()
    daemon.finish()

    assert len(daemon.decisions) >= 3
    assert daemon.decisions[0].groups[0].new > 5e-3
    assert daemon.losses()[119] < 0.5 * alone.losses()[119]


class Odd(torch.optim.SGD):
    """Keeps things that no state dict holds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.count, self.seen, self.inner = 0, [torch.zeros(2)], {"last": None}

    def step(self, closure: Any = None) -> Any:
        self.count += 1
        self.seen[0].add_(1.0)
        self.seen.append(torch.ones(1) * self.count)
        self.inner["last"] = self.count
        self.later = {self.count}
        return super().step(closure)


def test_a_snapshot_also_holds_what_an_optimizer_keeps_beside_its_state(a_run: Any) -> None:
    loop = a_run().begin().loop
    parameters = list(loop.parts.model.parameters())
    odd = Odd(parameters, lr=0.1)
    object.__setattr__(loop.parts, "optimizer", odd)
    snapshot, first = Snapshot(loop.parts), odd.seen[0]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    odd.step()
    odd.step()
    snapshot.restore()

    assert (odd.count, odd.inner, len(odd.seen), hasattr(odd, "later")) == (
        0,
        {"last": None},
        1,
        False,
    )
    assert odd.seen[0] is first
    assert first.tolist() == [0.0, 0.0]
