"""The conditions of a TrainingRun: Accepted, LearningRateApplied, Drifted, Finished."""

from collections.abc import Iterator, Sequence
from typing import Literal

from rheostat.cluster.findings import ACCEPTED, LEARNING_RATE_APPLIED, Findings
from rheostat.cluster.reported import Acted, Condition
from rheostat.cluster.wording import stamp, told

Answer = tuple[Literal["True", "False", "Unknown"], str, str]
"""Status, reason in one word, message."""


def conditions(found: Findings) -> list[Condition]:
    """Return the conditions; each has stood as it does since the time it carries."""
    answers = {
        ACCEPTED: _accepted(found),
        LEARNING_RATE_APPLIED: _learning_rate_applied(found),
        "Drifted": _drifted(found),
        "Finished": _finished(found),
    }
    return list(_dated(answers, found))


def _accepted(found: Findings) -> Answer:
    refusal = found.refusal(ACCEPTED)
    if refusal is not None:
        return "False", refusal.reason, refusal.message
    if found.is_lost:
        name = found.resource.status.run
        again = "delete the resource and apply it again to train anew"
        if found.resource.is_attached:
            again = "it is taken up when a script is attached under that name"
        message = f"daemon {found.daemon} has no run {name} any more; {again}"
        return "False", "RunIsGone", message
    if found.is_changed:
        message = (
            "spec.run or spec.daemon was changed after the run began, which goes on as it began; "
            "delete the resource and apply it again for another run"
        )
        return "False", "ChangedTooLate", message
    is_attached = found.resource.is_attached
    if found.run is None or found.run.awaits_script:
        name = found.resource.run["name"]
        message = f"no script is attached as {name} to daemon {found.daemon} yet"
        return "Unknown", "Waiting", message if is_attached else ""
    return "True", "Attached" if is_attached else "Created", ""


def _learning_rate_applied(found: Findings) -> Answer | None:
    refusal = found.refusal(LEARNING_RATE_APPLIED)
    if refusal is not None:
        return "False", refusal.reason, refusal.message
    declaration = found.resource.declaration
    if found.run is None or declaration is None:
        return None
    if found.acted.is_all_of(declaration):
        if Acted().is_all_of(declaration):
            return "True", "NothingDeclared", ""
        return "True", "Applied", ""
    if found.run.phase.is_final:
        return "False", "RunHasEnded", f"run {found.run.name} has ended, its LR stays as it was"
    return "Unknown", "OnItsWay", ""


def _drifted(found: Findings) -> Answer | None:
    if found.run is None:
        return None
    foreign = found.drift
    if foreign is None:
        return "False", "AsDeclared", ""
    return "True", "ChangedElsewhere", f"{told(foreign)}; it is not undone"


def _finished(found: Findings) -> Answer | None:
    if found.run is None:
        return None
    phase, failure = found.run.phase, found.run.failure
    status: Literal["True", "False"] = "True" if phase.is_final else "False"
    return status, phase.value.capitalize(), failure.message if failure else ""


def _dated(answers: dict[str, Answer | None], found: Findings) -> Iterator[Condition]:
    before: Sequence[Condition] = found.resource.status.conditions
    since = {(one.type, one.status): one.last_transition_time for one in before}
    for kind, answer in answers.items():
        if answer is None:
            continue
        status, reason, message = answer
        yield Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message,
            observed_generation=found.resource.generation,
            last_transition_time=since.get((kind, status), stamp(found.now)),
        )
