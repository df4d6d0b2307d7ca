import math

import grpc
import msgspec
import pytest
from google.protobuf import message_factory

from rheostat.errors import InvalidRequest, Violation
from rheostat.steering.records import Change, Verb
from rheostat.steering.requests import check
from rheostat.v1 import learning_rates_pb2, runs_pb2
from rheostat.v1.learning_rates_pb2 import (
    ChangeLearningRateRequest,
    Hold,
    Ramp,
    Release,
    Scale,
    Set,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT

ABOUT_A_RUN = [
    method
    for pb in (runs_pb2, learning_rates_pb2)
    for service in pb.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if "run" in method.input_type.fields_by_name
]


@pytest.mark.parametrize("method", ABOUT_A_RUN, ids=lambda method: method.name)
async def test_a_request_without_a_run_is_refused(runs, learning_rates, refusal, method):
    stub = {"Runs": runs, "LearningRates": learning_rates}[method.containing_service.name]
    request = message_factory.GetMessageClass(method.input_type)()

    refused = await refusal(getattr(stub, method.name)(request))

    assert (refused.code, refused.violations) == (INVALID, {"run": "the name of a run"})


async def test_a_change_without_a_verb_is_refused_with_the_verbs_there_are(learning_rates, refusal):
    refused = await refusal(
        learning_rates.ChangeLearningRate(ChangeLearningRateRequest(run="digits"))
    )

    assert refused.code is INVALID
    assert refused.violations == {"verb": "one of scale, ramp, set, hold, release"}


@pytest.mark.parametrize(
    ("wish", "change"),
    [
        ({"scale": Scale(factor=0.5)}, Change(verb=Verb.SCALE, value=0.5)),
        (
            {"ramp": Ramp(learning_rate=1e-4, steps=20)},
            Change(verb=Verb.RAMP, value=1e-4, steps=20),
        ),
        ({"set": Set(learning_rate=0.0)}, Change(verb=Verb.SET, value=0.0)),
        ({"hold": Hold(learning_rate=1e-3)}, Change(verb=Verb.HOLD, value=1e-3)),
        ({"release": Release()}, Change(verb=Verb.RELEASE)),
        (
            {"release": Release(), "at_step": 0, "expected_revision": 0},
            Change(verb=Verb.RELEASE, at_step=0, expected_revision=0),
        ),
    ],
)
async def test_a_change_reaches_the_service_as_it_was_asked_for(
    learning_rates, service, wish, change
):
    await learning_rates.ChangeLearningRate(
        ChangeLearningRateRequest(run="digits", **wish),
        metadata=(("x-rheostat-principal", "alice"),),
    )

    [(_, heard)] = service.asked
    assert heard == {"change": msgspec.structs.replace(change, principal="alice"), "wait": True}


async def test_a_wrong_number_is_refused_under_the_name_it_has_in_the_request(
    learning_rates, service, refusal
):
    wrong = [Violation("value", "nan", "finite"), Violation("steps", "0", "at least 1")]
    service.errors = [InvalidRequest([*wrong, Violation("at_step", "-1", "0 or greater")])]
    ramp = Ramp(learning_rate=float("nan"), steps=0)

    refused = await refusal(
        learning_rates.ChangeLearningRate(
            ChangeLearningRateRequest(run="digits", ramp=ramp, at_step=-1)
        )
    )

    assert refused.violations == {
        "ramp.learning_rate": "nan: finite",
        "ramp.steps": "0: at least 1",
        "at_step": "-1: 0 or greater",
    }


@pytest.fixture
def strict(service):
    """The service, refusing changes as the real one does."""

    async def change_learning_rate(run, change, *, wait):
        check(change, ["default"])

    service.change_learning_rate = change_learning_rate


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"scale": Scale(factor=math.nan)}, "scale.factor"),
        ({"ramp": Ramp(learning_rate=math.nan, steps=1)}, "ramp.learning_rate"),
        ({"set": Set(learning_rate=math.nan)}, "set.learning_rate"),
        ({"hold": Hold(learning_rate=math.nan)}, "hold.learning_rate"),
    ],
)
async def test_nan_passes_translation_and_is_refused_by_the_service(
    learning_rates, strict, refusal, wish, field
):
    request = ChangeLearningRateRequest(run="digits", **wish)

    refused = await refusal(learning_rates.ChangeLearningRate(request))

    assert refused.code is INVALID
    assert list(refused.violations) == [field]
    assert refused.violations[field].startswith("nan: a finite ")


@pytest.mark.parametrize(
    ("wish", "fields"),
    [
        ({"scale": Scale()}, ["scale.factor"]),
        ({"ramp": Ramp()}, ["ramp.learning_rate", "ramp.steps"]),
        ({"set": Set()}, ["set.learning_rate"]),
        ({"hold": Hold()}, ["hold.learning_rate"]),
    ],
)
async def test_a_number_left_out_is_missing_and_does_not_mean_0(
    learning_rates, strict, refusal, wish, fields
):
    request = ChangeLearningRateRequest(run="digits", **wish)

    refused = await refusal(learning_rates.ChangeLearningRate(request))

    assert list(refused.violations) == fields


