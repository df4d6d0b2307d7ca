"""Policies that run inside the trainer: made when the run is built, or while it waits."""

import json

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.building import build_policy
from rheostat.spec.models import PolicySpec
from rheostat.steering.policies import AttachedPolicy, PolicyHangs
from rheostat.steering.records import PolicyEdit
from rheostat.trainer.interrupting import Interrupt
from rheostat_policies import POLICIES, RunInfo

ATTACHING_SECONDS = 30.0
"""Longest that a policy may take to be imported and to begin while the run waits."""


def make_policy(spec: PolicySpec, path: str, run: RunInfo) -> AttachedPolicy:
    """Make a policy for a run; only those from elsewhere are interrupted when they hang.

    Raises:
        InvalidSpec: if there is none of that name, or it refuses to begin.
    """
    policy = build_policy(spec, path=path)
    interrupt = None if spec.name in POLICIES else Interrupt
    try:
        return AttachedPolicy(spec.name, policy, run, is_shadow=spec.shadow, interrupt=interrupt)
    except Exception as error:  # somebody else's initial_state
        problem = f"initial_state failed with {type(error).__name__}: {error}"
        raise InvalidSpec([Violation(f"{path}.name", spec.name, problem)]) from error


def make_policy_live(edit: PolicyEdit, run: RunInfo) -> AttachedPolicy:
    """Make a policy while the run waits for it, which it does not do for ever.

    Raises:
        InvalidSpec: as `make_policy`, and if it takes too long.
    """
    spec = PolicySpec(name=edit.policy, args=json.loads(edit.args or "{}"), shadow=edit.shadow)
    try:
        with Interrupt(ATTACHING_SECONDS):
            return make_policy(spec, "policy", run)
    except PolicyHangs as error:
        raise InvalidSpec([Violation("policy.name", edit.policy, f"to begin: {error}")]) from error
