"""Callers that Kubernetes knows, on an API server that is played."""

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from rheostat.cluster.reviewing import NO_SECONDS, STALE_SECONDS, YES_SECONDS, claims_of
from rheostat.door.identity import Identity, Presented, Proof
from rheostat.door.roles import Reach, Right, Role

ROBOT = "system:serviceaccount:ml:robot"


def jwt(**claims):
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


TOKEN = jwt(sub=ROBOT, aud=["rheostat"])


def vouching(name=ROBOT, audiences=("rheostat",), groups=("system:serviceaccounts",)):
    user = {"username": name, "groups": list(groups)}
    return {"authenticated": True, "user": user, "audiences": list(audiences)}


async def identity_of(reviews, token=TOKEN):
    return await reviews.identify(Presented(peer="x", token=token))


async def test_a_service_account_is_known_by_its_name_and_groups(server, reviews):
    server.tokens[TOKEN] = vouching()

    known = await identity_of(reviews)

    assert known == Identity(ROBOT, Proof.KUBERNETES, groups=("system:serviceaccounts",))
    assert server.reviews == [{"token": TOKEN, "audiences": ["rheostat"]}]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"authenticated": False, "error": "token has expired"}, "token has expired"),
        ({"authenticated": False}, "not valid"),
        ({}, "not valid"),
        (vouching(audiences=["api"]), "not made for the audience rheostat"),
        (vouching(audiences=[]), "not made for the audience rheostat"),
        (vouching(name=""), "no name"),
        (vouching(name="a\nb"), "no name"),
    ],
)
async def test_another_token_is_refused_and_the_log_says_why(server, reviews, status, why):
    token = jwt(sub=ROBOT, aud=["api"], exp=1_700_000_000)
    server.tokens[token] = status
    with capture_logs() as logs:
        assert await identity_of(reviews, token) is None

    [refused] = logs
    assert (refused["event"], why in refused["why"]) == ("token.refused", True)
    assert refused["claims"] == {
        "sub": ROBOT,
        "aud": "['api']",
        "exp": "2023-11-14T22:13:20+00:00",
    }
    assert token not in str(logs)


@pytest.mark.parametrize(
    "token", [None, "", "rheostat_abc", "a.b", "a.b.c.d", "a.b." + "c" * 20_000]
)
async def test_what_kubernetes_cannot_have_signed_is_not_shown_to_it(server, reviews, token):
    assert await identity_of(reviews, token) is None
    assert server.reviews == []


async def test_a_yes_is_believed_for_a_minute_and_a_no_for_less(server, reviews):
    server.tokens[TOKEN] = vouching()
    for reviews.clock[0] in (0.0, YES_SECONDS - 1):
        assert await identity_of(reviews)
    del server.tokens[TOKEN]
    reviews.clock[0] = YES_SECONDS + 1
    gone = await identity_of(reviews)
    server.tokens[TOKEN] = vouching()
    remembered = await identity_of(reviews)
    reviews.clock[0] += NO_SECONDS + 1

    assert (gone, remembered) == (None, None)
    assert await identity_of(reviews)
    assert len(server.reviews) == 3


async def test_callers_at_the_same_time_share_one_review(server, reviews):
    server.tokens[TOKEN] = vouching()

    known = await asyncio.gather(*(identity_of(reviews) for _ in range(20)))

    assert (len(set(known)), len(server.reviews)) == (1, 1)


async def test_who_was_known_stays_known_while_the_api_server_is_away_for_some_minutes(
    server, reviews
):
    server.tokens[TOKEN] = vouching()
    stranger = jwt(sub="stranger")
    assert await identity_of(reviews)
    server.fail("POST", 500, None, 503)
    with capture_logs() as logs:
        reviews.clock[0] = YES_SECONDS + 1
        kept = await identity_of(reviews)
        unknown = await identity_of(reviews, stranger)
        reviews.clock[0] = STALE_SECONDS + 1
        forgotten = await identity_of(reviews)

    assert (kept is not None, unknown, forgotten) == (True, None, None)
    # Under load a library may say something, too: that a callback took long.
    own = [one["event"] for one in logs if one["event"] != "library.said"]
    assert own == ["review.failed"] * 3
    assert await identity_of(reviews), "back again"


@pytest.mark.parametrize("has", Role)
@pytest.mark.parametrize("needs", Role)
async def test_rbac_gives_roles_and_a_higher_one_covers_a_lower(server, reviews, has, needs):
    verb = {"viewer": "view", "operator": "operate", "admin": "administer"}[has]
    server.rights = {(ROBOT, verb, "ml", "")}
    robot = Identity(ROBOT, Proof.KUBERNETES)

    for run in ("digits", Reach.SOME, Reach.ALL):
        assert await reviews.allows(robot, Right(needs, run)) == has.covers(needs)


async def test_rbac_may_name_the_runs(server, reviews):
    server.rights = {(ROBOT, "operate", "ml", "digits")}
    robot = Identity(ROBOT, Proof.KUBERNETES, groups=("a", "b"))

    async def may(run):
        return await reviews.allows(robot, Right(Role.OPERATOR, run))

    answers = [await may(run) for run in ("digits", "other", "", Reach.SOME, Reach.ALL)]

    assert answers == [True, False, False, False, False]
    assert server.reviews[0] == {
        "user": ROBOT,
        "groups": ["a", "b"],
        "resourceAttributes": {
            "group": "rheostat.dev",
            "resource": "runs",
            "verb": "operate",
            "namespace": "ml",
            "name": "digits",
        },
    }


@pytest.mark.parametrize("proof", [Proof.TOKEN, Proof.CERTIFICATE, Proof.CLAIM])
async def test_a_name_that_kubernetes_has_not_vouched_for_has_none_of_its_rights(
    server, reviews, proof
):
    server.rights = {(ROBOT, "administer", "ml", "")}

    assert not await reviews.allows(Identity(ROBOT, proof), Right(Role.VIEWER, "digits"))
    assert server.reviews == []


async def test_an_api_server_that_is_away_gives_no_rights(server, reviews):
    server.fail("POST", *[500] * 3)

    robot = Identity(ROBOT, Proof.KUBERNETES)
    assert not await reviews.allows(robot, Right(Role.VIEWER, "digits"))


@given(st.text(max_size=300))
def test_any_token_has_claims_or_none(text):
    assert isinstance(claims_of(text), dict)
    encoded = base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode()
    assert isinstance(claims_of(f"a.{encoded}.c"), dict)
