from pydantic import BaseModel, Field

from rheostat.cluster.crd import custom_resource_definition
from rheostat.cluster.structural import structural

VERSION = custom_resource_definition()["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
RUN = SCHEMA["properties"]["spec"]["properties"]["run"]["properties"]


def test_bounds_are_written_as_kubernetes_has_them():
    class Model(BaseModel):
        lr: float = Field(gt=0, le=1)

    assert structural(Model.model_json_schema())["properties"]["lr"] == {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1,
    }


def test_a_bound_that_an_api_server_would_get_wrong_is_left_to_the_daemon():
    class Model(BaseModel):
        seed: int = Field(ge=0, lt=2**63)

    assert structural(Model.model_json_schema())["properties"]["seed"] == {
        "type": "integer",
        "minimum": 0,
    }


def test_what_may_be_none_is_nullable_and_a_default_is_left_to_the_daemon():
    class Model(BaseModel):
        steps: int | None = Field(default=None, ge=1, description="optimizer steps")

    assert structural(Model.model_json_schema())["properties"]["steps"] == {
        "type": "integer",
        "minimum": 1,
        "description": "optimizer steps",
        "nullable": True,
    }


def test_free_mappings_are_left_as_they_are():
    assert RUN["model"]["properties"]["args"] == {
        "type": "object",
        "description": "keyword arguments of the factory",
        "x-kubernetes-preserve-unknown-fields": True,
    }


def test_a_number_or_a_word_is_left_to_the_daemon():
    validation = RUN["data"]["properties"]["validation"]

    assert validation["x-kubernetes-preserve-unknown-fields"] is True
    assert "type" not in validation


def test_an_entry_of_groups_may_be_a_rule_or_any_preset():
    entry = RUN["groups"]["items"]

    assert entry["properties"]["preset"]["enum"] == [
        "head",
        "layer_decay",
        "muon_2d",
        "no_decay_1d",
        "tiers",
    ]
    assert {"name", "match", "decay", "tiers", "groups"} <= entry["properties"].keys()
    assert "required" not in entry


def places(schema, path="spec"):
    yield path, schema
    for name, member in schema.get("properties", {}).items():
        yield from places(member, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from places(schema[key], f"{path}.{key}")


def test_every_place_of_the_definition_has_a_structure():
    for path, schema in places(SCHEMA):
        is_open = schema.get("x-kubernetes-preserve-unknown-fields", False)
        members = {"properties", "additionalProperties", "items"} & schema.keys()
        is_metadata = path == "spec.metadata"

        assert is_open or "type" in schema, path
        if schema.get("type") in ("object", "array"):
            assert is_open or is_metadata or len(members) == 1, path
        assert not {"$ref", "anyOf", "const", "default", "title"} & schema.keys(), path


def test_kubectl_prints_phase_step_loss_lr_and_age():
    columns = [
        one["name"] for one in VERSION["additionalPrinterColumns"] if not one.get("priority")
    ]

    assert columns == ["Phase", "Step", "Loss", "LR", "Age"]
