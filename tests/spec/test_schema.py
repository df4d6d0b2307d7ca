import json
from importlib.resources import files

from rheostat.spec.models import Spec
from rheostat.spec.schema import json_schema


def test_the_shipped_schema_is_up_to_date():
    shipped = json.loads((files("rheostat.spec") / "schema.json").read_text())

    assert shipped == json_schema(), "run: python -m rheostat.spec.schema > .../spec/schema.json"


def test_the_schema_names_its_draft_and_every_key():
    schema = json_schema()

    assert schema["$schema"].endswith("2020-12/schema")
    assert set(schema["properties"]) == set(Spec.model_fields)
    assert schema["additionalProperties"] is False


def test_the_keys_of_a_spec_are_a_promise():
    assert list(Spec.model_fields) == [
        "name",
        "model",
        "data",
        "optimizer",
        "groups",
        "schedule",
        "policies",
        "guardrails",
        "train",
        "evaluate",
        "checkpoint",
    ]
