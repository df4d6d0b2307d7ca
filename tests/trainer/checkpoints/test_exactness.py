"""A run that is interrupted and goes on ends as the one left alone, to the last bit."""

import math
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from rheostat.runs.messages import ChangeCommand, PauseCommand, Ready, ResumeCommand, Warned
from rheostat.steering import policies
from rheostat.steering.records import Change, PolicyEdit, ScheduleEdit, Verb
from rheostat_policies import SCHEDULES
from rheostat_policies.schedules.examples import EXAMPLE_RUN, EXAMPLES

STEPS = 40
MNIST = os.environ.get(
    "RHEOSTAT_TEST_MNIST", str(Path(__file__).parents[4] / "shared" / "data" / "mnist")
)

OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    "Adam": {"amsgrad": True},
    "AdamW": {"fused": True},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {},
    "RMSprop": {"centered": True, "momentum": 0.5},
    "Rprop": {},
    "ASGD": {},
    "Adagrad": {},
    "Adadelta": {},
    "Adafactor": {},
    "LBFGS": {"max_iter": 3, "history_size": 3},
    "schedulefree:AdamWScheduleFree": {"warmup_steps": 5},
    "schedulefree:SGDScheduleFree": {},
    "prodigyopt:Prodigy": {},
    "pytorch_optimizer:Lion": {},
    "pytorch_optimizer:DAdaptAdam": {},
    "pytorch_optimizer:AdaBelief": {},
    "pytorch_optimizer:Ranger21": {"num_iterations": STEPS},
}
POLICIES: list[dict[str, Any]] = [
    {"name": "loss_spike", "args": {"warmup_steps": 5, "threshold": 1.05, "hold_steps": 3}},
    {"name": "plateau", "args": {"patience": 0, "metric": "validation_loss"}},
    {"name": "greedy", "args": {"patience": 1}},
    {"name": "adalrs", "args": {}},
    {"name": "autolrs", "args": {"stage": 10, "max_stage": 20, "probes": 2}},
    {"name": "learned", "args": {}},
    {"name": "learned", "args": {"online": True}},
    {"name": "hypergradient", "args": {}},
    {"name": "kl_band", "args": {}},
    {"name": "noise_scale", "args": {}},
    {
        "name": "rules",
        "args": {
            "rules": [
                {
                    "name": "high",
                    "when": "train_loss > 1.01 * train_loss_average",
                    "cooldown": 2,
                    "then": {"scale": 0.9},
                }
            ]
        },
    },
]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine would make a policy slow in one of the runs that are compared."""
    monkeypatch.setattr(policies, "SLOW_SECONDS", math.inf)


def assert_goes_on(
    make: Any,
    *,
    at: int | None = None,
    commands: Any = None,
    **spec: Any,
) -> tuple[Any, Any]:
    """Interrupt a run somewhere, let it go on, and compare it with the same run left alone."""
    at = random.randrange(1, STEPS - 4) if at is None else at
    alone = make(**spec).begin(commands)
    expected = alone.finish()
    run = make(**spec)
    interrupted, order = run.interrupt(at, commands)

    later = {step: some for step, some in (commands or {}).items() if step > interrupted.step}
    went_on = run.begin(later, order)
    last = went_on.finish()

    where = f"interrupted at step {at}"
    assert went_on.all(Warned) == [], where
    assert not [one for one in went_on.all(Ready)[0].warnings if "last bit" in one], where
    assert list(went_on.losses()) == list(range(at, alone.step))
    for heard in (interrupted, went_on):
        for column in ("train_loss", "learning_rate", "base"):
            assert_part_of(heard.column(column), alone.column(column), f"{where}: {column}")
        assert_part_of(heard.validations(), alone.validations(), f"{where}: validations")
    assert last.keys() == expected.keys()
    assert all(torch.equal(last[name], expected[name]) for name in last), where
    decided = [*interrupted.decisions, *went_on.decisions]
    assert [untimed(one) for one in decided] == [untimed(one) for one in alone.decisions]
    return alone, went_on


def assert_part_of(part: dict[Any, float], whole: dict[Any, float], where: str) -> None:
    assert {step: whole.get(step) for step in part} == part, where


def untimed(decision: Any) -> Any:
    return (decision.revision, decision.applied_step, decision.source, decision.groups)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_family_of_optimizers(a_run: Any, name: str) -> None:
    lr = 1.0 if "Prodigy" in name or "DAdapt" in name else 0.01
    optimizer = {"name": name, "lr": lr, "args": OPTIMIZERS[name]}
    assert_goes_on(a_run, optimizer=optimizer, train={"steps": STEPS, "grad_clip": 1.0})


WAYS: dict[str, dict[str, Any]] = {
    "float16": {"train": {"precision": "float16", "grad_clip": 1.0}},
    "bfloat16": {"train": {"precision": "bfloat16", "accumulate": 2}},
    "channels_last": {
        "model": {"name": "lenet5"},
        "optimizer": {"name": "AdamW", "lr": 0.01},
        "train": {"channels_last": True},
    },
    "channels_last_momentum": {"model": {"name": "lenet5"}, "train": {"channels_last": True}},
    "activation_checkpointing": {
        "model": {"name": "checkpoint_plugin:Net"},
        "train": {"activation_checkpointing": ["^(first|norm)$"]},
    },
    "augment": {
        "model": {"name": "lenet5"},
        "data": {"name": "digits", "augment": {"crop": 2, "flip": True}},
    },
    "text": {
        "model": {"name": "gpt", "args": {"layers": 1, "width": 16, "dropout": 0.2}},
        "data": {"name": "text", "root": __file__, "batch_size": 8, "args": {"context": 16}},
        "optimizer": {"name": "AdamW", "lr": 0.01},
        "groups": [{"preset": "layer_decay"}],
    },
    "lag": {
        "train": {"telemetry_lag": 3, "gradient_norm_every": 2},
        "policies": [POLICIES[0], {"name": "hypergradient"}, POLICIES[-1]],
        "schedule": {"name": "OneCycleLR", "args": {"total_steps": STEPS}},
    },
    "lag_float16": {"train": {"telemetry_lag": 2, "precision": "float16"}},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_train(a_run: Any, plugin: str, way: str) -> None:
    sections = {name: dict(one) if name == "train" else one for name, one in WAYS[way].items()}
    assert_goes_on(a_run, **sections)


def test_a_momentum_is_told_as_long_as_a_schedule_moves_it(a_run: Any) -> None:
    swap = Change(verb=Verb.SWAP, edit=ScheduleEdit(schedule="linear"))
    commands = {6: [ChangeCommand(command_id=1, change=swap)]}
    schedule = {"name": "OneCycleLR", "args": {"total_steps": STEPS}}

    alone, went_on = assert_goes_on(a_run, at=20, commands=commands, schedule=schedule)

    assert moved_momenta(alone) == list(range(6))
    assert moved_momenta(went_on) == []


def test_a_schedule_swapped_while_the_run_stands_still_leaves_no_momentum_behind(
    a_run: Any,
) -> None:
    """A run that is paused has the momentum of its next step already; a replay never pauses."""
    swap = ChangeCommand(
        command_id=1, change=Change(verb=Verb.SWAP, edit=ScheduleEdit(schedule="linear"))
    )
    schedule = {"name": "OneCycleLR", "args": {"total_steps": STEPS}}
    moving = a_run(schedule=schedule).begin({6: [swap]})
    standing = a_run(schedule=schedule).begin({6: [PauseCommand()]})
    standing.say_then([swap, ResumeCommand()])

    weights, other = moving.finish(), standing.finish()

    assert standing.decisions[0].applied_step == 6
    assert all(torch.equal(weights[name], other[name]) for name in weights)


def test_a_schedule_swapped_where_the_run_goes_on_leaves_no_momentum_behind(a_run: Any) -> None:
    swap = ChangeCommand(
        command_id=1, change=Change(verb=Verb.SWAP, edit=ScheduleEdit(schedule="linear"))
    )
    schedule = {"name": "OneCycleLR", "args": {"total_steps": STEPS}}
    alone = a_run(schedule=schedule).begin({20: [swap]})
    run = a_run(schedule=schedule)
    _, order = run.interrupt(20)
    went_on = run.begin({20: [swap]}, order)

    weights, other = alone.finish(), went_on.finish()

    assert went_on.decisions[0].applied_step == 20
    assert all(torch.equal(weights[name], other[name]) for name in weights)


def moved_momenta(daemon: Any) -> list[int]:
    momenta = daemon.column("momentum").items()
    return [step for (_, step), momentum in momenta if not math.isnan(momentum)]


def test_several_optimizers_that_step_as_one(a_run: Any) -> None:
    groups = [
        {"preset": "muon_2d", "args": {"momentum": 0.9}},
        {"name": "own", "match": "bias", "optimizer": {"name": "RMSprop", "lr": 0.003}},
    ]
    alone, _ = assert_goes_on(a_run, groups=groups, optimizer={"name": "AdamW", "lr": 0.01})

    assert len(alone.loop.parts.groups) > 1


@pytest.mark.parametrize(
    "policy", POLICIES, ids=lambda policy: "-".join((policy["name"], *policy["args"]))
)
def test_every_policy(a_run: Any, policy: dict[str, Any]) -> None:
    assert_goes_on(
        a_run,
        policies=[policy],
        optimizer={"name": "Adam", "lr": 0.02},
        train={"steps": STEPS, "accumulate": 4},
        evaluate={"every": 3},
    )


@pytest.mark.parametrize("schedule", ["OneCycleLR", "CyclicLR", "warmup_stable_decay"])
def test_schedules_that_move_momenta_and_others(a_run: Any, schedule: str) -> None:
    args = {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 5} if schedule == "CyclicLR" else {}
    if schedule == "warmup_stable_decay":
        args = {"num_warmup_steps": 4, "num_decay_steps": 10}
    assert schedule in SCHEDULES
    assert_goes_on(a_run, schedule={"name": schedule, "args": args})


def test_operators_edits_and_policies_that_came_while_it_trained(a_run: Any) -> None:
    edits: dict[int, Change] = {
        3: Change(verb=Verb.SCALE, value=0.5, expires_after_steps=20),
        6: Change(verb=Verb.SWAP, edit=ScheduleEdit(schedule="linear")),
        9: Change(verb=Verb.ATTACH, policy=PolicyEdit(policy="greedy", args='{"patience": 1}')),
        12: Change(verb=Verb.RAMP, value=0.2, steps=15),
        15: Change(verb=Verb.DETACH, policy=PolicyEdit(policy="loss_spike")),
        18: Change(verb=Verb.HORIZON, edit=ScheduleEdit(steps=STEPS + 5)),
        21: Change(verb=Verb.HOLD, value=0.05, expires_after_steps=4),
        30: Change(verb=Verb.COOLDOWN, edit=ScheduleEdit(ratio=0.1)),
    }
    commands = {
        step: [ChangeCommand(command_id=step, change=change)] for step, change in edits.items()
    }
    guardrails = {"max_ratio_per_step": 1.5, "max_drift": 4.0}
    for at in (2, 7, 16, 19, 23, 33):
        alone, _ = assert_goes_on(
            a_run,
            at=at,
            commands=commands,
            schedule={"name": "warmup_cosine", "args": {"warmup_steps": 5}},
            policies=[{"name": "loss_spike", "args": {"warmup_steps": 4}}],
            guardrails=guardrails,
        )
        assert len(alone.decisions) > len(edits)


def test_a_model_that_draws_remembers_and_ties_its_weights(a_run: Any, plugin: str) -> None:
    assert_goes_on(a_run, model={"name": f"{plugin}:Net"}, evaluate={"every": 5})


def test_data_that_workers_fetch_and_vary(a_run: Any, plugin: str) -> None:
    data = {"name": f"{plugin}:images", "batch_size": 16}
    model = {"name": "mlp", "args": {"hidden": [8]}}
    assert_goes_on(a_run, data=data, model=model, train={"steps": STEPS})


def test_micro_batches_and_bfloat16(a_run: Any) -> None:
    train = {"steps": STEPS, "precision": "bfloat16", "accumulate": 2, "grad_clip": 0.5}
    assert_goes_on(a_run, train=train)


@pytest.mark.parametrize(
    ("name", "root", "mend"),
    [
        ("fashion_mnist", "/usr/share/datasets/fashion-mnist", "it is not installed: make parts"),
        ("mnist", MNIST, "there is none; set RHEOSTAT_TEST_MNIST to its folder"),
    ],
)
def test_larger_data_that_is_gathered_batch_by_batch(
    a_run: Any, name: str, root: str, mend: str
) -> None:
    if not Path(root).is_dir():
        pytest.skip(f"{name}: {mend}")
    assert_goes_on(a_run, data={"name": name, "root": root, "batch_size": 32})


def test_a_folder_of_images(a_run: Any, tmp_path: Path) -> None:
    root = tmp_path / "images"
    for number in range(40):
        place = root / ("red", "blue")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (6 * number, 0, 250 - 6 * number)).save(place)
    data = {"name": "image_folder", "root": str(root), "batch_size": 8}
    assert_goes_on(a_run, data=data, train={"steps": STEPS})


def test_every_schedule(a_run: Any) -> None:
    """Each moves a group of its own: a weight or a bias of a network with enough of them."""
    hidden = [4] * (len(SCHEDULES) // 2)
    groups = [
        {
            "name": f"g{index}",
            "match": rf"^hidden\.{2 * (index // 2)}\.{('weight', 'bias')[index % 2]}$",
            "schedule": {"name": name, "args": dict(EXAMPLES[name])},
        }
        for index, name in enumerate(SCHEDULES)
    ]
    assert_goes_on(
        a_run,
        model={"name": "mlp", "args": {"hidden": hidden}},
        groups=groups,
        data={"name": "digits", "batch_size": 140},  # an epoch of ten steps, as in the examples
        optimizer={"name": "AdamW", "lr": EXAMPLE_RUN.lr},
        train={"steps": EXAMPLE_RUN.steps},
    )


def test_a_compiled_model_and_optimizer(a_run: Any) -> None:
    train = {"steps": STEPS, "compile": True}
    _, went_on = assert_goes_on(a_run, train=train, optimizer={"name": "AdamW", "lr": 0.01})

    rates = [group["lr"] for group in went_on.loop.parts.optimizer.param_groups]
    assert all(isinstance(rate, torch.Tensor) for rate in rates)
    assert "torch._dynamo" in sys.modules, "what others do without, in `test_sparing`"
