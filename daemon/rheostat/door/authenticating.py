"""The door itself, and the authenticators that need no file."""

from collections.abc import Sequence

import structlog

from rheostat.door.identity import Authenticator, Identity, Presented, Proof, is_name
from rheostat.errors import Unauthenticated

log = structlog.get_logger()


class Door:
    """Gives every caller a name, or none the right to come in.

    The first authenticator that knows the caller decides. Why somebody is refused is logged and not
    told: it would help nobody who is honest and has no access to the log.
    """

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = authenticators

    async def identify(self, presented: Presented, *, to: str) -> Identity:
        """Return who is calling.

        Args:
            presented: what the call brought along.
            to: what is being called, for the log.

        Raises:
            Unauthenticated: if nobody knows the caller.
        """
        for authenticator in self._authenticators:
            identity = await authenticator.identify(presented)
            if identity is not None:
                return identity
        log.warning("caller.refused", to=to, peer=presented.peer, presented=str(presented))
        raise Unauthenticated(
            "the daemon does not know who is asking: present a bearer token (RHEOSTAT_TOKEN, "
            "--token-file) or a client certificate (--cert, --key); its log says what it got"
        )


class VerifiedCertificate:
    """Knows callers by the client certificates that TLS has verified.

    A caller that presents a token as well is judged by the token: a wrong one is not made good by
    a certificate that may belong to a whole machine.
    """

    async def identify(self, presented: Presented) -> Identity | None:
        """Return whom the certificate was issued to."""
        if presented.certificate is None or presented.token is not None:
            return None
        subject = presented.certificate.subject
        return Identity(subject, Proof.CERTIFICATE) if is_name(subject) else None


class ClaimedName:
    """Believes what callers say of themselves: for a daemon that only its own machine can reach."""

    async def identify(self, presented: Presented) -> Identity:
        """Return what the caller calls itself, else where it calls from."""
        name = presented.claim if is_name(presented.claim) else presented.peer
        return Identity(name, Proof.CLAIM)


def open_door() -> Door:
    """Return a door that lets everybody in under the name they give."""
    return Door([ClaimedName()])
