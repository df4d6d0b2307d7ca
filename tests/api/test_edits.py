"""Requests for schedules and policies: what reaches the service, and what is refused by name."""

import grpc
import msgspec
import pytest

from rheostat.errors import InvalidRequest, Violation
from rheostat.steering.records import Change, PolicyEdit, ScheduleEdit, Verb
from rheostat.steering.requests import check
from rheostat.v1 import learning_rates_pb2 as pb
from rheostat.v1 import policies_pb2
from rheostat.v1.policies_pb2_grpc import PoliciesStub

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def ask(learning_rates, channel):
    """Make a request for an edit, whichever service it is for."""
    policies = PoliciesStub(channel)

    def ask(request, **call):
        method = type(request).__name__.removesuffix("Request")
        stub = policies if hasattr(policies, method) else learning_rates
        return getattr(stub, method)(request, **call)

    return ask


@pytest.fixture
def strict(service):
    """The service, refusing changes as the real one does."""

    async def change_learning_rate(run, change, *, wait):
        check(change, ["body", "head"])

    service.change_learning_rate = change_learning_rate


WISHES = [
    (
        pb.SwapScheduleRequest(schedule="StepLR", args='{"step_size": 9}'),
        Change(verb=Verb.SWAP, edit=ScheduleEdit(schedule="StepLR", args='{"step_size": 9}')),
    ),
    (
        pb.SwapScheduleRequest(schedule="constant", rescale=False),
        Change(verb=Verb.SWAP, edit=ScheduleEdit(schedule="constant", rescale=False)),
    ),
    (
        pb.SetHorizonRequest(steps=300),
        Change(verb=Verb.HORIZON, edit=ScheduleEdit(steps=300)),
    ),
    (
        pb.SetHorizonRequest(steps=300, rescale=False),
        Change(verb=Verb.HORIZON, edit=ScheduleEdit(steps=300, rescale=False)),
    ),
    (pb.StartCooldownRequest(), Change(verb=Verb.COOLDOWN, edit=ScheduleEdit())),
    (
        pb.StartCooldownRequest(steps=9, shape="cosine", ratio=0.0),
        Change(verb=Verb.COOLDOWN, edit=ScheduleEdit(steps=9, shape="cosine", ratio=0.0)),
    ),
    (
        pb.RewarmScheduleRequest(steps=9, ratio=0.5),
        Change(verb=Verb.REWARM, edit=ScheduleEdit(steps=9, ratio=0.5)),
    ),
    (
        policies_pb2.AttachPolicyRequest(policy="plateau", args="{}", shadow=True),
        Change(verb=Verb.ATTACH, policy=PolicyEdit(policy="plateau", args="{}", shadow=True)),
    ),
    (
        policies_pb2.UpdatePolicyRequest(policy="plateau", shadow=True),
        Change(verb=Verb.SHADOW, policy=PolicyEdit(policy="plateau")),
    ),
    (
        policies_pb2.UpdatePolicyRequest(policy="plateau", shadow=False),
        Change(verb=Verb.ENGAGE, policy=PolicyEdit(policy="plateau")),
    ),
    (
        policies_pb2.UpdatePolicyRequest(policy="plateau", revive=True),
        Change(verb=Verb.REVIVE, policy=PolicyEdit(policy="plateau")),
    ),
    (
        policies_pb2.DetachPolicyRequest(policy="plateau"),
        Change(verb=Verb.DETACH, policy=PolicyEdit(policy="plateau")),
    ),
    (
        policies_pb2.DetachPolicyRequest(policy="plateau", ramp_steps=50),
        Change(verb=Verb.DETACH, policy=PolicyEdit(policy="plateau", ramp_steps=50)),
    ),
]


@pytest.mark.parametrize(("request_", "change"), WISHES, ids=lambda one: type(one).__name__)
async def test_an_edit_reaches_the_service_as_it_was_asked_for(ask, service, request_, change):
    request_ = type(request_).FromString(request_.SerializeToString())
    request_.run = "digits"
    bare = await ask(request_, metadata=(("x-rheostat-principal", "alice"),))
    request_.options.MergeFrom(
        pb.ChangeOptions(
            groups=["head"],
            at_step=0,
            reason="why not",
            request_id="r-1",
            expected_revision=0,
            dry_run=True,
            wait=False,
        )
    )
    pending = await ask(request_, metadata=(("x-rheostat-principal", "alice"),))

    first, second = (arguments for method, arguments in service.asked)
    plain = msgspec.structs.replace(change, principal="alice")
    full = msgspec.structs.replace(
        plain,
        groups=("head",),
        at_step=0,
        reason="why not",
        request_id="r-1",
        expected_revision=0,
        dry_run=True,
    )
    assert first == {"change": plain, "wait": True}
    assert second == {"change": full, "wait": False}
    assert (bare.change.applied_step, bare.change.decision.reason) == (41, "too noisy")
    assert (pending.change.pending, pending.change.request_id) == (True, "r-1")


