"""A change as a request, and a request as a change."""

from rheostat.errors import InvalidRequest, Violation
from rheostat.steering.records import Change, Verb
from rheostat.v1 import learning_rates_pb2 as pb

_VALUE_FIELD = {
    Verb.SCALE: "factor",
    Verb.RAMP: "learning_rate",
    Verb.SET: "learning_rate",
    Verb.HOLD: "learning_rate",
}
"""What the number that comes with a verb is called in its message."""


def request_of(run: str, change: Change, wait: bool) -> pb.ChangeLearningRateRequest:
    """Return the request that asks for a change of a run.

    Raises:
        InvalidRequest: if a number does not fit into the request.
    """
    _check_size(change)
    request = pb.ChangeLearningRateRequest(
        run=run,
        groups=change.groups,
        at_step=change.at_step,
        expires_after_steps=change.expires_after_steps,
        reason=change.reason,
        request_id=change.request_id,
        expected_revision=change.expected_revision,
        wait=wait,
    )
    verb = getattr(request, change.verb.value)
    verb.SetInParent()
    if change.value is not None and change.verb in _VALUE_FIELD:
        setattr(verb, _VALUE_FIELD[change.verb], change.value)
    if change.steps is not None and change.verb is Verb.RAMP:
        verb.steps = change.steps
    return request


def as_asked(error: InvalidRequest, verb: Verb) -> InvalidRequest:
    """Return an error about a change with the fields called as in its request."""
    names = {"steps": f"{verb}.steps"}
    if verb in _VALUE_FIELD:
        names["value"] = f"{verb}.{_VALUE_FIELD[verb]}"
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
        verbs = ", ".join(verb.value for verb in Verb)
        raise InvalidRequest([Violation("verb", "", f"one of {verbs}")])
    verb = Verb(name)
    wish = getattr(request, name)
    return Change(
        verb=verb,
        value=getattr(wish, _VALUE_FIELD[verb]) if verb in _VALUE_FIELD else None,
        steps=wish.steps if verb is Verb.RAMP else None,
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
    )


def _check_size(change: Change) -> None:
    numbers = ("steps", "at_step", "expires_after_steps", "expected_revision")
    violations = [
        Violation(name, str(value), "a number of 64 bits")
        for name in numbers
        if (value := getattr(change, name)) is not None and not -(2**63) <= value < 2**63
    ]
    if violations:
        raise InvalidRequest(violations)
