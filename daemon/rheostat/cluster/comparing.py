"""The spec that a run began with, and whether its resource still asks for that."""

import json
from collections.abc import Mapping
from functools import lru_cache

from rheostat.cluster.resources import TrainingRun
from rheostat.errors import InvalidSpec
from rheostat.runs.records import RunView
from rheostat.spec.attached import load_attached
from rheostat.spec.models import PolicySpec, Spec
from rheostat.spec.validation import load


def asks_for_another(resource: TrainingRun, run: RunView, daemon: str) -> bool:
    """Whether a resource asks for another run by now, or for another daemon than has it."""
    wanted = resource.declaration.daemon if resource.declaration else None
    if wanted not in (None, daemon):
        return True
    if resource.is_attached:
        return bool(resource.run["name"] != run.name)
    spec = _spec_of(json.dumps(resource.run))
    return spec is None or spec != _spec_of(run.spec)


def own_policies(run: RunView) -> Mapping[str, PolicySpec]:
    """Return the policies that a run began with, by name."""
    spec = load_attached(run.spec) if run.attached else _spec_of(run.spec)
    return {policy.name: policy for policy in spec.policies} if spec else {}


@lru_cache(maxsize=1024)
def _spec_of(text: str) -> Spec | None:
    """Return the spec of a text that is asked for again and again; None if it is invalid."""
    try:
        return load(text)
    except InvalidSpec:
        return None
