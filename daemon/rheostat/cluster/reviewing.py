"""Callers that Kubernetes knows: who has a token of its, and what its RBAC lets them do.

A service account shows the token that is projected into its pod; TokenReview says whose it is and
whether it was made for this daemon (its audience). SubjectAccessReview then says whether RBAC lets
that account `view`, `operate` or `administer` the resource `runs` of the group rheostat.dev in the
daemon's namespace, all of them or by `resourceNames`. No such resource exists: it is a name for
rights. Only names that the API server has vouched for are asked about, so that nobody can claim
one elsewhere.
"""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from rheostat.cluster.calling import CallFailed, Document, ask
from rheostat.cluster.connecting import connect_daemon
from rheostat.cluster.names import GROUP
from rheostat.cluster.remembering import Memory
from rheostat.door.identity import Identity, Presented, Proof, is_name
from rheostat.door.roles import Reach, Right, Role

RESOURCE = "runs"
VERBS = {Role.VIEWER: "view", Role.OPERATOR: "operate", Role.ADMIN: "administer"}
"""What RBAC calls a role. One that is higher covers one that is lower, as everywhere."""
YES_SECONDS = 60.0
"""How long the API server's yes is believed."""
NO_SECONDS = 10.0
STALE_SECONDS = 300.0
"""How long a yes is believed while the API server is away: what steers a run outlives a restart."""
MAX_TOKEN_LENGTH = 16_384
_MOST_AT_ONCE = 8

log = structlog.get_logger()


class Reviews:
    """Asks the API server about callers: an authenticator, and an authorizer.

    Answers are remembered: a stream is judged at each of its messages.
    """

    def __init__(
        self,
        client: Any,
        namespace: str,
        *,
        audience: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            client: a `kubernetes.aio.client.ApiClient`.
            namespace: whose `runs` RBAC is asked about.
            audience: whom a token must be made for.
            clock: seconds.
        """
        from kubernetes.aio.client import AuthenticationV1Api, AuthorizationV1Api

        self._client = client
        self._namespace = namespace
        self._audience = audience
        self._who = AuthenticationV1Api(client).create_token_review_without_preload_content
        self._may = AuthorizationV1Api(client).create_subject_access_review_without_preload_content
        self._identities: Memory[bytes, Identity | None] = Memory(clock)
        self._rights: Memory[tuple[Identity, str, str], bool] = Memory(clock)
        self._room = asyncio.Semaphore(_MOST_AT_ONCE)

    @classmethod
    async def connect(cls, *, namespace: str | None, audience: str) -> "Reviews":
        """Find the cluster, from within or by the kubeconfig.

        Args:
            namespace: whose `runs` RBAC is asked about; None is the pod's own, or the kubeconfig's.
            audience: whom a token must be made for.

        Raises:
            FailedPrecondition: if there is no cluster to be found.
        """
        client, found = await connect_daemon(namespace)
        return cls(client, found, audience=audience)

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()

    async def identify(self, presented: Presented) -> Identity | None:
        """Return whose token of Kubernetes is presented; None where it is none, or not for us."""
        token = presented.token
        if token is None or token.count(".") != 2 or len(token) > MAX_TOKEN_LENGTH:
            return None  # nothing that Kubernetes has signed, and nothing to show it
        key = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        return await self._identities.recall(
            key, lambda: self._review(token), YES_SECONDS, NO_SECONDS, STALE_SECONDS
        )

    async def allows(self, identity: Identity, right: Right) -> bool:
        """Tell whether RBAC gives a right to somebody whom the API server knows."""
        if identity.proof is not Proof.KUBERNETES:
            return False
        # Which runs there are is not for RBAC to say, so some run takes all of them.
        run = "" if isinstance(right.run, Reach) else right.run
        if run == "" and not isinstance(right.run, Reach):
            return False  # no name, which would ask for all
        for role, verb in VERBS.items():
            if role.covers(right.role) and await self._is_allowed(identity, verb, run):
                return True
        return False

    async def _is_allowed(self, identity: Identity, verb: str, run: str) -> bool:
        allowed = await self._rights.recall(
            (identity, verb, run),
            lambda: self._access(identity, verb, run),
            YES_SECONDS,
            NO_SECONDS,
            STALE_SECONDS,
        )
        return bool(allowed)

    async def _review(self, token: str) -> Identity | None:
        spec = {"token": token, "audiences": [self._audience]}
        status = await self._asked(self._who, "authentication.k8s.io/v1", "TokenReview", spec)
        user = status.get("user") or {}
        name = str(user.get("username", ""))
        if not status.get("authenticated"):
            why = str(status.get("error") or "it is not valid")
        elif self._audience not in (status.get("audiences") or ()):
            # A server that knows no audiences answers without: then it has judged for itself only.
            why = f"it is not made for the audience {self._audience}"
        elif not is_name(name):
            why = "its user has no name that can be used"
        else:
            groups = tuple(str(group) for group in user.get("groups") or ())
            return Identity(name, Proof.KUBERNETES, groups=groups)
        claims = claims_of(token)
        log.warning("token.refused", why=why + _untimely(claims), claims=claims)
        return None

    async def _access(self, identity: Identity, verb: str, run: str) -> bool:
        attributes = {"group": GROUP, "resource": RESOURCE, "verb": verb}
        attributes |= {"namespace": self._namespace, **({"name": run} if run else {})}
        spec = {
            "user": identity.principal,
            "groups": list(identity.groups),
            "resourceAttributes": attributes,
        }
        kind = "SubjectAccessReview"
        status = await self._asked(self._may, "authorization.k8s.io/v1", kind, spec)
        return status.get("allowed") is True and status.get("denied") is not True

    async def _asked(self, call: Any, version: str, kind: str, spec: Document) -> Document:
        body = {"apiVersion": version, "kind": kind, "spec": spec}
        async with self._room:
            try:
                answer = await ask(call, body=body)
            except CallFailed as error:
                log.error("review.failed", kind=kind, why=str(error))
                raise
        status: Document = answer.get("status") or {}
        return status


def claims_of(token: str) -> dict[str, Any]:
    """Return what a token says of itself, unproven, for the log: whose, for whom and until when."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        told = {name: str(claims[name])[:200] for name in ("sub", "aud") if name in claims}
        for name in ("nbf", "exp"):
            if isinstance(claims.get(name), int | float):
                told[name] = datetime.fromtimestamp(claims[name], UTC).isoformat()
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, OSError, RecursionError):
        return {}
    return told


def _untimely(claims: dict[str, Any]) -> str:
    """Return what is wrong with the dates of a token, as an API server may not say so."""
    now = datetime.now(UTC)
    if "nbf" in claims and datetime.fromisoformat(claims["nbf"]) > now:
        return "; by its claims it is not yet valid"
    if "exp" in claims and datetime.fromisoformat(claims["exp"]) < now:
        return "; by its claims it has expired"
    return ""
