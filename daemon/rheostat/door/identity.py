"""What a caller presents, what it is then called, and who decides that."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from rheostat.door.roles import Right, Role

PRINCIPAL_KEY = "x-rheostat-principal"
"""The metadata in which callers name themselves, percent-encoded where it is not ASCII."""
MAX_NAME_LENGTH = 128
"""Characters of a principal's name."""


class Proof(StrEnum):
    """How a caller's name was proven."""

    TOKEN = "token"
    """By a bearer token."""
    CERTIFICATE = "certificate"
    """By a client certificate."""
    KUBERNETES = "kubernetes"
    """By a token that the API server vouches for."""
    CLAIM = "claim"
    """Not at all: the caller says so."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling."""

    principal: str
    """The name that decision records carry."""
    proof: Proof
    role: Role | None = None
    """What the proof itself allows, for all runs; None where that stands elsewhere."""
    groups: tuple[str, ...] = ()
    """What the caller belongs to, where somebody vouches for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateNames:
    """The names in a client certificate that TLS has verified."""

    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    common_name: str = ""

    @property
    def subject(self) -> str:
        """The name that counts: the first URI, else DNS name, else e-mail, else common name."""
        return (*self.uris, *self.dns, *self.emails, self.common_name)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """What a call brings along, whatever protocol it came by."""

    peer: str
    """Where it comes from."""
    token: str | None = field(default=None, repr=False)
    """The bearer token; None where there is none."""
    certificate: CertificateNames | None = None
    """None where TLS has verified no client certificate."""
    claim: str = ""
    """What the caller calls itself."""

    def __str__(self) -> str:
        """Say for the log what there was to judge, without the secrets."""
        if self.token is not None:
            return "a bearer token that is not known"
        if self.certificate is not None:
            return "a certificate without a name that can be used"
        return "neither a bearer token nor a client certificate"


class Authenticator(Protocol):
    """Judges one kind of proof. A new kind is a new class; those who ask do not change."""

    async def identify(self, presented: Presented) -> Identity | None:
        """Return who presents this; None where this proof is missing or unknown here."""
        ...


class Authorizer(Protocol):
    """Knows some of what callers may do. Whatever one of them allows is allowed."""

    async def allows(self, identity: Identity, right: Right) -> bool:
        """Tell whether somebody has a right."""
        ...


def bearer_token(authorization: str) -> str | None:
    """Return the token in an `Authorization` header, None where it holds another thing or none."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def is_name(text: str) -> bool:
    """Tell whether a text can stand for a principal in logs and records."""
    return text.isprintable() and text == text.strip() and 0 < len(text) <= MAX_NAME_LENGTH
