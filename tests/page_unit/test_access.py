"""Who may do what on the page: every call there is, for every role, as over gRPC."""

import asyncio

import pytest
from structlog.testing import capture_logs

from rheostat.door.permissions import PERMISSIONS
from rheostat.door.roles import Role
from rheostat.page import live, server
from rheostat.page.files import read_files

CALLS = {
    ("GET", "runs"): Role.VIEWER,
    ("GET", "runs/digits"): Role.VIEWER,
    ("GET", "runs/digits/live"): Role.VIEWER,
    ("GET", "runs/digits/steps"): Role.VIEWER,
    ("GET", "runs/digits/decisions"): Role.VIEWER,
    ("GET", "runs/digits/explanation"): Role.VIEWER,
    ("GET", "runs/digits/checkpoints"): Role.VIEWER,
    ("GET", "runs/digits/held"): Role.VIEWER,
    ("POST", "runs/digits/changes"): Role.OPERATOR,
    ("POST", "runs/digits/held/r-1"): Role.OPERATOR,
    ("POST", "runs/digits/pause"): Role.OPERATOR,
    ("POST", "runs/digits/resume"): Role.OPERATOR,
    ("POST", "runs/digits/rollback"): Role.ADMIN,
}
"""What the documentation says: the least role of every call."""
CONTENT = {"runs/digits/changes": {"verb": "scale", "value": 0.5}}


def test_every_call_is_in_the_table_and_takes_what_its_rpc_takes(service):
    served = list(server._calls(service))
    named = {(method, path.format(run="digits", request_id="r-1")) for method, path, *_ in served}

    assert named == {*CALLS, ("GET", "me")}
    for method, path, rpc, _ in served:
        if rpc is not None:
            call = (method, path.format(run="digits", request_id="r-1"))
            assert PERMISSIONS[f"/rheostat.v1.{rpc}"].role is CALLS[call]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("call", CALLS, ids=" ".join)
async def test_a_call_answers_its_role_and_no_lesser_one(guarded, service, role, call):
    method, path = call
    content = {"json": CONTENT.get(path, {})} if method == "POST" else {}
    answer = await guarded(role).ask(method, f"/api/{path}", **content)

    may = role.covers(CALLS[call])
    assert answer.status == (200 if may else 403)
    if not may:
        assert answer.json["code"] == "permission_denied"
        assert service.asked == []


@pytest.mark.parametrize("who", [None, "guess", "ada"])
@pytest.mark.parametrize("call", CALLS, ids=" ".join)
async def test_who_is_not_known_or_has_no_role_gets_nothing(guarded, service, who, call):
    method, path = call
    # Nonsense too: it is not read before it is known who sends it.
    content = {"data": b"\xff{"} if method == "POST" else {}
    answer = await guarded(who).ask(method, f"/api/{path}", **content)

    assert answer.status == (403 if who == "ada" else 401)
    assert service.asked == []


async def test_the_answer_401_names_the_scheme_and_not_the_reason(guarded):
    with capture_logs() as logs:
        answer = await guarded("guess").get("/api/me")

    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="rheostat"'
    assert "not known" not in answer.json["message"]
    [refused] = [one for one in logs if one["event"] == "caller.refused"]
    assert refused["presented"] == "a bearer token that is not known"


async def test_a_token_in_the_address_is_none(guarded, tokens):
    answer = await guarded().get(f"/api/runs?token={tokens[Role.ADMIN]}")

    assert answer.status == 401


async def test_a_known_caller_without_a_role_is_told_its_name(guarded):
    answer = await guarded("ada").get("/api/me")

    assert answer.json == {"principal": "ada", "proof": "token"}


async def test_a_role_for_one_run_is_none_for_another_even_if_it_does_not_exist(guarded, bind):
    bind("{role: operator, principals: [ada], runs: [digits]}")
    ada = guarded("ada")

    assert (await ada.get("/api/runs/digits")).json["role"] == "operator"
    assert (await ada.post("/api/runs/digits/pause")).status == 200
    for other in ("digits-2", "none", "*"):
        assert (await ada.get(f"/api/runs/{other}")).status == 403


