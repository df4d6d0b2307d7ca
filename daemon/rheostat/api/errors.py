"""Errors as gRPC statuses, and back: the one table of public codes.

A status carries `google.rpc.ErrorInfo` with the error's class name as its reason, and for invalid
requests `google.rpc.BadRequest` with a violation per field, for limits `google.rpc.RetryInfo` where
it is known when to ask again. What nobody raised on purpose becomes
INTERNAL with a sentence and no details: tracebacks are for the daemon's log.

All of that travels in HTTP/2 trailers, of which gRPC clients take 8 KiB unless told otherwise. So
texts are cut, and of very many violations the first are sent with the number of the others.
"""

from asyncio import CancelledError
from collections.abc import Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

import rheostat.errors as errors
from rheostat.errors import InvalidRequest, RheostatError, Unreachable, Violation

DOMAIN = "rheostat"
_MAX_MESSAGE_BYTES = 600
_MAX_FIELD_BYTES = 300
_MAX_VIOLATIONS_BYTES = 4000
_DISTRUST = ("handshake failed", "verification check failed")
_HANGING_UP = ("Socket closed", "Connection reset")

STATUS_OF: dict[type[RheostatError], int] = {
    errors.InvalidSpec: code_pb2.INVALID_ARGUMENT,
    errors.InvalidRequest: code_pb2.INVALID_ARGUMENT,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.FailedPrecondition: code_pb2.FAILED_PRECONDITION,
    errors.RevisionConflict: code_pb2.ABORTED,
    errors.ResourceExhausted: code_pb2.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: code_pb2.DEADLINE_EXCEEDED,
    errors.Unauthenticated: code_pb2.UNAUTHENTICATED,
    errors.PermissionDenied: code_pb2.PERMISSION_DENIED,
    errors.StorageFailed: code_pb2.UNAVAILABLE,
}
"""The code of every error that reaches a caller; a class without a row has its parent's."""
MISTAKE: grpc.Status = rpc_status.to_status(
    status_pb2.Status(
        code=code_pb2.INTERNAL, message="the daemon made a mistake; its log has the details"
    )
)
"""What a caller is told of an error that nobody raised on purpose."""


async def abort(context: grpc.aio.ServicerContext[Any, Any], status: grpc.Status) -> NoReturn:
    """End a call with a status; it is cancelled where nobody is there any more to be told."""
    try:
        await context.abort_with_status(status)
    except grpc.aio.InternalError:
        raise CancelledError from None
    raise AssertionError("abort raises")


def to_status(error: RheostatError) -> grpc.Status:
    """Return the status that tells a caller of an error."""
    code = next(
        (STATUS_OF[cls] for cls in type(error).__mro__ if cls in STATUS_OF), code_pb2.INTERNAL
    )
    details = [_packed(ErrorInfo(reason=type(error).__name__, domain=DOMAIN))]
    if isinstance(error, InvalidRequest):
        details.append(_packed(_bad_request(error.violations)))
    if isinstance(error, errors.ResourceExhausted) and error.retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after * 1e9))
        details.append(_packed(retry))
    message = _cut(str(error), _MAX_MESSAGE_BYTES)
    made: grpc.Status = rpc_status.to_status(
        status_pb2.Status(code=code, message=message, details=details)
    )
    return made


def from_rpc_error(error: grpc.RpcError, address: str) -> RheostatError:
    """Return the error that the other side raised.

    Args:
        error: what gRPC raised.
        address: of the daemon, for the message when nobody answers there.
    """
    call: Any = error
    reason, violations = "", []
    for detail in _details(call):
        info, bad = ErrorInfo(), BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            violations = [_violation(one) for one in bad.field_violations]
    known = getattr(errors, reason, None) if reason else None
    if isinstance(known, type) and issubclass(known, InvalidRequest):
        return known(violations)
    if isinstance(known, type) and issubclass(known, RheostatError):
        return known(call.details())
    return _without_details(call, address)


def _without_details(call: Any, address: str) -> RheostatError:
    """Translate a status that gRPC itself made up."""
    code, text = call.code(), call.details()
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unreachable(_why_unreachable(address, text or ""))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded(
            "the daemon did not answer in time; a change that was accepted is still on its way, "
            "and the same request_id asks for it again"
        )
    return RheostatError(f"{code.name}: {text}")


def _why_unreachable(address: str, text: str) -> str:
    """Say what keeps a caller and a daemon apart, as far as gRPC's own words tell."""
    if "failed to connect" in text and any(words in text for words in _DISTRUST):
        why = text.rpartition("error: ")[2].rpartition("OPENSSL_internal:")[2].rstrip(".")
        return (
            f"{address} is there but does not prove to be the daemon ({why}): is it one that "
            "speaks TLS, --ca the CA of its certificate, and --server-name a name in it?"
        )
    if "failed to connect" in text and any(words in text for words in _HANGING_UP):
        return (
            f"{address} is there but hangs up: it may speak TLS, which --ca is for, or want a "
            "client certificate that it trusts, which --cert and --key are for"
        )
    return (
        f"no daemon answers at {address}; start one with `rheostat serve`, or name another "
        "with --address or RHEOSTAT_ADDRESS"
    )


def _details(call: Any) -> Sequence[AnyMessage]:
    try:
        status = rpc_status.from_call(call)
    except ValueError:  # gRPC put a status of its own over the daemon's
        return ()
    return status.details if status is not None else ()


def _bad_request(violations: Sequence[Violation]) -> BadRequest:
    """Tell as many violations as fit, at least one."""
    told = BadRequest()
    for index, one in enumerate(violations):
        field, value, expected = (
            _cut(text, _MAX_FIELD_BYTES) for text in (one.field, one.value, one.expected)
        )
        told.field_violations.add(
            field=field,
            description=f"{value}: {expected}" if value else expected,
            reason=value,  # which the description cannot be split into again
        )
        if told.ByteSize() > _MAX_VIOLATIONS_BYTES and index + 1 < len(violations):
            others = len(violations) - index - 1
            told.field_violations.add(field="…", description=f"and {others} more")
            break
    return told


def _cut(text: str, limit: int) -> str:
    """Return a text that fits into some bytes of UTF-8, lone surrogates written out."""
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - len("…".encode())].decode("utf-8", "ignore") + "…"


def _violation(one: Any) -> Violation:
    expected = one.description
    if one.reason:
        expected = expected.removeprefix(f"{one.reason}: ")
    return Violation(one.field, one.reason, expected)


def _packed(message: Any) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
