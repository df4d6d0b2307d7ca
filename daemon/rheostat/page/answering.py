"""Answers as JSON, and errors as answers: the one table of HTTP statuses."""

from typing import Any

import msgspec
from aiohttp import web

import rheostat.errors as errors
from rheostat.errors import InvalidRequest, ResourceExhausted, RheostatError, Unauthenticated
from rheostat.web.presenting import CHALLENGE

STATUS_OF: dict[type[RheostatError], tuple[int, str]] = {
    errors.InvalidRequest: (400, "invalid_argument"),
    errors.Unauthenticated: (401, "unauthenticated"),
    errors.PermissionDenied: (403, "permission_denied"),
    errors.NotFound: (404, "not_found"),
    errors.FailedPrecondition: (409, "failed_precondition"),
    errors.RevisionConflict: (409, "aborted"),
    errors.ResourceExhausted: (429, "resource_exhausted"),
    errors.StorageFailed: (503, "unavailable"),
    errors.DeadlineExceeded: (504, "deadline_exceeded"),
}
"""Status and code of every error that reaches a caller; a class without a row has its parent's."""
_INTERNAL = (500, "internal")


def answer(content: Any, *, status: int = 200) -> web.Response:
    """Return an answer; records become objects, and numbers that JSON lacks null."""
    response = web.Response(
        body=msgspec.json.encode(content), status=status, content_type="application/json"
    )
    response.enable_compression()
    return response


def refusal(error: RheostatError) -> web.Response:
    """Return the answer that tells a caller of an error: `{code, message, violations}`."""
    status, code = next(
        (STATUS_OF[cls] for cls in type(error).__mro__ if cls in STATUS_OF), _INTERNAL
    )
    violations = error.violations if isinstance(error, InvalidRequest) else ()
    response = answer(
        {
            "code": code,
            "message": str(error),
            "violations": [
                {"field": one.field, "value": one.value, "expected": one.expected}
                for one in violations
            ],
        },
        status=status,
    )
    if isinstance(error, Unauthenticated):
        response.headers.update(CHALLENGE)
    if isinstance(error, ResourceExhausted) and error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return response