async def test_a_list_shows_the_runs_that_the_caller_may_see(guarded, bind, service, view_named):
    service.views = [view_named(name) for name in ("a-1", "b-1", "a-2")]
    bind("{role: viewer, principals: [ada], runs: ['a-*']}")
    answer = await guarded("ada").get("/api/runs")

    assert [run["name"] for run in answer.json["runs"]] == ["a-2", "a-1"]


async def test_a_role_that_is_taken_back_ends_a_stream(guarded, bind, service, monkeypatch):
    monkeypatch.setattr(live, "ASK_AGAIN_SECONDS", 0.05)
    silent = asyncio.Event()

    async def watch_run(run, *, after_revision=None):
        yield service.events[0]
        await silent.wait()

    service.watch_run = watch_run
    bind("{role: viewer, principals: [ada]}")
    stream = asyncio.create_task(guarded("ada").get("/api/runs/digits/live"))
    await asyncio.sleep(0.2)
    bind()
    lines = (await asyncio.wait_for(stream, 5)).lines

    assert lines[0]["type"] == "view"
    assert {"type": "still"} in lines
    assert lines[-1]["type"] == "error"
    assert "ada lacks the role viewer for run digits" in lines[-1]["message"]


@pytest.mark.parametrize("path", ["/", "/app.js", "/style/base.css", "/vendor/uplot/uPlot.esm.js"])
async def test_the_files_of_the_page_are_for_everybody(guarded, path):
    assert (await guarded().get(path)).status == 200


@pytest.mark.parametrize(
    "path", ["/../server.py", "/%2e%2e/server.py", "/vendor/HASHES", "/index.html/", "/api", "/x"]
)
async def test_nothing_else_is_served(page, path):
    answer = await page.get(path)

    assert answer.status == 404
    assert answer.json["code"] == "not_found"


async def test_a_browser_may_load_nothing_but_what_the_daemon_serves(page):
    policy = (await page.get("/")).headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy


def test_the_markup_holds_no_script_no_style_and_no_address_elsewhere():
    page = read_files()["/"].content.decode()

    assert page.count("<script") == page.count('<script type="module" src=')
    assert "<style" not in page
    assert "style=" not in page
    assert "//" not in page.replace("<!doctype html>", "")


async def test_who_names_itself_is_believed_where_nobody_is_asked(page, service):
    change = {"verb": "scale", "value": 0.5}
    answer = await page.post("/api/runs/digits/changes", change, X_Rheostat_Principal="ada%20l")

    assert answer.status == 200
    assert service.asked[0][1]["change"].principal == "ada l"
    assert (await page.get("/api/me")).json["proof"] == "claim"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "10.0.0.1:80", "localhost.x"])
async def test_a_name_that_merely_leads_to_loopback_is_refused(page, service, host):
    answer = await page.get("/api/runs", Host=host)

    assert (answer.status, service.asked) == (403, [])


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1", "[::1]:80", "[::1]"])
async def test_the_names_of_loopback_are_let_in(page, host):
    assert (await page.get("/api/runs", Host=host)).status == 200


async def test_where_callers_prove_who_they_are_any_name_leads_here(guarded):
    assert (await guarded(Role.VIEWER).get("/api/runs", Host="page.example")).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
async def test_another_site_in_the_same_browser_changes_nothing(page, service, headers):
    answer = await page.post("/api/runs/digits/pause", **headers)

    assert (answer.status, service.asked) == (403, [])


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
async def test_what_a_form_can_send_changes_nothing(page, service, kind):
    answer = await page.ask(
        "POST", "/api/runs/digits/pause", data=b"{}", headers={"Content-Type": kind}
    )

    assert (answer.status, service.asked) == (400, [])


async def test_its_own_origin_may_change_something(page):
    assert (await page.post("/api/runs/digits/pause", Origin=page.url)).status == 200
