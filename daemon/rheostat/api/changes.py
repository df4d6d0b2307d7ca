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
    """Return the request that asks for a change of a run."""
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
