"""What a request asks for: from its query or its JSON to what the runs understand."""

import re
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web

from rheostat.errors import InvalidRequest, Violation
from rheostat.runs.messages import RollbackCommand
from rheostat.runs.returning import mistakes
from rheostat.steering.records import Change, Verb

VERBS = (Verb.SCALE, Verb.RAMP, Verb.SET, Verb.HOLD, Verb.RELEASE)
"""What the page asks of LRs. The other verbs may name code, and take more than an operator."""
_MOST = 2**63 - 1
Number = Annotated[int, msgspec.Meta(ge=-_MOST, le=_MOST)]
T = TypeVar("T")


class ChangeAsked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The JSON of a change; fields as in `Change`."""

    verb: str
    value: float | None = None
    steps: Number | None = None
    groups: tuple[str, ...] = ()
    at_step: Number | None = None
    expires_after_steps: Number | None = None
    reason: str = ""
    request_id: str = ""
    expected_revision: Number | None = None
    dry_run: bool = False

    def change(self, principal: str) -> Change:
        """Return the change that somebody asks for."""
        if self.verb not in {verb.value for verb in VERBS}:
            expected = f"one of {', '.join(verb.value for verb in VERBS)}"
            raise InvalidRequest([Violation("verb", self.verb, expected)])
        fields = {**msgspec.structs.asdict(self), "verb": Verb(self.verb)}
        return Change(**fields, principal=principal)


class RollbackAsked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The JSON of a wish to go back; fields as in `RollbackCommand`."""

    step: Number | None = None
    back_steps: Number | None = None
    skip: Number = 0
    rewarm_steps: Number = 0
    scale: float | None = None
    reason: str = ""
    request_id: str = ""
    dry_run: bool = False

    def command(self, principal: str) -> RollbackCommand:
        """Return the command that somebody wishes for."""
        fields = msgspec.structs.asdict(self)
        del fields["dry_run"]
        command = RollbackCommand(command_id=0, principal=principal, **fields)
        if violations := list(mistakes(command)):
            raise InvalidRequest(violations)
        return command


async def body(request: web.Request, kind: type[T]) -> T:
    """Return what a request's JSON says.

    Raises:
        InvalidRequest: if it says something else.
    """
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".") or "request"
        raise InvalidRequest([Violation(field, "", _expected(text))]) from error
    except RecursionError:
        raise InvalidRequest([Violation("request", "", "nested less deep")]) from None


def number(
    request: web.Request, name: str, usual: int, *, least: int = 0, most: int = _MOST
) -> int:
    """Return a number of a request's query; the usual one where it is not there.

    Raises:
        InvalidRequest: if it is none, or too small or too large.
    """
    found = optional_number(request, name, least=least, most=most)
    return usual if found is None else found


def optional_number(
    request: web.Request, name: str, *, least: int = 0, most: int = _MOST
) -> int | None:
    """Return a number of a request's query, None where it is not there; see `number`."""
    text = request.query.get(name)
    if text is None:
        return None
    if re.fullmatch(r"-?[0-9]{1,18}", text) and least <= int(text) <= most:
        return int(text)
    upper = "" if most == _MOST else f" to {most}"
    raise InvalidRequest([Violation(name, text[:40], f"a number, {least}{upper or ' or more'}")])


def _expected(text: str) -> str:
    return text[:1].lower() + text[1:].replace("`", "")
