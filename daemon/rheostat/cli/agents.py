"""What an agent, such as a language model, may see of a daemon's runs and do to them.

An agent is an operator that nobody watches, so it is held shorter than people are: it begins in
shadow, where its changes are computed and not applied; it moves an LR by a bounded factor at a
time; it changes only runs that it was given; and it says why. Behind all that are its token's
role, two-person rules and the guardrails of each run, which the daemon sees to.
"""

import fnmatch
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from rheostat.cli.bases import bases_of
from rheostat.cli.shapes import (
    change_result,
    decision_fields,
    learning_rate_explanation,
    run_details,
    run_row,
)
from rheostat.errors import FailedPrecondition, InvalidRequest, Violation
from rheostat.steering.records import Change, Verb

if TYPE_CHECKING:
    from rheostat.client import Client
    from rheostat.runs.records import RunView

MAX_POINTS = 200
"""Of a curve: an agent reads numbers, and pays for each."""
MAX_DECISIONS = 50

AgentVerb = Literal["scale", "ramp", "set", "hold", "release"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How far an agent may go."""

    acts: bool = False
    """Whether its changes are applied; otherwise it is in shadow."""
    max_factor: float = 2.0
    """Most that one change may multiply or divide an LR by, > 1."""
    runs: Sequence[str] = ("*",)
    """Patterns of the names of runs that it may change."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_factor) and self.max_factor > 1):
            raise InvalidRequest(
                [Violation("max_factor", f"{self.max_factor:g}", "finite, greater than 1")]
            )


class Tools:
    """The tools themselves; what they answer is the JSON of the verbs of the same names.

    Args:
        client: of the daemon.
        terms: of the agent.
    """

    def __init__(self, client: "Client", terms: Terms) -> None:
        self._client = client
        self._terms = terms

    @property
    def reading(self) -> tuple[Callable[..., Any], ...]:
        """Those that change nothing."""
        return (
            self.list_runs,
            self.show_run,
            self.read_curves,
            self.explain_learning_rate,
            self.list_decisions,
            self.list_policies,
            self.list_checkpoints,
        )

    @property
    def changing(self) -> tuple[Callable[..., Any], ...]:
        """Those that change a run, or say in shadow what they would."""
        return (self.change_learning_rate, self.pause_run, self.resume_run)

    def list_runs(self) -> list[dict[str, Any]]:
        """List all runs with their phase, step, losses and learning rates."""
        return [run_row(view) for view in self._client.list_runs()]

    def show_run(self, run: str) -> dict[str, Any]:
        """Show one run: its spec, where it stands, what befell it, how it ended."""
        return run_details(self._client.get_run(run))

    def read_curves(self, run: str, points: int = 50) -> dict[str, Any]:
        """Return losses and learning rates of a run by step, thinned; extremes are kept."""
        from rheostat.cli.curves import curves_of  # here, since it imports numpy

        points = max(2, min(points, MAX_POINTS))
        curves = curves_of(run, self._client.export_run(run), ())
        lines = {"train_loss": curves.train_loss, "validation_loss": curves.validation_loss}
        lines |= {f"learning_rate.{name}": line for name, line in curves.learning_rate.items()}
        thinned = {name: line.thinned(max(1, points // 3)) for name, line in lines.items()}
        return {
            name: {"steps": [*map(int, line.steps)], "values": _finite(line.values)}
            for name, line in thinned.items()
        }

    def explain_learning_rate(self, run: str, step: int | None = None) -> dict[str, Any]:
        """Say what the learning rates are made of, now or at a finished step, and who decided."""
        explained = self._client.explain(run, step)
        bases = bases_of(self._client.get_run(run), explained.decisions)
        return learning_rate_explanation(explained, bases)

    def list_decisions(self, run: str, last: int = 20) -> list[dict[str, Any]]:
        """List the newest changes of a run's learning rates: when, who, what, and why."""
        last = max(1, min(last, MAX_DECISIONS))
        after = max(0, self._client.get_run(run).revision - last)
        return [decision_fields(one.decision) for one in self._client.list_decisions(run, after)]

    def list_policies(self, run: str) -> list[dict[str, Any]]:
        """List the policies of a run, their factors, and how often they have answered what."""
        return [msgspec.to_builtins(policy) for policy in self._client.list_policies(run)]

    def list_checkpoints(self, run: str) -> list[dict[str, Any]]:
        """List the checkpoints that a run could be taken back to."""
        return [msgspec.to_builtins(one) for one in self._client.list_checkpoints(run)]

    def change_learning_rate(
        self,
        run: str,
        verb: AgentVerb,
        reason: str,
        value: float | None = None,
        steps: int | None = None,
        groups: list[str] | None = None,
        expires_after_steps: int | None = None,
    ) -> dict[str, Any]:
        """Change the learning rate of a run at its next step, or say in shadow what that would do.

        scale multiplies it by `value`; ramp brings it to `value` over `steps`; set makes it `value`
        and lets the schedule go on from there; hold keeps it at `value` until released or expired;
        release undoes them. Without groups it is for all. Say why in `reason`.
        """
        self._check(run, reason)
        wish = Change(
            verb=Verb(verb),
            value=value,
            steps=steps,
            groups=tuple(groups or ()),
            expires_after_steps=expires_after_steps,
            reason=reason,
            dry_run=True,
        )
        revision = self._client.get_run(run).revision
        self._check_factor(run, wish)
        answer = self._client.change_learning_rate(run, wish)
        if self._terms.acts:
            # Of what was looked at, and of nothing that somebody has made of it since.
            wish = msgspec.structs.replace(wish, dry_run=False, expected_revision=revision)
            answer = self._client.change_learning_rate(run, wish)
        return {**change_result(answer), "shadow": not self._terms.acts}

    def pause_run(self, run: str, reason: str) -> dict[str, Any]:
        """Let a run stand still before its next step, until somebody lets it go on."""
        return self._move(run, reason, self._client.pause_run)

    def resume_run(self, run: str, reason: str) -> dict[str, Any]:
        """Let a paused run go on."""
        return self._move(run, reason, self._client.resume_run)

    def _move(self, run: str, reason: str, verb: "Callable[[str], RunView]") -> dict[str, Any]:
        """Do a verb, or in shadow only look; return where the run stands then."""
        self._check(run, reason)
        view = (verb if self._terms.acts else self._client.get_run)(run)
        return {**run_row(view), "shadow": not self._terms.acts}

    def _check(self, run: str, reason: str) -> None:
        if not any(fnmatch.fnmatchcase(run, pattern) for pattern in self._terms.runs):
            given = ", ".join(self._terms.runs)
            raise FailedPrecondition(f"{run} is not among the runs this agent may change: {given}")
        if not reason.strip():
            raise InvalidRequest([Violation("reason", reason, "say why, in a few words")])

    def _check_factor(self, run: str, wish: Change) -> None:
        """Refuse a wish that moves any LR further than one change may.

        Raises:
            InvalidRequest: with the bound, and the value that is as far as it goes.
        """
        if wish.value is None:
            return
        limit = self._terms.max_factor
        for group in self._client.explain(run).groups:
            if wish.groups and group.name not in wish.groups:
                continue
            now = 1.0 if wish.verb is Verb.SCALE else group.learning_rate
            if not now / limit <= wish.value <= now * limit:
                expected = f"from {now / limit:.6g} to {now * limit:.6g}: a change may move an LR "
                expected += f"by a factor of {limit:g} at most (group {group.name})"
                raise InvalidRequest([Violation("value", f"{wish.value:g}", expected)])


def _finite(values: Iterable[float]) -> list[float | None]:
    """Return values as JSON can say them: what is not finite is None."""
    return [float(value) if math.isfinite(value) else None for value in values]
