"""What a script that is attached says of itself: as much of a spec as it has."""

import json
from typing import Any

from pydantic import Field, ValidationError

from rheostat.errors import InvalidSpec
from rheostat.spec.loading import read_document
from rheostat.spec.models import GuardrailsSpec, PolicySpec
from rheostat.spec.section import Args, Name, Section
from rheostat.spec.wording import violations_of


class NamedSpec(Section):
    """The optimizer or the scheduler of a script, which the daemon knows by its class alone."""

    name: str = Field(max_length=200)
    args: Args = Field(default_factory=dict)


class LengthSpec(Section):
    """How long the script means to train."""

    steps: int | None = Field(default=None, ge=1, description="optimizer steps, if it knows")
    seed: int = Field(default=0, ge=0, lt=2**63, description="for policies that draw numbers")


class AttachedSpec(Section):
    """A script of the user's own, as a run."""

    name: Name = Field(default="run")
    optimizer: NamedSpec
    schedule: NamedSpec
    policies: tuple[PolicySpec, ...] = ()
    guardrails: GuardrailsSpec = Field(default_factory=GuardrailsSpec)
    train: LengthSpec = Field(default_factory=LengthSpec)


def load_attached(text: str) -> AttachedSpec:
    """Return what YAML or JSON text says.

    Raises:
        InvalidSpec: with every mistake in it.
    """
    return attached_spec(read_document(text, "spec"))


def attached_spec(document: Any) -> AttachedSpec:
    """Return what a document says.

    Raises:
        InvalidSpec: with every mistake in it.
    """
    try:
        return AttachedSpec.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as failure:
        errors = failure.errors(include_url=False)
        raise InvalidSpec(violations_of(errors, document)) from None