MISTAKES = [
    (pb.SwapScheduleRequest(), {"schedule": "a name, as in a spec"}),
    (
        pb.SwapScheduleRequest(schedule="cosin"),
        {"schedule": "cosin: unknown name, did you mean cosine"},
    ),
    (
        pb.SwapScheduleRequest(schedule="StepLR", args='{"step_size": 0.5, "gama": 3}'),
        {"args.step_size": "0.5: ", "args.gama": "did you mean gamma?"},
    ),
    (pb.SwapScheduleRequest(schedule="StepLR", args="{"), {"args": "{: a JSON object: "}),
    (
        pb.SwapScheduleRequest(schedule="StepLR", args="[" * 50_000),
        {"args": "a JSON object that is nested less deep"},
    ),
    (
        pb.SwapScheduleRequest(schedule="StepLR", args='{"step_size": NaN, "x": "\\ud800"}'),
        {"args.step_size": "NaN: a finite number", "args.x": "without broken characters"},
    ),
    (pb.SwapScheduleRequest(schedule="StepLR", args="[]"), {"args": "[]: a JSON object"}),
    (
        pb.SwapScheduleRequest(schedule="StepLR", args=" " * 200_000),
        {"args": "…: at most 100000 characters"},
    ),
    (pb.SetHorizonRequest(), {"steps": "a number of optimizer steps, at least 1"}),
    (pb.SetHorizonRequest(steps=0), {"steps": "0: at least 1 optimizer step"}),
    (
        pb.SetHorizonRequest(steps=9, options=pb.ChangeOptions(groups=["head"])),
        {"options.groups": "head: nothing: horizon is for the whole run"},
    ),
    (pb.StartCooldownRequest(steps=-1), {"steps": "-1: at least 1 optimizer step"}),
    (
        pb.StartCooldownRequest(ratio=1.5, shape="round"),
        {
            "ratio": "1.5: a share of the LR, 0 to 1",
            "shape": "round: one of 1-sqrt, linear, cosine",
        },
    ),
    (pb.StartCooldownRequest(ratio=float("nan")), {"ratio": "nan: a share of the LR, 0 to 1"}),
    (pb.RewarmScheduleRequest(), {"steps": "a number of optimizer steps, at least 1"}),
    (
        pb.RewarmScheduleRequest(steps=0, ratio=-0.1),
        {"steps": "0: at least 1", "ratio": "-0.1: a share of the LR, 0 to 1"},
    ),
    (policies_pb2.AttachPolicyRequest(), {"policy": "a name, as in a spec"}),
    (
        policies_pb2.AttachPolicyRequest(policy="plateau", args='{"patiense": 3}'),
        {"args.patiense": "did you mean patience?"},
    ),
    (
        policies_pb2.AttachPolicyRequest(
            policy="plateau", options=pb.ChangeOptions(groups=["head"])
        ),
        {"options.groups": "head: nothing: attach is for the whole run"},
    ),
    (
        policies_pb2.UpdatePolicyRequest(shadow=True),
        {"policy": "the name of one of the run's policies"},
    ),
    (
        policies_pb2.DetachPolicyRequest(ramp_steps=0),
        {
            "policy": "the name of one of the run's policies",
            "ramp_steps": "0: at least 1 optimizer step",
        },
    ),
    (
        pb.StartCooldownRequest(
            options=pb.ChangeOptions(
                groups=["body", "haed"],
                at_step=-1,
                reason="x" * 3000,
                request_id="x" * 300,
                expected_revision=-2,
            )
        ),
        {
            "options.groups[1]": "haed: one of the run's groups (body, head); did you mean head?",
            "options.at_step": "-1: 0 or greater",
            "options.reason": "at most 2000 characters, not 3000",
            "options.request_id": "at most 200 characters, not 300",
            "options.expected_revision": "-2: 0 or greater",
        },
    ),
]


@pytest.mark.parametrize(("request_", "told"), MISTAKES, ids=lambda one: type(one).__name__)
async def test_every_mistake_is_told_with_its_field_its_value_and_the_mend(
    ask, strict, refusal, request_, told
):
    request_ = type(request_).FromString(request_.SerializeToString())
    request_.run = "digits"

    refused = await refusal(ask(request_))

    assert refused.code is INVALID
    assert set(refused.violations) == set(told)
    for field, text in told.items():
        assert text in refused.violations[field]


@pytest.mark.parametrize(
    "nothing",
    [
        policies_pb2.UpdatePolicyRequest(policy="plateau"),
        policies_pb2.UpdatePolicyRequest(policy="plateau", revive=False),
    ],
)
async def test_an_update_that_asks_for_nothing_is_refused(ask, refusal, nothing):
    nothing = policies_pb2.UpdatePolicyRequest.FromString(nothing.SerializeToString())
    nothing.run = "digits"

    refused = await refusal(ask(nothing))

    assert (refused.code, refused.violations) == (INVALID, {"change": "shadow, or revive = true"})


@pytest.mark.parametrize("kind", sorted({type(request) for request, _ in WISHES}, key=str))
async def test_an_edit_of_no_run_is_refused(ask, refusal, kind):
    wish = next(request for request, _ in WISHES if type(request) is kind)

    refused = await refusal(ask(wish))

    assert (refused.code, refused.violations) == (INVALID, {"run": "the name of a run"})


async def test_what_only_the_trainer_can_see_is_named_as_in_the_request_too(ask, service, refusal):
    service.errors = [
        InvalidRequest(
            [Violation("args.step_size", "0", "1 or more"), Violation("at_step", "9", "less")]
        )
    ]

    refused = await refusal(ask(pb.SwapScheduleRequest(run="digits", schedule="StepLR")))

    assert refused.violations == {"args.step_size": "0: 1 or more", "options.at_step": "9: less"}


async def test_a_step_to_explain_reaches_the_service(learning_rates, service):
    asked = []
    explain = service.explain

    async def heard(run, step=None):
        asked.append(step)
        return await explain(run, step)

    service.explain = heard
    await learning_rates.ExplainLearningRates(pb.ExplainLearningRatesRequest(run="digits"))
    await learning_rates.ExplainLearningRates(pb.ExplainLearningRatesRequest(run="digits", step=0))

    assert asked == [None, 0]
