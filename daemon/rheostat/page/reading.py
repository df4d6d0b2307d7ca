"""What the page reads: runs, their curves, their history."""

from aiohttp import web

from rheostat.errors import InvalidRequest, Violation
from rheostat.page.answering import answer
from rheostat.page.asking import number, optional_number
from rheostat.page.gate import Call
from rheostat.page.shapes import decision, finished_steps, record, run_details, run_row
from rheostat.page.sketch import BUCKETS, told
from rheostat.page.sketches import Sketches
from rheostat.runs.records import RunView
from rheostat.runs.service import RunService

MOST_RUNS = 500
"""Newest runs that are listed."""
MOST_DECISIONS = 1000
"""Of one page of the history."""
MOST_GROUPS = 24
"""Whose curves are told at once."""
USUAL_GROUPS = 6


class Reads:
    """Answers everything that changes nothing.

    Args:
        service: whose runs.
        sketches: of their curves.
    """

    def __init__(self, service: RunService, sketches: Sketches) -> None:
        self._service = service
        self._sketches = sketches

    async def me(self, call: Call) -> web.Response:
        """Say who is asking."""
        return answer({"principal": call.identity.principal, "proof": call.identity.proof})

    async def runs(self, call: Call) -> web.Response:
        """List the newest runs that the caller may see, the newest first."""
        views = [view for view in await self._service.list_runs() if await call.shows(view.name)]
        newest = views[-MOST_RUNS:][::-1]
        return answer({"runs": [run_row(view) for view in newest], "all": len(views)})

    async def run(self, call: Call) -> web.Response:
        """Show a run, and what the caller may do with it."""
        view = await self._service.get_run(call.run)
        return answer({**run_details(view), "role": await call.role_for(call.run)})

    async def steps(self, call: Call) -> web.Response:
        """Tell the curves of some steps, in so many buckets at most."""
        view = await self._service.get_run(call.run)
        groups, focus = curves_of(call.request, view)
        start = number(call.request, "from", 0)
        end = number(call.request, "to", max(finished_steps(view), start + 1), least=1)
        if end <= start:
            raise InvalidRequest([Violation("to", str(end), f"more than from, which is {start}")])
        points = number(call.request, "points", BUCKETS, least=2, most=2 * BUCKETS)
        undone = optional_number(call.request, "undone", least=1)
        sketch = await self._sketches.part(call.run, start, end, points=points, undone=undone)
        return answer(told(sketch, groups=groups, focus=focus))

    async def decisions(self, call: Call) -> web.Response:
        """Tell a page of the history, oldest first: the newest, or those up to a revision."""
        view = await self._service.get_run(call.run)
        size = number(call.request, "size", 200, least=1, most=MOST_DECISIONS)
        until = min(number(call.request, "until", view.revision), view.revision)
        after = max(until - size, 0)
        records = await self._service.list_decisions(
            call.run, after_revision=after, limit=until - after
        )
        return answer({"decisions": [record(one) for one in records]})

    async def explanation(self, call: Call) -> web.Response:
        """Say how the LRs of a step come about."""
        explained = await self._service.explain(call.run, optional_number(call.request, "step"))
        return answer(
            {
                "step": explained.step,
                "revision": explained.revision,
                "groups": explained.groups,
                "decisions": [decision(one) for one in explained.decisions],
            }
        )

    async def checkpoints(self, call: Call) -> web.Response:
        """List the checkpoints of a run, oldest first."""
        return answer({"checkpoints": await self._service.list_checkpoints(call.run)})

    async def held(self, call: Call) -> web.Response:
        """List the changes that wait for a second person."""
        return answer({"held": await self._service.list_held_changes(call.run)})


def curves_of(request: web.Request, view: RunView) -> tuple[list[str], str | None]:
    """Return the groups whose curves a request asks for, and that whose components it does.

    Raises:
        InvalidRequest: if a group is not one of the run, or there are too many.
    """
    known = [group.name for group in view.groups]
    if not known and view.snapshot is not None:
        known = [group.name for group in view.snapshot.groups]
    groups = request.query.getall("group", known[:USUAL_GROUPS])
    focus = request.query.get("focus", groups[0] if groups else None)
    asked = [*groups, *([focus] if focus is not None else [])]
    expected = f"one of the run's groups ({', '.join(known[:USUAL_GROUPS])})"
    violations = [Violation("group", one[:40], expected) for one in asked if one not in known]
    if len(groups) > MOST_GROUPS:
        violations.append(Violation("group", str(len(groups)), f"at most {MOST_GROUPS} of them"))
    if violations:
        raise InvalidRequest(violations)
    return groups, focus
