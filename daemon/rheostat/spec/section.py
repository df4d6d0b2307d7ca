"""What every part of a spec is made of."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

NAME_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"

Args = dict[str, Any]
Name = Annotated[str, Field(pattern=NAME_PATTERN, description="a DNS-like name")]


S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """The base of every part of a spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def salvaged(model: type[S], value: Any) -> S | None:
    """Return one section by itself, without those of its fields that are malformed.

    So a section can be looked at further where somebody else tells of these. None where it is no
    mapping, or where what is malformed is its name or a field that it cannot do without.
    """
    for _ in range(2):
        try:
            return model.model_validate_json(json.dumps(value), strict=True)
        except ValidationError as failure:
            malformed = {error["loc"][0] for error in failure.errors() if error["loc"]}
            if not isinstance(value, Mapping) or "name" in malformed or not malformed:
                return None
            value = {key: one for key, one in value.items() if key not in malformed}
    return None
