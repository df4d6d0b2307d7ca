"""The door itself, and those who judge without a file."""

from collections.abc import Sequence

import structlog

from rheostat.door.binding import OwnRole
from rheostat.door.identity import Authenticator, Authorizer, Identity, Presented, Proof, is_name
from rheostat.door.roles import Right, Role
from rheostat.errors import PermissionDenied, Unauthenticated

log = structlog.get_logger()


class Door:
    """Gives every caller a name, or none the right to come in; and says what each may do.

    The first authenticator that knows the caller decides; the right to something may come from any
    authorizer, or with the proof itself. Why somebody is not known is logged and not told: it would
    help nobody who is honest and has no access to the log.
    """

    def __init__(
        self, authenticators: Sequence[Authenticator], authorizers: Sequence[Authorizer] = ()
    ) -> None:
        self._authenticators = authenticators
        self._authorizers = [OwnRole(), *authorizers]

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

    async def allows(self, identity: Identity, right: Right) -> bool:
        """Tell whether somebody has a right."""
        for authorizer in self._authorizers:
            if await authorizer.allows(identity, right):
                return True
        return False

    async def permit(self, identity: Identity, right: Right, *, to: str) -> None:
        """Let through who has a right.

        Args:
            identity: who is calling.
            right: what the call takes; whether the run in it exists is not known here.
            to: what is being called, for the log.

        Raises:
            PermissionDenied: if nobody gave it to the caller.
        """
        if not await self.allows(identity, right):
            log.warning("caller.denied", to=to, principal=identity.principal, lacks=str(right))
            raise PermissionDenied(
                f"{identity.principal} lacks {right}; whoever runs the daemon gives roles"
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
    """Believes what callers say of themselves, and lets them do everything.

    That is for a daemon that only its own machine can reach.
    """

    async def identify(self, presented: Presented) -> Identity:
        """Return what the caller calls itself, else where it calls from."""
        name = presented.claim if is_name(presented.claim) else presented.peer
        return Identity(name, Proof.CLAIM, role=Role.ADMIN)


def open_door() -> Door:
    """Return a door that lets everybody in under the name they give."""
    return Door([ClaimedName()])
