"""What a script that is attached says of itself: as much of a spec as it has."""

import json
from typing import Any

from pydantic import Field, ValidationError

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.loading import foreign_values
from rheostat.spec.models import GuardrailsSpec, PolicySpec
from rheostat.spec.section import Args, Name, Section
from rheostat.spec.wording import violations_of

MAX_BYTES = 2**20


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
    """Return what JSON text says.

    Raises:
        InvalidSpec: if it does not.
    """
    if len(text) > MAX_BYTES:
        raise InvalidSpec([Violation("spec", f"{len(text)} characters", f"at most {MAX_BYTES}")])
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidSpec([Violation("spec", "", f"JSON ({error})")]) from None
    except RecursionError:
        raise InvalidSpec([Violation("spec", "", "must not be nested this deep")]) from None
    if violations := list(foreign_values(document)):
        raise InvalidSpec(violations)
    return attached_spec(document)


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
