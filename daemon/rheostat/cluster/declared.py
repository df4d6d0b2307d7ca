"""What every part of a declaration is made of."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from rheostat.spec.section import Args, Section
from rheostat.steering.requests import MAX_REASON_LENGTH

_MAX_REASON_LENGTH = MAX_REASON_LENGTH // 2
"""What is left of a decision's reason names the resource."""

Reason = Annotated[
    str, Field(max_length=_MAX_REASON_LENGTH, description="why; kept in the decision record")
]
PluginArgs = Annotated[
    Args, AfterValidator(lambda args: {key: args[key] for key in args if args[key] is not None})
]
"""Arguments as in a spec. A null is left out, as Kubernetes does with one that it merges."""


class Declared(Section):
    """A section whose keys are written as Kubernetes writes them: `learningRate`."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)
