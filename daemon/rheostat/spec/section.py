"""What every part of a spec is made of."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"

Args = dict[str, Any]
Name = Annotated[str, Field(pattern=NAME_PATTERN, description="a DNS-like name")]


class Section(BaseModel):
    """The base of every part of a spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
