"""What is said between a run and a policy that is connected to it, in records."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from google.protobuf.message import Message

from rheostat.api.edits import SCHEMA_VERSION
from rheostat.api.filling import filled
from rheostat.api.translate import to_observation
from rheostat.client.calls import Call
from rheostat.errors import InvalidRequest, Violation
from rheostat.v1 import policies_pb2 as pb
from rheostat_policies import Action, GroupInfo, Observation, RunInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What a policy may know of a run before its first observation."""

    run: str
    """Its name."""
    steps: int
    """Planned number of optimizer steps."""
    seed: int
    """The run's seed; a policy that draws random numbers derives its own from it."""
    groups: tuple[GroupInfo, ...]
    step: int
    """The first step that an answer can act on."""

    @property
    def info(self) -> RunInfo:
        """The same as a policy inside the trainer is told it."""
        return RunInfo(name=self.run, steps=self.steps, groups=self.groups, seed=self.seed)


Told = Welcome | Observation
"""What a policy is told: a welcome, and then observations."""


class Terms(TypedDict, total=False):
    """How a policy takes part in a run, as `Client.connect_policy` explains it."""

    mode: str
    deadline: float | None
    every: int
    hold_steps: int
    relax_steps: int
    shadow: bool


def connecting(
    run: str,
    name: str,
    *,
    mode: str,
    deadline: float | None,
    every: int,
    observes: tuple[str, ...],
    hold_steps: int,
    relax_steps: int,
    shadow: bool,
) -> Call[Told]:
    """Return the call whose request is the hello and whose answers begin with the welcome."""

    def read(response: pb.ConnectPolicyResponse) -> Told:
        if response.WhichOneof("message") == "welcome":
            return _welcome(response.welcome)
        return to_observation(response.observation)

    hello = filled(
        pb.PolicyHello,
        run=run,
        policy=name,
        schema_version=SCHEMA_VERSION,
        mode=mode,
        deadline=deadline,
        every=every,
        observes=observes,
        hold_steps=hold_steps,
        relax_steps=relax_steps,
        shadow=shadow,
    )
    request = pb.ConnectPolicyRequest(hello=hello)
    path = "/rheostat.v1.Policies/ConnectPolicy"
    return Call(path, request, pb.ConnectPolicyResponse, read)


def answering(observation: Observation, action: Action) -> Message:
    """Return the message that answers an observation.

    Raises:
        InvalidRequest: if a number has more than 64 bits, the reason is no text, or it asks for a
            probe, which is made for policies inside the trainer alone.
    """
    if action.probe is not None:
        expected = "none over the network: attach the policy by its name, to run in the trainer"
        raise InvalidRequest([Violation("probe", str(action.probe), expected)])
    factor = action.factor
    is_by_group = isinstance(factor, Mapping)
    answer = filled(
        pb.PolicyAction,
        step=observation.step,
        factor=None if is_by_group else factor,
        factors=factor if is_by_group else None,
        ramp_steps=action.ramp_steps,
        reason=action.reason,
    )
    return pb.ConnectPolicyRequest(action=answer)


def _welcome(message: pb.PolicyWelcome) -> Welcome:
    groups = tuple(GroupInfo(name=one.name, parameters=one.parameters) for one in message.groups)
    return Welcome(
        run=message.run,
        steps=message.steps,
        seed=message.seed,
        groups=groups,
        step=message.step,
    )
