"""Requests for schedules and policies as changes, and their answers."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from rheostat.api import changes
from rheostat.api.filling import filled
from rheostat.api.translate import to_message
from rheostat.errors import InvalidRequest, Violation
from rheostat.runs.records import ChangeResult
from rheostat.steering.records import Change, PolicyEdit, RemoteTerms, ScheduleEdit, Verb
from rheostat.steering.wishes import check_wish, misplaced_wish
from rheostat.v1 import learning_rates_pb2 as pb
from rheostat.v1 import policies_pb2

_EDIT_REQUESTS: Mapping[Verb, type[Message]] = {
    Verb.SWAP: pb.SwapScheduleRequest,
    Verb.HORIZON: pb.SetHorizonRequest,
    Verb.COOLDOWN: pb.StartCooldownRequest,
    Verb.REWARM: pb.RewarmScheduleRequest,
}
_EDIT_FIELDS: Mapping[Verb, tuple[str, ...]] = {
    Verb.SWAP: ("schedule", "args", "rescale"),
    Verb.HORIZON: ("steps", "rescale"),
    Verb.COOLDOWN: ("steps", "shape", "ratio"),
    Verb.REWARM: ("steps", "ratio"),
}
"""Which fields of a `ScheduleEdit` come with a verb; called the same in its request."""

SCHEMA_VERSION = 1
"""Of observations; grows when a field changes its meaning, not when one is added."""
_OPTIONS = ("groups", "at_step", "reason", "request_id", "expected_revision")
"""Fields of a change that come within the `options` of such requests."""


def as_asked(error: InvalidRequest) -> InvalidRequest:
    """Return an error about such a change with the fields called as in its request."""
    return InvalidRequest(
        replace(one, field=f"options.{one.field}") if one.field.split("[")[0] in _OPTIONS else one
        for one in error.violations
    )


def given(request: Any, field: str, otherwise: Any = None) -> Any:
    """Return an optional field of a request, or something else where it is absent."""
    return getattr(request, field) if request.HasField(field) else otherwise


def edit_of(verb: Verb, request: Any) -> Change:
    """Return the change that a request for a schedule asks for."""
    usual = ScheduleEdit()
    fields = {
        field: given(request, field, getattr(usual, field))
        if request.DESCRIPTOR.fields_by_name[field].has_presence
        else getattr(request, field)
        for field in _EDIT_FIELDS[verb]
    }
    return _change(verb, request.options, edit=ScheduleEdit(**fields))


def attaching_of(request: policies_pb2.AttachPolicyRequest) -> Change:
    """Return the change that a request asks for."""
    policy = PolicyEdit(policy=request.policy, args=request.args, shadow=request.shadow)
    return _change(Verb.ATTACH, request.options, policy=policy)


def detaching_of(request: policies_pb2.DetachPolicyRequest) -> Change:
    """Return the change that a request asks for."""
    policy = PolicyEdit(policy=request.policy, ramp_steps=given(request, "ramp_steps", 1))
    return _change(Verb.DETACH, request.options, policy=policy)


def update_of(request: policies_pb2.UpdatePolicyRequest) -> Change:
    """Return the change that a request asks for.

    Raises:
        InvalidRequest: if it asks for none.
    """
    policy = PolicyEdit(policy=request.policy)
    match request.WhichOneof("change"):
        case "shadow":
            verb = Verb.SHADOW if request.shadow else Verb.ENGAGE
        case "revive" if request.revive:
            verb = Verb.REVIVE
        case _:
            raise InvalidRequest([Violation("change", "", "shadow, or revive = true")])
    return _change(verb, request.options, policy=policy)


def hello_of(request: policies_pb2.PolicyHello) -> Change:
    """Return the change that makes the caller a policy.

    Raises:
        InvalidRequest: with every mistake in it, the fields called as in the request.
    """
    usual = RemoteTerms()
    terms = RemoteTerms(
        mode=request.mode or usual.mode,
        deadline=given(request, "deadline"),
        every=given(request, "every", usual.every),
        observes=tuple(request.observes),
        hold_steps=given(request, "hold_steps", usual.hold_steps),
        relax_steps=given(request, "relax_steps", usual.relax_steps),
    )
    policy = PolicyEdit(policy=request.policy, shadow=request.shadow, remote=terms)
    change = Change(verb=Verb.ATTACH, policy=policy)
    violations = [*_strangeness(request), *check_wish(change)]
    if violations:
        raise InvalidRequest(replace(one, field=f"hello.{one.field}") for one in violations)
    return change


def _strangeness(hello: policies_pb2.PolicyHello) -> Iterator[Violation]:
    """Yield why nobody can know what a hello is about."""
    if not hello.run:
        yield Violation("run", "", "the name of a run")
    if hello.schema_version != SCHEMA_VERSION:
        expected = f"{SCHEMA_VERSION}, the only version of observations there is"
        yield Violation("schema_version", str(hello.schema_version), expected)


def request_of(run: str, change: Change, wait: bool) -> tuple[str, Message]:
    """Return the RPC, as `Service/Method`, and the request that ask for a change of a run.

    Raises:
        InvalidRequest: if the request has no place for what the change says.
    """
    verb, edit, policy = change.verb, change.edit, change.policy
    # Whether the wish is right is for the daemon to say, which has plug-ins of its own.
    misplaced = list(misplaced_wish(change))
    if misplaced:
        raise InvalidRequest(misplaced)
    if edit is None and policy is None:
        return "LearningRates/ChangeLearningRate", changes.request_of(run, change, wait)
    options = _options(change, wait)
    if edit is not None:
        own = {field: getattr(edit, field) for field in _EDIT_FIELDS[verb]}
        kind = _EDIT_REQUESTS[verb]
        return f"LearningRates/{kind.__name__.removesuffix('Request')}", filled(
            kind, run=run, options=options, **own
        )
    assert policy is not None
    match verb:
        case Verb.ATTACH:
            own = {"args": policy.args, "shadow": policy.shadow}
            kind = policies_pb2.AttachPolicyRequest
        case Verb.DETACH:
            own, kind = {"ramp_steps": policy.ramp_steps}, policies_pb2.DetachPolicyRequest
        case Verb.REVIVE:
            own, kind = {"revive": True}, policies_pb2.UpdatePolicyRequest
        case _:
            own, kind = {"shadow": verb is Verb.SHADOW}, policies_pb2.UpdatePolicyRequest
    method = kind.__name__.removesuffix("Request")
    request = filled(kind, run=run, policy=policy.policy, options=options, **own)
    return f"Policies/{method}", request


def response_of(result: ChangeResult) -> pb.ChangeLearningRateResponse:
    """Return the answer to a change of any kind."""
    response = pb.ChangeLearningRateResponse(
        request_id=result.request_id, dry_run=result.dry_run, pending=result.decision is None
    )
    decision = result.decision
    if decision is not None:
        response.revision = decision.revision
        response.applied_step = decision.applied_step
        response.guardrails.extend(decision.guardrails)
        for group in decision.groups:
            response.groups.add(name=group.name, old=group.old, new=group.new)
        to_message(decision, response.decision)
    return response


def _options(change: Change, wait: bool) -> pb.ChangeOptions:
    """Return what all such requests may say; a number for LRs has no place in them."""
    numbers = {"value": change.value, "steps": change.steps}
    misplaced = [
        Violation(name, str(number), f"nothing: {change.verb} takes no {name}")
        for name, number in numbers.items()
        if number is not None
    ]
    if misplaced:
        raise InvalidRequest(misplaced)
    return filled(
        pb.ChangeOptions,
        groups=change.groups,
        at_step=change.at_step,
        reason=change.reason,
        request_id=change.request_id,
        expected_revision=change.expected_revision,
        dry_run=change.dry_run,
        wait=wait,
    )


def _change(verb: Verb, options: pb.ChangeOptions, **wish: Any) -> Change:
    return Change(
        verb=verb,
        groups=tuple(options.groups),
        at_step=given(options, "at_step"),
        reason=options.reason,
        request_id=options.request_id,
        expected_revision=given(options, "expected_revision"),
        dry_run=options.dry_run,
        **wish,
    )
