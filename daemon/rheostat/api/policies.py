"""The `Policies` service."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from rheostat.api.edits import (
    as_asked,
    attaching_of,
    detaching_of,
    given,
    hello_of,
    response_of,
    update_of,
)
from rheostat.api.handling import Context, answers, principal_of, require_run, streams
from rheostat.api.permitting import permit_code
from rheostat.api.translate import to_message
from rheostat.door.authenticating import Door
from rheostat.errors import FailedPrecondition, InvalidRequest, Violation
from rheostat.runs.records import RunView
from rheostat.runs.service import RunService
from rheostat.runs.sessions import PolicySession
from rheostat.spec.building import policy_types
from rheostat.steering.records import Change
from rheostat.v1 import learning_rates_pb2
from rheostat.v1 import policies_pb2 as pb
from rheostat.v1.policies_pb2_grpc import PoliciesServicer


class PoliciesApi(PoliciesServicer):
    """Attaches policies, and speaks with those that run elsewhere."""

    def __init__(self, service: RunService, door: Door) -> None:
        self._service = service
        self._door = door

    @answers
    async def ListPolicyTypes(
        self, request: pb.ListPolicyTypesRequest, context: Context
    ) -> pb.ListPolicyTypesResponse:
        types = [
            pb.PolicyType(name=one.name, summary=one.summary, origin=one.origin)
            for one in policy_types()
        ]
        return pb.ListPolicyTypesResponse(types=types)

    @answers
    async def ListPolicies(
        self, request: pb.ListPoliciesRequest, context: Context
    ) -> pb.ListPoliciesResponse:
        view = await self._service.get_run(require_run(request.run))
        if view.snapshot is None:
            raise FailedPrecondition(f"run {view.name} is {view.phase} and has no policies yet")
        response = pb.ListPoliciesResponse(run=view.name, step=view.snapshot.step)
        for policy in view.snapshot.policies:
            to_message(policy, response.policies.add())
        return response

    @answers
    async def AttachPolicy(
        self, request: pb.AttachPolicyRequest, context: Context
    ) -> pb.AttachPolicyResponse:
        change = await self._change(request, attaching_of(request), context)
        return pb.AttachPolicyResponse(change=change)

    @answers
    async def UpdatePolicy(
        self, request: pb.UpdatePolicyRequest, context: Context
    ) -> pb.UpdatePolicyResponse:
        change = await self._change(request, update_of(request), context)
        return pb.UpdatePolicyResponse(change=change)

    @answers
    async def DetachPolicy(
        self, request: pb.DetachPolicyRequest, context: Context
    ) -> pb.DetachPolicyResponse:
        change = await self._change(request, detaching_of(request), context)
        return pb.DetachPolicyResponse(change=change)

    @streams
    async def ConnectPolicy(
        self, requests: AsyncIterator[pb.ConnectPolicyRequest], context: Context
    ) -> AsyncIterator[pb.ConnectPolicyResponse]:
        hello = await _hello(requests)
        change = msgspec.structs.replace(hello_of(hello), principal=principal_of(context))
        async with self._service.connect_policy(hello.run, change) as session:
            view = await self._service.get_run(hello.run)
            yield pb.ConnectPolicyResponse(welcome=_welcome(view))
            listening = asyncio.create_task(_listen(requests, session))
            try:
                async for observation in session.observations():
                    response = pb.ConnectPolicyResponse()
                    to_message(observation, response.observation)
                    yield response
                if listening.done():
                    listening.result()
            finally:
                listening.cancel()

    async def _change(
        self, request: Any, change: Change, context: Context
    ) -> learning_rates_pb2.ChangeLearningRateResponse:
        """Make a change of a policy that came with the usual options."""
        run = require_run(request.run)
        asked = msgspec.structs.replace(change, principal=principal_of(context))
        await permit_code(self._door, run, asked)
        wait = given(request.options, "wait", True)
        try:
            return response_of(await self._service.change_learning_rate(run, asked, wait=wait))
        except InvalidRequest as error:
            raise as_asked(error) from error


async def _hello(requests: AsyncIterator[pb.ConnectPolicyRequest]) -> pb.PolicyHello:
    """Return a caller's first message, which must be a hello."""
    async for request in requests:
        if request.WhichOneof("message") == "hello":
            return request.hello
        break
    raise InvalidRequest([Violation("hello", "", "a hello as the first message of the stream")])


async def _listen(requests: AsyncIterator[pb.ConnectPolicyRequest], session: PolicySession) -> None:
    """Pass answers on until the policy hangs up."""
    try:
        async for request in requests:
            if request.WhichOneof("message") != "action":
                raise InvalidRequest([Violation("message", "", "an action after the hello")])
            action = request.action
            session.answer(
                action.step, _factor_of(action), given(action, "ramp_steps", 1), action.reason
            )
    finally:
        session.close()


def _factor_of(action: pb.PolicyAction) -> float | dict[str, float] | None:
    """Return the factor that is asked for: of all groups, by group, or None to keep it."""
    factor: float | None = given(action, "factor")
    if factor is not None and action.factors:
        expected = "nothing beside action.factor: give one factor for all groups, or one by group"
        raise InvalidRequest([Violation("action.factors", str(dict(action.factors)), expected)])
    return dict(action.factors) or None if factor is None else factor


def _welcome(view: RunView) -> pb.PolicyWelcome:
    return pb.PolicyWelcome(
        run=view.name,
        steps=view.steps or 0,
        seed=json.loads(view.spec)["train"]["seed"],
        groups=[pb.PolicyGroup(name=one.name, parameters=one.parameters) for one in view.groups],
        step=view.snapshot.step if view.snapshot else 0,
    )
