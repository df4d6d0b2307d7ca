"""Callers that a real API server vouches for: tokens it has issued, rights that its RBAC gives."""

import base64
import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from kubernetes import client
from kubernetes.aio import client as aio
from structlog.testing import capture_logs

from rheostat.api.server import ApiServer
from rheostat.client import AsyncClient, Credentials
from rheostat.cluster.reviewing import Reviews
from rheostat.door.authenticating import Door
from rheostat.door.identity import Presented, Proof
from rheostat.door.roles import Reach, Right, Role
from rheostat.errors import Unauthenticated

ROBOT = "system:serviceaccount:ml:robot"


@pytest.fixture(scope="module")
def accounts(cluster):
    """The cluster, with a service account `robot` whose RBAC lets it operate two runs."""
    core, rbac = client.CoreV1Api(cluster.client()), client.RbacAuthorizationV1Api(cluster.client())
    core.create_namespaced_service_account("ml", {"metadata": {"name": "robot"}})
    rule = {
        "apiGroups": ["rheostat.dev"],
        "resources": ["runs"],
        "verbs": ["view", "operate"],
        "resourceNames": ["digits", "digits-2"],
    }
    rbac.create_namespaced_role("ml", {"metadata": {"name": "operators"}, "rules": [rule]})
    rbac.create_namespaced_role_binding(
        "ml",
        {
            "metadata": {"name": "operators"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": "operators",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "ml"}],
        },
    )
    return cluster


@pytest.fixture
async def reviews(accounts):
    settings = aio.Configuration(host=accounts.url)
    settings.ssl_ca_cert = str(accounts.ca)
    settings.api_key = {"BearerToken": "Bearer token-of-the-admin"}
    made = Reviews(aio.ApiClient(settings), "ml", audience="rheostat")
    yield made
    await made.close()


def token_for(accounts, audience):
    request = {"spec": {"audiences": [audience], "expirationSeconds": 600}}
    core = client.CoreV1Api(accounts.client())
    return core.create_namespaced_service_account_token("robot", "ml", request).status.token


def signed_anew(token, key, **claims):
    """Return a token with other claims, signed with a key."""
    header, payload, _ = token.split(".")
    found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    changed = json.dumps(found | claims).encode()
    text = f"{header}.{base64.urlsafe_b64encode(changed).decode().rstrip('=')}"
    signature = key.sign(text.encode(), padding.PKCS1v15(), SHA256())
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


async def test_a_token_made_for_the_daemon_names_its_account(accounts, reviews):
    token = token_for(accounts, "rheostat")

    known = await reviews.identify(Presented(peer="x", token=token))

    assert (known.principal, known.proof) == (ROBOT, Proof.KUBERNETES)
    assert "system:serviceaccounts:ml" in known.groups


async def test_a_token_made_for_somebody_else_is_refused_and_the_log_says_so(accounts, reviews):
    token = token_for(accounts, "vault")
    with capture_logs() as logs:
        known = await reviews.identify(Presented(peer="x", token=token))

    [refused] = logs
    assert (known, refused["event"]) == (None, "token.refused")
    assert "audience" in refused["why"]
    assert refused["claims"]["aud"] == "['vault']"


async def test_a_token_that_was_tampered_with_is_refused(accounts, reviews):
    token = token_for(accounts, "rheostat")
    header, payload, signature = token.split(".")

    forged = f"{header}.{payload}.{signature[:-8]}AAAAAAAA"
    assert await reviews.identify(Presented(peer="x", token=forged)) is None


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("expired", "has expired"),
        ("not yet valid", "not yet valid"),
        ("signed by another key", "cryptographic"),
        ("for another audience", "audience"),
    ],
)
async def test_the_log_says_which_token_was_refused_and_why_the_reply_does_not(
    accounts, reviews, service, kind, why
):
    ours = load_pem_private_key((accounts.folder / "service-accounts.key").read_bytes(), None)
    theirs = rsa.generate_private_key(65_537, 2048)
    good, now = token_for(accounts, "rheostat"), int(time.time())
    token = {
        "expired": lambda: signed_anew(good, ours, iat=now - 900, nbf=now - 900, exp=now - 300),
        "not yet valid": lambda: signed_anew(good, ours, nbf=now + 300),
        "signed by another key": lambda: signed_anew(good, theirs),
        "for another audience": lambda: token_for(accounts, "vault"),
    }[kind]()
    server = ApiServer(service, address="127.0.0.1:0", door=Door([reviews]))
    async with AsyncClient(await server.start(), credentials=Credentials(token=token)) as caller:
        with capture_logs() as logs, pytest.raises(Unauthenticated) as reply:
            await caller.list_runs()
    await server.stop(0)

    refused, caller_refused = logs
    assert (refused["event"], why in refused["why"]) == ("token.refused", True), refused
    assert refused["claims"]["sub"] == ROBOT
    assert (caller_refused["event"], caller_refused["to"]) == (
        "caller.refused",
        "/rheostat.v1.Runs/ListRuns",
    )
    assert why not in str(reply.value)
    assert (token in str(logs), service.asked) == (False, [])


async def test_rbac_says_what_an_account_may(accounts, reviews):
    robot = await reviews.identify(Presented(peer="x", token=token_for(accounts, "rheostat")))

    async def may(role, run):
        return await reviews.allows(robot, Right(role, run))

    assert await may(Role.OPERATOR, "digits")
    assert await may(Role.VIEWER, "digits-2")
    for role, run in [
        (Role.ADMIN, "digits"),
        (Role.VIEWER, "other"),
        (Role.VIEWER, Reach.SOME),
        (Role.VIEWER, Reach.ALL),
        (Role.VIEWER, ""),
    ]:
        assert not await may(role, run), (role, run)
