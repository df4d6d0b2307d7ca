"""What a seed stands for: runs to train, changes to ask for, and when who is killed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rheostat.steering.records import Change, PolicyEdit, ScheduleEdit, Verb

RUNS = 2
"""Trained at once by one daemon."""
_WISHES = 150
"""Asked for of each run, as far as it lives to hear them."""


class Moment(StrEnum):
    """When a blow falls; after that its `delay` passes."""

    ANY = "any"
    """At once."""
    ANSWERED = "answered"
    """When somebody has just got an answer."""
    ASKED = "asked"
    """When somebody has just asked."""
    WRITING = "writing"
    """When a trainer has begun to write a checkpoint."""
    WRITTEN = "written"
    """When a checkpoint has just got its name."""
    STARTING = "starting"
    """When a trainer or daemon has just been started, by the blow before."""
    READY = "ready"
    """When the successor of the trainer that the blow before has killed goes on."""


class Victim(StrEnum):
    """Who is killed."""

    TRAINER = "trainer"
    DAEMON = "daemon"
    BOTH = "both"
    NOBODY = "nobody"
    """The daemon is asked to end, and puts the runs by."""


@dataclass(frozen=True, slots=True)
class Blow:
    """A kill -9."""

    moment: Moment
    delay: float
    """Seconds."""
    victim: Victim
    run: int
    """Whose trainer, and whose moment."""
    absence: float
    """Seconds until the next daemon is started, where one was killed."""


class Errand(StrEnum):
    """What else somebody may want of a run; none of it may be seen in the training."""

    PAUSE = "pause"
    """And to let it go on."""
    SAVE = "save"
    EVALUATE = "evaluate"


@dataclass(frozen=True, slots=True)
class Return:
    """A wish to go back."""

    request_id: str
    back_steps: int
    skip: int
    scale: float | None
    rewarm_steps: int


@dataclass(frozen=True, slots=True)
class Wish:
    """Something to ask for."""

    pause: float
    """Seconds after the answer to the one before."""
    what: Change | Errand | Return
    is_careful: bool = False
    """Whether to ask only if nobody has changed the run since the newest answer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a seed decides."""

    seed: int
    pace: float
    """Seconds that a step sleeps until the blows have fallen."""
    specs: tuple[dict[str, Any], ...]
    wishes: tuple[tuple[Wish, ...], ...]
    """By run."""
    blows: tuple[Blow, ...]
    ends_under_fire: bool
    """Whether the runs are let go before the last blow, which then may meet their end."""


def make_plan(seed: int, blows: int) -> Plan:
    """Return the plan of a seed."""
    chance = random.Random(seed)
    specs = tuple(_spec(chance, run) for run in range(RUNS))
    return Plan(
        seed=seed,
        pace=chance.choice([0.003, 0.008, 0.02]),
        specs=specs,
        wishes=tuple(
            tuple(_wish(chance, spec, f"{seed}-{run}-{number}") for number in range(_WISHES))
            for run, spec in enumerate(specs)
        ),
        blows=tuple(_blows(chance, blows)),
        ends_under_fire=chance.random() < 0.3,
    )


def _spec(chance: random.Random, run: int) -> dict[str, Any]:
    steps = chance.randrange(600, 2000)
    optimizer, groups = chance.choice(
        [
            ({"name": "SGD", "lr": 0.05, "args": {"momentum": 0.9, "nesterov": True}}, []),
            ({"name": "SGD", "lr": 0.1}, [{"name": "bias", "match": "bias", "lr_scale": 2.0}]),
            ({"name": "AdamW", "lr": 2e-3, "args": {"weight_decay": 0.1}}, []),
            ({"name": "Adam", "lr": 1e-3, "args": {"amsgrad": True}}, [{"preset": "no_decay_1d"}]),
            ({"name": "AdamW", "lr": 2e-3}, [{"preset": "muon_2d", "args": {"momentum": 0.9}}]),
        ]
    )
    schedule = chance.choice(
        [
            {"name": "constant"},
            {"name": "cosine", "args": {"num_warmup_steps": 30, "num_training_steps": steps}},
            {"name": "OneCycleLR", "args": {"total_steps": steps}},
            {"name": "CosineAnnealingWarmRestarts", "args": {"T_0": 100}},
        ]
    )
    guardrails = chance.choice([{}, {"max_lr": 1.0, "min_lr": 1e-6}, {"max_ratio_per_step": 1.5}])
    return {
        "name": f"run-{run}",
        "model": {
            "name": "paced:network",
            "args": {"dropout": chance.choice([0.0, 0.2])},
        },
        "data": {"name": "digits", "batch_size": chance.choice([16, 32])},
        "optimizer": optimizer,
        "groups": groups,
        "schedule": schedule,
        "policies": chance.sample(_policies(chance), chance.randrange(3)),
        "guardrails": guardrails,
        "train": {
            "steps": steps,
            "seed": chance.randrange(100),
            "device": "cpu",
            "grad_clip": chance.choice([None, 1.0]),
            "accumulate": chance.choice([1, 1, 2]),
            "gradient_norm_every": chance.choice([0, 1, 10]),
        },
        "evaluate": {"every": chance.choice([37, 100])},
        "checkpoint": {
            "every": chance.choice([10, 25, 60, 150]),
            "keep": chance.choice([1, 2, 3]),
            "keep_best": chance.choice([0, 1]),
            "snapshots": chance.choice([None, {"every": 7, "keep": 4}, {"every": 20, "keep": 2}]),
        },
    }


def _policies(chance: random.Random) -> list[dict[str, Any]]:
    rule = {
        "name": "high",
        "when": "train_loss > 1.2 * train_loss_average",
        "cooldown": 5,
        "then": {"scale": 0.97},
    }
    return [
        {
            "name": "loss_spike",
            "args": {"warmup_steps": 20, "threshold": 1.3, "hold_steps": 5}
            | chance.choice([{}, {}, {"back_steps": 15, "restores": 3}]),
        },
        {"name": "plateau", "args": {"patience": 1, "metric": "validation_loss"}},
        {"name": "greedy", "args": {"patience": 3}},
        {"name": "hypergradient", "args": {}},
        {"name": "rules", "args": {"rules": [rule]}},
    ]


def _wish(chance: random.Random, spec: dict[str, Any], request_id: str) -> Wish:
    if chance.random() < 0.04:
        return Wish(0.05, chance.choice(list(Errand)))
    if chance.random() < 0.02:
        back = Return(
            request_id,
            back_steps=chance.randrange(1, 60),
            skip=chance.choice([0, 0, 3]),
            scale=chance.choice([None, 0.8]),
            rewarm_steps=chance.choice([0, 10]),
        )
        return Wish(0.1, back)
    lr, steps = spec["optimizer"]["lr"], spec["train"]["steps"]
    verb = chance.choice([*_VERBS, *_VERBS, *_RARE_VERBS])
    fields: dict[str, Any] = {}
    match verb:
        case Verb.SCALE:
            fields["value"] = chance.choice([0.5, 0.9, 1.1, 1.7])
        case Verb.SET | Verb.HOLD:
            fields["value"] = lr * chance.uniform(0.2, 2.0)
        case Verb.RAMP:
            fields |= {"value": lr * chance.uniform(0.2, 2.0), "steps": chance.randrange(1, 80)}
        case Verb.SWAP:
            fields["edit"] = ScheduleEdit(schedule="ExponentialLR", args='{"gamma": 0.999}')
        case Verb.HORIZON:
            fields["edit"] = ScheduleEdit(steps=round(steps * chance.uniform(0.9, 1.3)))
        case Verb.COOLDOWN:
            fields["edit"] = ScheduleEdit(ratio=0.1)
        case Verb.REWARM:
            fields["edit"] = ScheduleEdit(steps=chance.randrange(5, 60), ratio=0.2)
        case Verb.ATTACH:
            args = '{"patience": 2}'
            fields["policy"] = PolicyEdit(policy="plateau", args=args, shadow=chance.random() < 0.3)
        case Verb.DETACH:
            fields["policy"] = PolicyEdit(policy="plateau", ramp_steps=chance.choice([1, 20]))
        case Verb.SHADOW | Verb.ENGAGE:
            fields["policy"] = PolicyEdit(policy=chance.choice(["plateau", "loss_spike"]))
    if verb in _VERBS and verb is not Verb.RELEASE and chance.random() < 0.3:
        fields["expires_after_steps"] = chance.randrange(1, 150)
    if chance.random() < 0.25:
        fields["at_step"] = chance.randrange(steps)
    pause = chance.choice([0.0, 0.0, 0.02, 0.1, 0.4])
    change = Change(verb=verb, request_id=request_id, reason=str(pause), **fields)
    return Wish(pause, change, is_careful=chance.random() < 0.1)


_VERBS = (Verb.SCALE, Verb.SET, Verb.HOLD, Verb.RAMP, Verb.RELEASE)
_RARE_VERBS = (
    Verb.SWAP,
    Verb.HORIZON,
    Verb.COOLDOWN,
    Verb.REWARM,
    Verb.ATTACH,
    Verb.DETACH,
    Verb.SHADOW,
    Verb.ENGAGE,
)


def _blows(chance: random.Random, count: int) -> Iterator[Blow]:
    before: Blow | None = None
    for _ in range(count):
        moments = list(Moment)
        if before is None or before.victim in (Victim.DAEMON, Victim.NOBODY):
            moments.remove(Moment.READY)
        if before is None or before.victim is Victim.NOBODY:
            moments.remove(Moment.STARTING)
        moment = chance.choice(moments)
        victim = chance.choices(list(Victim), weights=(4, 4, 4, 1))[0]
        run = chance.randrange(RUNS)
        if before is not None and moment in (Moment.STARTING, Moment.READY):
            run = before.run
            if before.victim is Victim.DAEMON:
                victim = Victim.DAEMON
        longest = {Moment.ANY: 1.5, Moment.STARTING: 2.5, Moment.READY: 0.3}.get(moment, 0.02)
        delay = chance.choice([0.0, chance.uniform(0.0, longest)])
        absence = chance.choice([0.0, 0.0, 0.5, 2.5])
        before = Blow(moment, delay, victim, run, absence)
        yield before
