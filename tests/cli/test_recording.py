"""With the fragment of a steered run, a new run of the same spec has the same LRs, bit for bit."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.cli.recording import as_yaml, recorded_fragment
from rheostat.errors import RheostatError
from rheostat.runs.records import Phase, RunView
from rheostat.runs.rows import merge
from rheostat.spec.loading import read_document
from rheostat.spec.validation import load
from rheostat.steering.records import Change, PolicyEdit, ScheduleEdit, Verb
from rheostat.trainer.building import build
from rheostat.trainer.recorder import Recorder

STEPS = 90
WIGGLE = {
    "name": "rules",
    "args": {
        "rules": [
            {
                "name": "wiggle",
                "when": "step % 11 == 3",
                "cooldown": 1,
                "then": {"scale": 0.9, "ramp_steps": 3},
            }
        ]
    },
}
SPIKES = {"name": "loss_spike", "args": {"warmup_steps": 3, "hold_steps": 4, "ramp_steps": 6}}
ONE_CYCLE = {"name": "OneCycleLR", "args": {"pct_start": 0.4}}
GROUPS = {
    "none": [],
    "a scaled one": [{"name": "head", "match": "^head", "lr_scale": 0.3}],
    "two by name only": [
        {"name": "head", "match": "^head"},
        {"name": "first", "match": r"^hidden\.0"},
    ],
    "one with an LR and a schedule of its own": [
        {"name": "head", "match": "^head", "lr": 2e-3, "schedule": ONE_CYCLE}
    ],
    "a preset": [{"preset": "head", "lr": 3e-3}],
    "layers": [{"preset": "layer_decay", "layers": r"^hidden\.(\d+)", "decay": 0.7}],
    "presets that split places": [
        {"name": "head", "match": "^head", "lr_scale": 0.7},
        {"preset": "no_decay_1d"},
        {"preset": "muon_2d", "lr": 0.02, "exclude": "^head"},
    ],
    "rules that merge": [
        {"name": "head", "match": "^head", "lr_scale": 0.7},
        {"name": "first", "match": r"^hidden\.0", "lr_scale": 0.7},
    ],
}
SCHEDULES = {
    "constant": {},
    "warmup_cosine": {"warmup_steps": 7},
    "StepLR": {"step_size": "1ep", "gamma": 0.7},
    "OneCycleLR": {"pct_start": 0.3},
    "inverse_sqrt": {"num_warmup_steps": 5},
    "timm.cosine": {"t_initial": 20, "cycle_limit": 3, "noise_range_t": 5, "noise_pct": 0.3},
}
GUARDRAILS = [{}, {"max_ratio_per_step": 1.3}, {"max_lr": 1.1e-3}, {"min_lr": 4e-4}]


def document(groups=(), schedule="constant", policies=(), guardrails=None, steps=STEPS):
    """Return a small spec."""
    return {
        "name": "small",
        "model": {"name": "mlp", "args": {"hidden": [4, 4]}},
        "optimizer": {"name": "AdamW", "lr": 1e-3},
        "groups": list(groups),
        "schedule": {"name": schedule, "args": SCHEDULES[schedule]},
        "policies": list(policies),
        "guardrails": guardrails or {},
        "train": {"steps": steps, "device": "cpu"},
    }


class Simulation:
    """A run of a spec with everything but the training: what it did is in the fields."""

    def __init__(self, spec, changes=(), losses=(1.0,), stop_at=None):
        self.spec = load(json.dumps(spec))
        parts = build(self.spec, "small")
        self.groups = tuple(group.describe() for group in parts.groups)
        self.names = [group.name for group in self.groups]
        self.decisions = []
        self.batches = []
        self.rates = {name: [] for name in self.names}
        self.momenta = {name: [] for name in self.names}
        self._run(parts.steering, changes, itertools.cycle(losses), stop_at)

    def _run(self, steering, changes, losses, stop_at):
        recorder, measured = Recorder(self.names), None
        step = 0
        while step < min(steering.steps, stop_at or steering.steps):
            steering.advance(step, measured)
            for ticket, (at, change) in enumerate(changes):
                if at == step:
                    steering.submit(ticket, change)
            decisions, _ = steering.settle()
            self.decisions += decisions
            momenta = [group.momentum for group in steering.groups]
            loss = next(losses)
            recorder.record(
                step,
                loss,
                steering.learning_rates,
                steering.bases,
                steering.components,
                momenta,
                0.001,
            )
            for name, lr, momentum in zip(
                self.names, steering.learning_rates, momenta, strict=True
            ):
                self.rates[name].append(lr)
                self.momenta[name].append(momentum)
            measured = (step, steering.steps, loss, None, None, None, None)
            if step % 17 == 16:
                self.batches.append(recorder.take())
            step += 1
        if (last := recorder.take()) is not None:
            self.batches.append(last)

    @property
    def view(self):
        return RunView(
            name="small",
            phase=Phase.SUCCEEDED,
            spec=self.spec.model_dump_json(),
            groups=self.groups,
        )

    def recorded(self):
        """Return the fragment, as it comes back from the text that people are given."""
        fragment = recorded_fragment(self.view, self.batches, self.decisions)
        text = as_yaml(fragment, run="small", steps=1)
        assert read_document(text, "it") == fragment, "what is written is what is read"
        return fragment


def replayed(spec, played, **options):
    """Run the same spec with the fragment of a run in it."""
    return Simulation(spec | played.recorded(), **options)


STEP = st.integers(1, 40)
CHANGES = st.one_of(
    st.builds(Change, verb=st.just(Verb.SCALE), value=st.floats(0.1, 3)),
    st.builds(Change, verb=st.just(Verb.SET), value=st.floats(1e-5, 1e-2)),
    st.builds(Change, verb=st.just(Verb.RAMP), value=st.floats(1e-5, 1e-2), steps=STEP),
    st.builds(Change, verb=st.just(Verb.HOLD), value=st.floats(0, 1e-2)),
    st.just(Change(verb=Verb.RELEASE)),
    st.builds(
        lambda name, rescale: Change(
            verb=Verb.SWAP,
            edit=ScheduleEdit(schedule=name, args=json.dumps(SCHEDULES[name]), rescale=rescale),
        ),
        st.sampled_from(list(SCHEDULES)),
        st.booleans(),
    ),
    st.builds(
        lambda steps, rescale: Change(
            verb=Verb.HORIZON, edit=ScheduleEdit(steps=steps, rescale=rescale)
        ),
        st.integers(20, 150),
        st.booleans(),
    ),
    st.builds(
        lambda steps, ratio, shape: Change(
            verb=Verb.COOLDOWN, edit=ScheduleEdit(steps=steps, ratio=ratio, shape=shape)
        ),
        st.one_of(st.none(), STEP),
        st.one_of(st.none(), st.floats(0, 1)),
        st.sampled_from(["", "linear", "cosine"]),
    ),
    st.builds(
        lambda steps, ratio: Change(verb=Verb.REWARM, edit=ScheduleEdit(steps=steps, ratio=ratio)),
        STEP,
        st.floats(0, 1),
    ),
    st.just(Change(verb=Verb.ATTACH, policy=PolicyEdit(policy="greedy"))),
    st.just(Change(verb=Verb.SHADOW, policy=PolicyEdit(policy="rules"))),
    st.just(Change(verb=Verb.ENGAGE, policy=PolicyEdit(policy="rules"))),
    st.just(Change(verb=Verb.DETACH, policy=PolicyEdit(policy="rules", ramp_steps=5))),
)
LASTS = st.one_of(st.none(), st.integers(1, 30))
FOR_THE_WHOLE_RUN = {Verb.HORIZON, Verb.ATTACH, Verb.SHADOW, Verb.ENGAGE, Verb.DETACH}
NEVER_EXPIRE = FOR_THE_WHOLE_RUN | {Verb.SWAP, Verb.COOLDOWN, Verb.REWARM, Verb.RELEASE}


@st.composite
def plans(draw):
    """Changes of all kinds, for some groups or all, each at its step."""
    plan = []
    for _ in range(draw(st.integers(0, 6))):
        change = draw(CHANGES)
        fields = {name: getattr(change, name) for name in change.__struct_fields__}
        if change.verb not in FOR_THE_WHOLE_RUN:
            fields["groups"] = draw(st.sampled_from([(), ("head",), ("default",)]))
        if change.verb not in NEVER_EXPIRE:
            fields["expires_after_steps"] = draw(LASTS)
        plan.append((draw(st.integers(0, STEPS - 1)), Change(**fields)))
    return plan


@pytest.mark.parametrize("groups", GROUPS)
@given(
    plan=plans(),
    schedule=st.sampled_from(list(SCHEDULES)),
    policies=st.sampled_from([[], [WIGGLE], [WIGGLE, SPIKES]]),
    guardrails=st.sampled_from(GUARDRAILS),
    losses=st.lists(st.sampled_from([1.0, 1.0, 1.0, 9.0]), min_size=5, max_size=20),
    stop_at=st.one_of(st.none(), st.integers(1, STEPS)),
)
@settings(max_examples=20)
def test_the_recorded_schedule_gives_the_same_lrs_to_the_last_bit(
    groups, plan, schedule, policies, guardrails, losses, stop_at
):
    spec = document(GROUPS[groups], schedule, policies, guardrails)
    played = Simulation(spec, plan, losses, stop_at)

    again = replayed(spec, played, stop_at=len(played.rates[played.names[0]]))

    assert again.rates == played.rates
    assert again.decisions == [], "there is nothing left to decide"
    for name, momenta in played.momenta.items():
        for step, momentum in enumerate(momenta):
            if momentum is not None:
                assert again.momenta[name][step] == momentum


def swap(**edit):
    return Change(verb=Verb.SWAP, edit=ScheduleEdit(**edit))


def test_groups_that_were_treated_alike_share_one_schedule():
    played = Simulation(
        document(GROUPS["two by name only"], policies=[WIGGLE]),
        [(20, Change(verb=Verb.SCALE, value=0.5)), (30, Change(verb=Verb.HOLD, value=1e-4))],
    )

    fragment = played.recorded()

    assert list(fragment) == ["schedule", "policies"]
    args = fragment["schedule"]["args"]
    assert args["schedule"] == {"name": "constant"}
    assert args["rates"] == [[30, None, 1e-4]], "a hold that never ended goes on"
    assert [20, 0.5 * 0.9] in args["gains"] or args["gains"][-1][0] > 20
    assert fragment["policies"] == []


def test_a_group_that_was_treated_otherwise_has_a_schedule_of_its_own():
    groups = GROUPS["a scaled one"]
    change = Change(verb=Verb.SCALE, value=0.5, groups=("head",))

    fragment = Simulation(document(groups), [(20, change)]).recorded()

    [head] = fragment["groups"]
    assert head == {
        "name": "head",
        "match": "^head",
        "schedule": {
            "name": "recorded",
            "args": {
                "group": "head",
                "lr_scale": 0.3,
                "schedule": {"name": "constant"},
                "gains": [[20, 0.5]],
            },
        },
    }
    assert fragment["schedule"]["args"] == {"group": "default", "schedule": {"name": "constant"}}


def test_every_edit_of_the_schedule_is_there_with_its_step():
    changes = [
        (10, swap(schedule="rex", rescale=False)),
        (20, Change(verb=Verb.HORIZON, edit=ScheduleEdit(steps=120))),
        (30, Change(verb=Verb.REWARM, edit=ScheduleEdit(steps=5, ratio=0.25))),
        (40, Change(verb=Verb.COOLDOWN, edit=ScheduleEdit(steps=10))),
    ]

    fragment = Simulation(document(), changes).recorded()

    args = fragment["schedule"]["args"]
    assert [(edit["step"], edit["verb"]) for edit in args["edits"]] == [
        (10, "swap"),
        (20, "horizon"),
        (30, "rewarm"),
        (40, "swap"),
    ]
    assert args["edits"][0] == {
        "step": 10,
        "verb": "swap",
        "schedule": {"name": "rex"},
        "rescale": False,
    }
    assert args["edits"][3]["schedule"]["name"] == "warmup_stable_decay"
    assert args["steps"] == STEPS
    assert fragment["train"] == {"steps": 120, "device": "cpu"}


def test_a_run_counted_in_epochs_keeps_the_length_it_came_to_have():
    spec = document() | {"train": {"epochs": 4.0, "device": "cpu"}}
    played = Simulation(spec, [(10, Change(verb=Verb.HORIZON, edit=ScheduleEdit(steps=60)))])

    again = replayed(spec, played)

    assert len(played.rates["default"]) == 60
    assert again.rates == played.rates


def test_a_momentum_is_moved_from_the_swap_on_that_begins_it_to_the_one_that_ends_it():
    edit = {"schedule": "OneCycleLR", "args": json.dumps({"pct_start": 0.4})}
    played = Simulation(document(), [(30, swap(**edit)), (60, swap(schedule="constant"))])

    again = replayed(document(), played)

    assert played.momenta["default"][29] is None
    assert again.momenta == played.momenta
    assert None not in again.momenta["default"][30:60]
    assert set(again.momenta["default"][60:]) == {None}, "the optimizer has its own back"


def test_batches_that_were_stored_as_one_say_the_same():
    spec = document(policies=[WIGGLE])
    played = Simulation(spec, [(20, Change(verb=Verb.HOLD, value=1e-4, expires_after_steps=25))])

    together = recorded_fragment(played.view, [merge(played.batches)], played.decisions)

    assert together == played.recorded()


def test_decisions_for_steps_to_come_are_left_out():
    played = Simulation(document(), [(50, swap(schedule="rex"))])

    fragment = recorded_fragment(played.view, played.batches[:2], played.decisions)

    assert "edits" not in fragment["schedule"]["args"]


def test_a_run_without_a_step_has_nothing_to_record():
    played = Simulation(document(), stop_at=1)

    with pytest.raises(RheostatError, match="has not finished a step"):
        recorded_fragment(played.view, [], [])


def test_more_than_a_spec_can_hold_is_refused(monkeypatch):
    monkeypatch.setattr("rheostat.cli.recording.MAX_VALUES", 20)
    played = Simulation(document(policies=[WIGGLE]))

    with pytest.raises(RheostatError, match="so many steps that its record has"):
        played.recorded()
