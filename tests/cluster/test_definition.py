"""The definition of TrainingRun, in the eyes of the API server."""

from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from ruamel.yaml import YAML

FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES = sorted(set(FOLDER.glob("*.yaml")) - set(FOLDER.glob("*learn_*.yaml")))
EXAMPLES.remove(FOLDER / "evaluate_learned.yaml")
"""Specs of runs; the others configure a learner, and what it is compared with."""
RUN = {"train": {"steps": 10}}


def test_the_api_server_accepts_the_definition_and_finds_it_structural(cluster):
    api = client.ApiextensionsV1Api(cluster.client())

    definition = api.read_custom_resource_definition("trainingruns.rheostat.dev")

    conditions = {one.type: one.status for one in definition.status.conditions}
    assert conditions["Established"] == conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"run": {"train": {"steps": 0}}}, "spec.run.train.steps"),
        ({"run": {"train": {"steps": "many"}}}, "spec.run.train.steps"),
        ({"run": {**RUN, "name": "Not A Name"}}, "spec.run.name"),
        ({"run": {**RUN, "optimizer": {"lr": 0}}}, "spec.run.optimizer.lr"),
        ({"run": {**RUN, "train": {"precision": "float8"}}}, "spec.run.train.precision"),
        ({"run": {}}, "spec.run.train"),
        ({"run": RUN, "learningRate": {"scale": -1}}, "spec.learningRate.scale"),
        ({"run": RUN, "learningRate": {"scale": 1, "hold": 1}}, "spec.learningRate"),
        ({"run": RUN, "learningRate": {"groups": {"a": {"set": 1, "hold": 1}}}}, "groups.a"),
        ({"run": RUN, "schedule": {"swap": {}}}, "spec.schedule.swap.name"),
        ({"run": RUN, "schedule": {"rewarm": {"steps": 0}}}, "spec.schedule.rewarm.steps"),
        ({"run": RUN, "policies": {"plateau": {"state": "asleep"}}}, "policies.plateau.state"),
        ({"run": RUN, "suspend": "later"}, "spec.suspend"),
    ],
)
def test_an_invalid_resource_is_refused_with_its_path(apply, spec, field):
    with pytest.raises(ApiException) as refused:
        apply("invalid", **spec)

    assert refused.value.status == 422
    assert field in refused.value.body


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_is_kept_as_it_was_written(apply, file):
    run = YAML(typ="safe").load(file)

    kept = apply(f"example-{file.stem.replace('_', '-')}", run).get()

    assert kept["spec"]["run"] == run


def test_a_spec_with_everything_is_kept_as_it_was_written(apply):
    run = {
        "name": "everything",
        "model": {"name": "my.models:build", "args": {"layers": [1, {"wide": True}], "rate": 0.5}},
        "data": {"name": "mnist", "root": "/data", "validation": "test", "args": {"flip": True}},
        "optimizer": {"name": "AdamW", "lr": 1e-3, "args": {"betas": [0.9, 0.95]}},
        "groups": [
            {"name": "head", "match": "^head", "lr": 1e-4, "optimizer": {"name": "SGD", "lr": 0.1}},
            {"preset": "layer_decay", "decay": 0.75},
            {"preset": "no_decay_1d", "groups": ["head"]},
        ],
        "schedule": {"name": "warmup_cosine", "args": {"warmup": "0.1dur"}},
        "policies": [{"name": "plateau", "args": {"patience": 5}}],
        "guardrails": {
            "max_lr": 1.0,
            "max_ratio_per_window": {"ratio": 2.0, "steps": 100},
            "groups": {"head": {"min_lr": 1e-6}},
        },
        "train": {"epochs": 2.5, "seed": 2**63 - 1, "grad_clip": 1.0, "precision": "bfloat16"},
        "evaluate": {"every": 100},
    }

    assert apply("everything", run).get()["spec"]["run"] == run


def test_a_declaration_with_everything_is_kept_as_it_was_written(apply):
    declared = {
        "learningRate": {"scale": 0.5, "groups": {"head": {"hold": 1e-4}}, "reason": "why"},
        "schedule": {
            "horizon": {"steps": 2000, "rescale": False},
            "swap": {"name": "sequence", "args": {"parts": [{"name": "linear"}]}, "groups": ["a"]},
            "rewarm": {"steps": 5, "ratio": 0.25},
            "cooldown": {"steps": 7, "shape": "linear"},
        },
        "policies": {"my.rules:Calm": {"state": "shadow", "args": {"deep": {"er": [1, 2]}}}},
    }

    assert apply("declared", RUN, **declared).get()["spec"] == {"run": RUN, **declared}


def test_data_may_be_validated_on_a_share_too(apply):
    run = {**RUN, "data": {"validation": 0.1}}

    assert apply("share", run).get()["spec"]["run"] == run


def test_a_status_is_written_beside_the_spec(cluster, apply):
    resource = apply("reported", RUN)
    api = client.CustomObjectsApi(cluster.client())
    where = {
        "group": "rheostat.dev",
        "version": "v1alpha1",
        "namespace": "ml",
        "plural": "trainingruns",
        "name": "reported",
    }

    api.patch_namespaced_custom_object_status(
        **where,
        body={
            "spec": {"suspend": True},
            "status": {
                "phase": "running",
                "display": {"step": "5/10", "loss": "0.25", "learningRate": "0.001"},
            },
        },
        _content_type="application/merge-patch+json",
    )

    kept = resource.get()
    assert kept["metadata"]["generation"] == 1
    assert "suspend" not in kept["spec"]
    row = cluster.table()["reported"]
    assert [row[name] for name in ("Phase", "Step", "Loss", "LR")] == [
        "running",
        "5/10",
        "0.25",
        "0.001",
    ]
    assert "Age" in row
