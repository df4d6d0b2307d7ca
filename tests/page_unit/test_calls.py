"""What the page asks for, what it is answered, and what it is refused with."""

import asyncio

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rheostat.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    ResourceExhausted,
    RevisionConflict,
    RheostatError,
    StorageFailed,
    Violation,
)
from rheostat.page import verbs
from rheostat.page.asking import ChangeAsked, RollbackAsked
from rheostat.steering.records import Change, Verb

CHANGES = "/api/runs/digits/changes"


async def test_a_run_is_told_with_what_the_caller_may_do(page):
    run = (await page.get("/api/runs/digits")).json

    assert (run["name"], run["phase"], run["step"], run["role"]) == (
        "digits",
        "running",
        60,
        "admin",
    )
    assert run["snapshot"]["groups"][0]["learning_rate"] == 0.0005
    assert run["spec"] == {"name": "digits"}


async def test_a_change_is_asked_for_as_it_stands_and_answered_in_words(page, service):
    asked = {
        "verb": "ramp",
        "value": 1e-4,
        "steps": 500,
        "groups": ["default"],
        "at_step": 70,
        "expires_after_steps": 9,
        "reason": "too noisy",
        "request_id": "r-1",
        "expected_revision": 1,
    }
    answer = await page.post(CHANGES, asked, X_Rheostat_Principal="ada")

    [(_, heard)] = service.asked
    fields = asked | {"verb": Verb.RAMP, "groups": ("default",), "principal": "ada"}
    assert heard["change"] == Change(**fields)
    decision = answer.json["decision"]
    assert (decision["who"], decision["what"]) == ("alice", "scale 0.5")
    assert decision["groups"][0]["new"] == 0.0005
    assert list(decision["guardrails"]) == ["max_lr"]


async def test_a_dry_run_is_passed_on(page, service):
    await page.post(CHANGES, {"verb": "release", "dry_run": True})

    assert service.asked[0][1]["change"].dry_run


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "verb"),
        ({"verb": "attach"}, "verb"),
        ({"verb": "swap"}, "verb"),
        ({"verb": "scale", "value": "x"}, "value"),
        ({"verb": "ramp", "steps": 1.5}, "steps"),
        ({"verb": "ramp", "steps": 10**19}, "steps"),
        ({"verb": "scale", "groups": "head"}, "groups"),
        ({"verb": "scale", "principal": "root"}, "principal"),
        ([], "request"),
    ],
    ids=str,
)
async def test_nonsense_is_refused_by_its_field(page, service, content, field):
    answer = await page.post(CHANGES, content)

    assert (answer.status, answer.json["code"]) == (400, "invalid_argument")
    assert field in answer.json["message"]
    assert service.asked == []


async def test_what_is_nested_endlessly_is_refused(page, service):
    endless = '{"verb": "scale", "groups": ' + "[" * 100_000
    answer = await page.ask("POST", CHANGES, data=endless)

    assert (answer.status, answer.json["code"]) == (400, "invalid_argument")
    assert service.asked == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
FIELDS = st.sampled_from([*ChangeAsked.__struct_fields__, *RollbackAsked.__struct_fields__])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    path=st.sampled_from([CHANGES, "/api/runs/digits/rollback", "/api/runs/digits/pause"]),
    content=JSON | st.dictionaries(FIELDS, JSON, max_size=5),
)
async def test_whatever_is_sent_is_answered_and_never_with_a_mistake_of_the_daemon(
    page, path, content
):
    answer = await page.post(path, content)

    assert answer.status in (200, 400)


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"verb": NaN}', b'{"reason": "\\ud800"}'])
async def test_what_is_no_json_is_refused(page, service, content):
    headers = {"Content-Type": "application/json"}
    answer = await page.ask("POST", CHANGES, data=content, headers=headers)

    assert (answer.status, service.asked) == (400, [])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("x"), 404, "not_found"),
        (FailedPrecondition("x"), 409, "failed_precondition"),
        (RevisionConflict("x"), 409, "aborted"),
        (ResourceExhausted("x", retry_after=2.0), 429, "resource_exhausted"),
        (StorageFailed("x"), 503, "unavailable"),
        (DeadlineExceeded("x"), 504, "deadline_exceeded"),
        (RheostatError("x"), 500, "internal"),
    ],
    ids=lambda one: type(one).__name__,
)
async def test_every_error_has_a_status_and_a_code(page, service, error, status, code):
    service.errors = [error]
    answer = await page.get("/api/runs/digits")

    assert answer.status == status
    assert answer.json == {"code": code, "message": "x", "violations": []}
    assert answer.headers.get("Retry-After") == ("2" if status == 429 else None)


async def test_violations_name_field_value_and_mend(page, service):
    service.errors = [InvalidRequest([Violation("value", "-3.0", "a finite factor, 0 or greater")])]
    answer = await page.post(CHANGES, {"verb": "scale", "value": -3})

    [violation] = answer.json["violations"]
    assert violation == {
        "field": "value",
        "value": "-3.0",
        "expected": "a finite factor, 0 or greater",
    }


async def test_a_mistake_of_the_daemon_tells_no_details(page, service):
    service.errors = [ZeroDivisionError("secret")]
    answer = await page.get("/api/runs/digits")

    assert (answer.status, "secret" in answer.body.decode()) == (500, False)


async def test_a_change_that_waits_is_answered_while_it_waits(page, service, monkeypatch):
    monkeypatch.setattr(verbs, "PATIENCE_SECONDS", 0.05)
    service.applies = False
    answer = await page.post(CHANGES, {"verb": "scale", "value": 0.5})

    assert (answer.status, answer.json) == (202, {"decision": None})


