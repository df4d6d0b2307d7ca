import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.errors import InvalidSpec
from rheostat.spec.building import build_policy, build_schedule
from rheostat.spec.models import PolicySpec, Spec
from rheostat.spec.schedules import ScheduleSpec
from rheostat.spec.validation import load, parse
from rheostat_policies import LossSpike, ScheduleRun

VALID = {
    "name": "digits",
    "model": {"name": "mlp", "args": {"hidden": [64, 64]}},
    "data": {"name": "digits", "batch_size": 32, "validation": 0.2},
    "optimizer": {"name": "AdamW", "lr": 0.001, "args": {"weight_decay": 0.01}},
    "groups": [
        {"name": "head", "match": "head", "lr_scale": 2.0},
        {"name": "biases", "match": "bias$", "lr": 0.01, "args": {"weight_decay": 0}},
    ],
    "schedule": {"name": "warmup_cosine", "args": {"warmup_steps": 10, "min_lr": 1e-5}},
    "policies": [{"name": "loss_spike", "args": {"threshold": 3.0}}],
    "guardrails": {"min_lr": 1e-6, "max_lr": 0.1, "max_ratio_per_step": 2.0},
    "train": {"steps": 100, "seed": 1},
    "evaluate": {"every": 50},
}


def mistakes(document, **options):
    spec, violations = parse(document, **options)
    assert (spec is None) == bool(violations)
    return [str(violation) for violation in violations]


def with_value(path, value):
    """Return the valid document with one value replaced, by path of keys and indices."""
    document = copy.deepcopy(VALID)
    *holders, last = path
    inner = document
    for part in holders:
        inner = inner[part]
    inner[last] = value
    return document


def test_a_valid_document_becomes_its_spec():
    spec, violations = parse(VALID)

    assert violations == []
    assert spec == Spec.model_validate(VALID)


def test_the_spec_survives_a_round_trip_as_json():
    spec = load(json.dumps(VALID))

    assert load(spec.model_dump_json()) == spec


def test_the_shortest_spec_is_a_length():
    assert load("train: {steps: 10}").model.name == "mlp"


@pytest.mark.parametrize(
    ("path", "value", "mistake"),
    [
        (("name",), "No Spaces", "name = No Spaces: lower-case letters, digits"),
        (("traim",), {"steps": 1}, 'traim = {"steps": 1}: unknown key, did you mean train?'),
        (("data", "batch_size"), 0, "data.batch_size = 0: at least 1"),
        (("data", "batch_size"), "64", 'data.batch_size = "64": a whole number'),
        (("data", "batch_size"), True, "data.batch_size = true: a whole number"),
        (
            ("train", "processes"),
            33,
            "data.batch_size = 32: at least 33, a sample for each",
        ),
        (("train", "parallel"), "tp", "train.parallel = tp: 'ddp'"),
        (("data", "validation"), "tset", "data.validation = tset: a number, or 'test'"),
        (("data", "validation"), 1.5, "data.validation = 1.5: less than 1, or 'test'"),
        (("optimizer", "lr"), -1, "optimizer.lr = -1: greater than 0"),
        (("optimizer", "args"), {"lr": 1}, "arguments without lr, which has a key of its own"),
        (("groups", 1, "match"), "(", "groups[1].match = (: not a regular expression: "),
        (("groups", 1, "lr_scale"), 3, "groups[1].lr_scale = 3: either lr or lr_scale, not both"),
        (("groups", 1, "name"), "head", "groups[1].name = head: a name that no other group has"),
        (("groups", 1, "name"), "default", "groups[1].name = default: another name"),
        (("groups", 0), 3, "groups[0] = 3: a mapping of keys to values"),
        (("groups",), {"a": 1}, 'groups = {"a": 1}: a list'),
        (
            ("schedule", "name"),
            "warmup_cos",
            "schedule.name = warmup_cos: unknown name, did you mean",
        ),
        (("schedule", "args"), {"warmup_step": 1}, "schedule.args.warmup_step = 1: unknown"),
        (("schedule", "args"), {"warmup_steps": 101}, "schedule.args.warmup_steps = 101: must be"),
        (("policies", 0, "args"), {"cut": 2}, "policies[0].args.cut = 2: must be between 0 and 1"),
        (("policies", 0, "args"), {"cut": "x"}, "policies[0].args.cut = x: a number"),
        (("policies", 0), {}, "policies[0].name: is required"),
        (("guardrails", "min_lr"), 1, "guardrails.min_lr = 1: at most max_lr, which is 0.1"),
        (("train", "epochs"), 3, "train = steps=100 and epochs=3: give the length of the run as"),
        (("train",), {}, "train: give the length of the run as either steps or epochs"),
        (("train", "steps"), 1e3, "train.steps = 1000.0: a whole number, written without"),
        (("train", "device"), "gpu", "train.device = gpu: 'auto', 'cpu', 'cuda' or 'mps'"),
        (("model",), "mlp", "model = mlp: a mapping of keys to values"),
    ],
)
def test_a_mistake_is_named_by_path_value_and_expectation(path, value, mistake):
    found = mistakes(with_value(path, value))

    assert [each for each in found if mistake in each] == found[:1]


