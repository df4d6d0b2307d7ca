"""A change as a request, and a request as a change."""

from rheostat.api.filling import filled
from rheostat.errors import InvalidRequest, Violation
from rheostat.steering.records import Change, Verb
from rheostat.v1 import learning_rates_pb2 as pb

_NUMBERS = {
    Verb.SCALE: {"value": "factor"},
    Verb.RAMP: {"value": "learning_rate", "steps": "steps"},
    Verb.SET: {"value": "learning_rate"},
    Verb.HOLD: {"value": "learning_rate"},
    Verb.RELEASE: {},
}
"""Which numbers of a change come with a verb, and what they are called in its message."""


def request_of(run: str, change: Change, wait: bool) -> pb.ChangeLearningRateRequest:
    """Return the request that asks for a change of a run.

    Raises:
        InvalidRequest: if the request has no place for a number that the change has.
    """
    names = _NUMBERS[change.verb]
    numbers = {"value": change.value, "steps": change.steps}
    misplaced = [
        Violation(name, str(number), f"nothing: {change.verb} takes no {name}")
        for name, number in numbers.items()
        if number is not None and name not in names
    ]
    if misplaced:
        raise InvalidRequest(misplaced)
    request = filled(
        pb.ChangeLearningRateRequest,
        run=run,
        groups=change.groups,
        at_step=change.at_step,
        expires_after_steps=change.expires_after_steps,
        reason=change.reason,
        request_id=change.request_id,
        expected_revision=change.expected_revision,
        dry_run=change.dry_run,
        wait=wait,
    )
    wish = getattr(request, change.verb.value)
    wish.SetInParent()
    wish.MergeFrom(filled(type(wish), **{field: numbers[name] for name, field in names.items()}))
    return request


def as_asked(error: InvalidRequest, verb: Verb) -> InvalidRequest:
    """Return an error about a change with the fields called as in its request."""
    names = {name: f"{verb}.{field}" for name, field in _NUMBERS[verb].items()}
    return InvalidRequest(
        Violation(names.get(one.field, one.field), one.value, one.expected)
        for one in error.violations
    )


def change_of(request: pb.ChangeLearningRateRequest) -> Change:
    """Return the change that a request asks for; who asks is not in it.

    Raises:
        InvalidRequest: if it has no verb.
    """
    name = request.WhichOneof("verb")
    if name is None:
        verbs = ", ".join(verb.value for verb in _NUMBERS)
        raise InvalidRequest([Violation("verb", "", f"one of {verbs}")])
    verb = Verb(name)
    wish = getattr(request, name)
    numbers = {
        name: getattr(wish, field) for name, field in _NUMBERS[verb].items() if wish.HasField(field)
    }
    return Change(
        verb=verb,
        **numbers,
        groups=tuple(request.groups),
        at_step=request.at_step if request.HasField("at_step") else None,
        expires_after_steps=(
            request.expires_after_steps if request.HasField("expires_after_steps") else None
        ),
        reason=request.reason,
        request_id=request.request_id,
        expected_revision=(
            request.expected_revision if request.HasField("expected_revision") else None
        ),
        dry_run=request.dry_run,
    )