async def test_going_back_is_tried_out_and_done(page, service):
    asked = {"step": 40, "skip": 3, "scale": 0.5, "reason": "diverged"}
    dry = await page.post("/api/runs/digits/rollback", {**asked, "dry_run": True})
    done = await page.post("/api/runs/digits/rollback", asked)

    assert (dry.json["step"], dry.json["decision"]) == (12, None)
    assert done.json["decision"]["revision"] == 1
    commands = [heard["command"] for _, heard in service.asked]
    assert [(one.step, one.skip, one.scale) for one in commands] == [(40, 3, 0.5)] * 2
    assert [heard["dry_run"] for _, heard in service.asked] == [True, False]


async def test_a_nonsensical_way_back_is_refused(page, service):
    answer = await page.post("/api/runs/digits/rollback", {"step": -1, "skip": -2})

    assert [one["field"] for one in answer.json["violations"]] == ["step", "skip"]
    assert service.asked == []


async def test_a_change_that_waits_for_a_second_person_is_listed_and_approved(page, service):
    held = (await page.get("/api/runs/digits/held")).json["held"]
    answer = await page.post(f"/api/runs/digits/held/{held[0]['request_id']}")

    assert answer.json["decision"]["approved_by"]
    assert service.asked[-1][1]["request_id"] == "r-1"


async def test_decisions_are_told_from_the_newest_back(page, service, record_of, view_named):
    service.records = [record_of(revision) for revision in range(1, 11)]

    async def get_run(run):
        return msgspec.structs.replace(view_named(run), revision=10)

    service.get_run = get_run

    async def revisions(query):
        told = (await page.get(f"/api/runs/digits/decisions?{query}")).json["decisions"]
        return [one["revision"] for one in told]

    assert await revisions("size=3") == [8, 9, 10]
    assert await revisions("size=3&until=7") == [5, 6, 7]
    assert await revisions("size=5&until=2") == [1, 2]
    assert await revisions("size=5&until=0") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("size=0", "size"),
        ("size=1001", "size"),
        ("size=x", "size"),
        ("until=-1", "until"),
        ("until=" + "9" * 5000, "until"),
    ],
    ids=lambda text: text[:10],
)
async def test_a_page_of_nonsense_is_refused(page, query, field):
    answer = await page.get(f"/api/runs/digits/decisions?{query}")

    assert (answer.status, answer.json["violations"][0]["field"]) == (400, field)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=5&to=5", "to"),
        ("points=1", "points"),
        ("points=99999", "points"),
        ("group=nobody", "group"),
        ("focus=nobody", "group"),
        ("&".join(["group=default"] * 25), "group"),
    ],
    ids=lambda text: text[:14],
)
async def test_curves_of_nonsense_are_refused(page, query, field):
    answer = await page.get(f"/api/runs/digits/steps?{query}")

    assert (answer.status, answer.json["violations"][0]["field"]) == (400, field)


async def test_steps_are_told_as_curves(page):
    told = (await page.get("/api/runs/digits/steps?from=0&to=2")).json

    assert (told["first"], told["width"], told["end"]) == (0, 1, 2)
    assert told["loss"]["mean"] == [0.1, 1 / 3]
    assert told["groups"]["default"]["last"] == [0.001, 0.002]


async def test_a_stream_tells_everything_and_that_it_is_over(page):
    lines = (await page.get("/api/runs/digits/live")).lines

    assert [line["type"] for line in lines] == ["view", "steps", "snapshot", "decision", "over"]
    assert lines[1]["is_whole"] is True
    assert lines[3]["decision"]["line"].startswith("step 41: alice scale 0.5")


async def test_too_many_requests_are_refused_with_the_time_to_come_again(limited):
    visitor = await limited(requests_per_minute=3)
    answers = [await visitor.get("/api/me") for _ in range(4)]

    assert [one.status for one in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert "--max-requests-per-minute" in answers[-1].json["message"]


async def test_too_many_streams_are_refused_until_one_ends(limited, service):
    service.ends = False
    visitor = await limited(streams=1)
    first = asyncio.create_task(visitor.get("/api/runs/digits/live"))
    while not service.told:
        await asyncio.sleep(0.01)
    refused = await visitor.get("/api/runs/digits/live")
    first.cancel()

    assert (refused.status, "--max-streams" in refused.json["message"]) == (429, True)


async def test_a_request_that_is_too_long_is_refused(limited, service):
    visitor = await limited(message_bytes=1000)
    answer = await visitor.post(CHANGES, {"verb": "scale", "reason": "x" * 1000})

    assert (answer.status, answer.json["code"]) == (429, "resource_exhausted")
    assert service.asked == []


async def test_too_many_calls_at_once_are_refused(limited, service):
    service.ends = False
    visitor = await limited(concurrent_calls=1)
    stream = asyncio.create_task(visitor.get("/api/runs/digits/live"))
    while not service.told:
        await asyncio.sleep(0.01)
    answer = await visitor.get("/api/me")
    stream.cancel()

    assert (answer.status, "--max-concurrent-calls" in answer.json["message"]) == (429, True)


async def test_a_file_that_the_browser_has_is_not_sent_again(page):
    first = await page.get("/app.js")
    second = await page.get("/app.js", If_None_Match=first.headers["ETag"])

    assert (second.status, second.body) == (304, b"")
    assert first.headers["Cache-Control"] == "no-cache"


async def test_answers_are_kept_by_nobody(page):
    assert (await page.get("/api/runs")).headers["Cache-Control"] == "no-store"