def test_all_mistakes_are_named_at_once():
    document = {
        "data": {"batch_size": 0, "root": 3},
        "optimizer": {"lr": 0, "arg": {}},
        "groups": [{"name": "a", "match": "("}, {"name": "a", "match": "x", "lr_scale": -1}],
        "schedule": {"name": "StepLR", "args": {"gamma": True, "step": 3}},
        "policies": [{"name": "loss_spike", "args": {"floor": 0}}, {"name": "loss_spik"}],
        "guardrails": {"min_lr": 2, "max_lr": 1, "max_ratio_per_step": 1},
        "train": {"seed": -1},
    }
    spec, violations = parse(document)

    assert spec is None
    assert {violation.field for violation in violations} == {
        "data.batch_size",
        "data.root",
        "optimizer.lr",
        "optimizer.arg",
        "groups[0].match",
        "groups[1].name",
        "groups[1].lr_scale",
        "schedule.args.gamma",
        "schedule.args.step",
        "schedule.args.step_size",
        "policies[0].args.floor",
        "policies[1].name",
        "guardrails.min_lr",
        "guardrails.max_ratio_per_step",
        "train",
        "train.seed",
    }


def test_a_schedule_that_states_its_peak_refuses_groups_with_their_own():
    document = with_value(("schedule",), {"name": "OneCycleLR", "args": {"max_lr": 0.1}})

    [mistake] = mistakes(document)

    assert mistake.startswith("schedule.args")


def test_a_run_counted_in_epochs_is_not_blamed_for_its_unknown_length():
    document = with_value(("train",), {"epochs": 1})
    document["schedule"]["args"]["warmup_steps"] = 10**6

    assert mistakes(document) == []


def test_somebody_elses_plugin_is_not_imported_unless_asked():
    document = with_value(("schedule",), {"name": "no_such_module_at_all:curve"})

    assert mistakes(document) == []
    [mistake] = mistakes(document, import_plugins=True)
    assert mistake.startswith("schedule.name = no_such_module_at_all:curve: cannot be imported")


def test_a_schedule_is_built_by_its_name():
    spec = ScheduleSpec(name="StepLR", args={"step_size": 2, "gamma": 0.5})
    curve = build_schedule(spec, ScheduleRun(lr=1.0, steps=4, steps_per_epoch=2))

    assert [curve.learning_rate(step) for step in range(4)] == [1.0, 1.0, 0.5, 0.5]


def test_a_policy_is_built_by_its_path():
    policy = build_policy(PolicySpec(name="rheostat_policies:LossSpike", args={"cut": 0.25}))

    assert isinstance(policy, LossSpike)
    assert policy.cut == 0.25


@pytest.mark.parametrize("name", ["builtins:dict", "os:abort.__doc__", "math:pi"])
def test_what_is_no_policy_is_refused(name):
    with pytest.raises(InvalidSpec, match=r"policies.name = "):
        build_policy(PolicySpec(name=name))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def paths_of(value, path=()):
    """Return the path of every value in a document, but that of the document itself."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in children:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from paths_of(inner, (*path, key))


@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(list(paths_of(VALID))), json_values), min_size=1, max_size=4
    )
)
def test_a_mutated_document_is_a_spec_or_a_list_of_mistakes(changes):
    document = copy.deepcopy(VALID)
    for path, value in changes:
        *holders, last = path
        inner = document
        try:
            for part in holders:
                inner = inner[part]
            inner[last] = value
        except (LookupError, TypeError):
            continue  # an earlier change has replaced what this one was for
    spec, violations = parse(document)

    assert (spec is None) == bool(violations)
    assert all(violation.field and violation.expected for violation in violations)


# Arguments of model and optimizer are the trainer's to check, and `args` are any mapping.
checked = [
    path
    for path in paths_of(VALID)
    if path[-1] != "args" and ("args" not in path or path[0] in ("schedule", "policies"))
]


@settings(max_examples=200, deadline=None)
@given(path=st.sampled_from(checked))
def test_a_value_of_a_wrong_type_is_named_by_its_path(path):
    wrong = {"unheard": "of"}
    fields = [violation.field for violation in parse(with_value(path, wrong))[1]]
    expected = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]

    assert any(field.startswith(expected) for field in fields)


@settings(max_examples=100, deadline=None)
@given(key=st.text(min_size=1).filter(lambda key: key not in VALID))
def test_an_unknown_key_is_named(key):
    assert key in [violation.field for violation in parse({**VALID, key: 1})[1]]


def test_a_malformed_field_hides_no_other_mistake_of_its_section():
    document = {
        "schedule": {"name": "StepLR", "arg": {}, "args": {"gama": 1}},
        "train": {"steps": 10},
        "policies": [{"name": "plateau", "shadow": "yes", "args": {"patience": -1}}],
    }

    fields = {violation.field for violation in parse(document)[1]}

    assert fields >= {
        "schedule.arg",
        "schedule.args.gama",
        "policies[0].shadow",
        "policies[0].args.patience",
    }


def test_a_groups_bounds_are_the_common_ones_after_a_spec_was_written_down_too():
    spec = Spec.model_validate(
        {
            "train": {"steps": 5},
            "guardrails": {
                "max_lr": 1.0,
                "cool_down_steps": 4,
                "min_lr": 1e-6,
                "groups": {"head": {"min_lr": 0.0}},
            },
        }
    )
    again = Spec.model_validate_json(spec.model_dump_json())

    head = again.guardrails.of("head")
    assert (head.max_lr, head.cool_down_steps, head.min_lr) == (1.0, 4, 0.0)
    assert again.guardrails.of("body").min_lr == 1e-6
