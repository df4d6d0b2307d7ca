"""Requests out of values, where a value that no request can hold is refused by its field's name."""

from typing import Any, TypeVar

from google.protobuf.message import Message

from rheostat.errors import InvalidRequest, Violation

M = TypeVar("M", bound=Message)


def filled(kind: type[M], **fields: Any) -> M:
    """Return a message with these fields; one that is None stays absent.

    Raises:
        InvalidRequest: if a number is too large, or a text has characters that UTF-8 has not.
    """
    message, violations = kind(), []
    for name, value in fields.items():
        try:
            message.MergeFrom(kind(**{name: value}))
        except UnicodeEncodeError:
            violations.append(Violation(name, ascii(value), "text without broken characters"))
        except ValueError:
            violations.append(Violation(name, str(value), "a number of 64 bits"))
    if violations:
        raise InvalidRequest(violations)
    return message
