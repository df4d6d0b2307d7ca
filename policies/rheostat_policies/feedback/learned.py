"""A policy that was trained: a small network decides, from a file that it came in."""

from pathlib import Path
from typing import Any

from rheostat_policies.api import KEEP, Action, Observation, RunInfo
from rheostat_policies.learned.features import observed_by, rows_of
from rheostat_policies.learned.policy_file import LearnedPolicy, read_policy_file
from rheostat_policies.learned.shipped import shipped_file
from rheostat_policies.learned.summary import is_due, next_window, note, nothing_yet


class Learned:
    """Ask a trained network, every so many steps, what the factors should be.

    Observes what its file says: features of the steps since the last decision. They are brought to
    the scale of the training, and the network answers; for the usual, anchored kind

        f_g = exp(reach * clamp(network(features_g), -1, 1))

    so an untrained one, whose answers are 0, is the schedule itself. It is trained by
    `rheostat learn`, in an environment that is the trainer itself (docs/learned-policies.md).

    A controller knows the tasks it was trained on. On another it may be worth something or not: let
    it run in `shadow` first, and keep `guardrails.max_drift` for the rest. Validation features are
    as fresh as `evaluate.every` makes them; give it the value of the training.

    Args:
        file: the policy file, or the name of one that comes with Rheostat; by default `one_cycle`.

    Raises:
        ValueError: if the file cannot be read, is damaged, or sees what cannot be shown.
    """

    def __init__(self, *, file: str | None = None) -> None:
        _, self.learned = find_policy(file)
        self.observes = observed_by(self.learned.features)

    def initial_state(self, run: RunInfo) -> dict[str, Any]:
        """Start with nothing seen."""
        groups = [group.name for group in run.groups]
        return {"groups": groups, "summary": nothing_yet()}

    def decide(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Remember the step; at the end of a window, let the network answer."""
        learned, groups = self.learned, state["groups"]
        summary = note(state["summary"], observation)
        if not is_due(summary, observation.step, learned.every):
            return KEEP, {"groups": groups, "summary": summary}

        rows = rows_of(learned.features, observation, summary, learned.answers.shown(groups))
        exponents = learned.answers.exponents(learned.network(learned.normaliser(rows)))
        factors = learned.answers.factors(exponents, groups, observation)
        summary = next_window(summary, observation.step, learned.every)
        state = {"groups": groups, "summary": summary}
        if all(observation.factor.get(group) == factor for group, factor in factors.items()):
            return KEEP, state
        told = ", ".join(f"{exponent:+.3f}" for exponent in exponents)
        reason = f"the network answers {told} at step {observation.step + 1}"
        return Action(factor=factors, reason=reason), state


def find_policy(file: str | None) -> tuple[Path, LearnedPolicy]:
    """Return a policy and the file it came in.

    Args:
        file: as `Learned` takes it.

    Raises:
        ValueError: if it is none; names it.
    """
    path = shipped_file(file)
    try:
        return path, read_policy_file(path)
    except ValueError as error:
        raise ValueError(f"file={file} must be a learned policy: {error}") from error
