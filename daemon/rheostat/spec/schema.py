"""The JSON Schema of specs, for editors and for people who generate them.

`python -m rheostat.spec.schema` prints it; `schema.json` beside this file is the shipped copy.
"""

import json
from typing import Any

from rheostat.spec.models import Spec


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12); rules between fields are not in it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Spec.model_json_schema(),
        "title": "Rheostat spec",
        "description": "What a run trains, with which learning rate, under which guardrails.",
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