async def test_a_change_says_what_it_did(learning_rates):
    response = await learning_rates.ChangeLearningRate(
        ChangeLearningRateRequest(run="digits", scale=Scale(factor=0.5), request_id="r-1")
    )

    assert (response.revision, response.applied_step, response.pending) == (1, 41, False)
    assert [(one.name, one.old, one.new) for one in response.groups] == [("default", 0.001, 0.0005)]
    assert (response.guardrails, response.request_id) == (["max_lr"], "r-1")
    assert response.decision.reason == "too noisy"


async def test_a_change_that_is_not_waited_for_is_pending(learning_rates):
    response = await learning_rates.ChangeLearningRate(
        ChangeLearningRateRequest(
            run="digits", scale=Scale(factor=0.5), request_id="r-1", wait=False
        )
    )

    assert (response.pending, response.request_id) == (True, "r-1")
    assert not response.HasField("revision")
    assert not response.HasField("decision")


async def test_a_deadline_that_passes_ends_the_handler_but_not_the_change(
    learning_rates, service, refusal
):
    service.applies = False
    request = ChangeLearningRateRequest(run="digits", scale=Scale(factor=0.5), request_id="r-1")

    refused = await refusal(learning_rates.ChangeLearningRate(request, timeout=0.1))
    await service.given_up.wait()

    assert refused.code is grpc.StatusCode.DEADLINE_EXCEEDED
    service.applies = True
    assert (await learning_rates.ChangeLearningRate(request)).applied_step == 41


@pytest.mark.parametrize("size", [-1, 0, 1001])
async def test_a_page_size_out_of_range_is_refused(runs, learning_rates, refusal, size):
    lists = (
        runs.ListRuns(runs_pb2.ListRunsRequest(page_size=size)),
        learning_rates.ListDecisions(
            learning_rates_pb2.ListDecisionsRequest(run="digits", page_size=size)
        ),
    )
    for call in lists:
        refused = await refusal(call)

        assert (refused.code, refused.violations) == (INVALID, {"page_size": f"{size}: 1 to 1000"})


@pytest.mark.parametrize("token", ["-1", "x", "1.5", "²", "9" * 5000], ids=lambda token: token[:9])
async def test_a_page_token_that_nobody_gave_is_refused(runs, refusal, token):
    refused = await refusal(runs.ListRuns(runs_pb2.ListRunsRequest(page_token=token)))

    assert refused.code is INVALID
    assert refused.violations["page_token"].endswith(": the next_page_token of a page")


async def test_a_page_after_the_last_run_is_empty(runs):
    page = await runs.ListRuns(runs_pb2.ListRunsRequest(page_token="9" * 18))

    assert (list(page.runs), page.next_page_token) == ([], "")


async def test_a_negative_revision_is_refused(runs, learning_rates, refusal):
    calls = (
        runs.WatchRun(runs_pb2.WatchRunRequest(run="digits", after_revision=-1)),
        learning_rates.ListDecisions(
            learning_rates_pb2.ListDecisionsRequest(run="digits", after_revision=-1)
        ),
    )
    for call in calls:
        assert (await refusal(call)).violations == {"after_revision": "-1: 0 or greater"}


async def test_pages_follow_each_other_without_gap_or_repetition(runs, learning_rates, service):
    service.views = service.views * 3
    tokens = [""]
    while tokens[-1] or len(tokens) == 1:
        request = runs_pb2.ListRunsRequest(page_size=2, page_token=tokens[-1])
        tokens.append((await runs.ListRuns(request)).next_page_token)

    assert tokens == ["", "2", ""]


async def test_the_history_goes_on_after_the_last_revision_of_a_page(
    learning_rates, service, record_of
):
    service.records = [record_of(revision) for revision in (1, 2, 3)]
    first = await learning_rates.ListDecisions(
        learning_rates_pb2.ListDecisionsRequest(run="digits", page_size=2)
    )
    second = await learning_rates.ListDecisions(
        learning_rates_pb2.ListDecisionsRequest(
            run="digits", page_size=2, after_revision=first.next_after_revision
        )
    )

    pages = [[one.decision.revision for one in page.decisions] for page in (first, second)]
    assert pages == [[1, 2], [3]]
    assert not second.HasField("next_after_revision")


async def test_the_present_learning_rates_come_with_their_parts(learning_rates):
    response = await learning_rates.GetLearningRates(
        learning_rates_pb2.GetLearningRatesRequest(run="digits")
    )

    [group] = response.groups
    assert (response.run, response.step, response.revision) == ("digits", 60, 1)
    assert (group.learning_rate, group.base, group.operator) == (0.0005, 0.001, 0.5)
    assert not group.HasField("hold")


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("alice@desk", "alice@desk"),
        ("j%C3%BCrgen", "jürgen"),
        ("x" * 128, "x" * 128),
    ],
)
async def test_a_caller_is_who_it_says(runs, service, said, heard):
    await runs.StopRun(
        runs_pb2.StopRunRequest(run="digits"), metadata=(("x-rheostat-principal", said),)
    )

    assert service.asked == [("stop_run", {"principal": heard})]


@pytest.mark.parametrize("said", [None, "", "a%0Ab", "x" * 129])
async def test_a_caller_without_a_usable_name_is_where_it_calls_from(runs, service, said):
    metadata = () if said is None else (("x-rheostat-principal", said),)
    await runs.StopRun(runs_pb2.StopRunRequest(run="digits"), metadata=metadata)

    [(_, heard)] = service.asked
    assert heard["principal"].startswith("ipv4:127.0.0.1:")
