"""Bearer tokens: made once, kept as hashes only, one line each.

    # principal  hash  role
    ada sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 operator

A token is 256 random bits, so a plain SHA-256 of it can neither be guessed nor looked up. One
principal may have several lines, which is how a token is rotated. The role holds for all runs; a
token without one may do what a file of roles allows its principal.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rheostat.door.identity import MAX_NAME_LENGTH, Identity, Presented, Proof, is_name
from rheostat.door.reloading import Reloaded
from rheostat.door.roles import Role
from rheostat.errors import InvalidRequest, Violation

_LINE = re.compile(
    rf"(?P<principal>\S+) sha256:(?P<digest>[0-9a-fA-F]{{64}})( (?P<role>{'|'.join(Role)}))?"
)
_SEPARATOR = re.compile(r"[\s#]")
_PREFIX = "rheostat_"  # so that scanners for leaked secrets can know one when they see it


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token at the one moment at which it is known."""

    principal: str
    token: str = field(repr=False)
    role: Role | None = None

    @property
    def line(self) -> str:
        """What the token file needs."""
        role = f" {self.role}" if self.role is not None else ""
        return f"{self.principal} sha256:{_hash(self.token).hex()}{role}"


def new_token(principal: str, role: Role | None = None) -> NewToken:
    """Make a random token.

    Args:
        principal: whose it is.
        role: what it allows, for all runs; None leaves that to a file of roles.

    Raises:
        InvalidRequest: if the principal cannot stand in a token file.
    """
    if not is_name(principal) or _SEPARATOR.search(principal):
        expected = f"a name of 1 to {MAX_NAME_LENGTH} printable characters without spaces or #"
        raise InvalidRequest([Violation("name", principal, expected)])
    return NewToken(principal, _PREFIX + secrets.token_urlsafe(32), role)


class TokenFile:
    """Knows callers by the tokens of a file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            InvalidRequest: if it cannot be read or a line is malformed.
        """
        self._identities = Reloaded([path], lambda: _read(path))

    async def identify(self, presented: Presented) -> Identity | None:
        """Return whose token is presented."""
        if presented.token is None:
            return None
        asked = _hash(presented.token)
        found = None
        # Every line is looked at, so that the time taken tells nothing of where a match is.
        for known, identity in self._identities.current().items():
            if hmac.compare_digest(known, asked):
                found = identity
        return found


def _read(path: Path) -> Mapping[bytes, Identity]:
    """Return identities by the hash of their token."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        expected = f"a file of lines as `rheostat token NAME` prints them ({error})"
        raise InvalidRequest([Violation("tokens", str(path), expected)]) from error
    identities: dict[bytes, Identity] = {}
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        # The line may hold a token that was pasted by mistake, so it is not shown.
        place = f"{path}, line {number}"
        parsed = _LINE.fullmatch(" ".join(words))
        if parsed is None or not is_name(parsed["principal"]):
            roles = ", ".join(Role)
            expected = f"`<principal> sha256:<64 hexadecimal digits>`, and a role ({roles}) if any"
            raise InvalidRequest([Violation("tokens", place, expected)])
        digest = bytes.fromhex(parsed["digest"])
        if digest in identities:
            raise InvalidRequest([Violation("tokens", place, "a token that no other line has")])
        role = Role(parsed["role"]) if parsed["role"] else None
        identities[digest] = Identity(parsed["principal"], Proof.TOKEN, role)
    return identities


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
