"""A policy that was trained: a small network decides, from a file that it came in."""

from pathlib import Path
from typing import Any

from rheostat_policies.api import KEEP, Action, Observation, RunInfo
from rheostat_policies.learned.answers import Anchored
from rheostat_policies.learned.features import observed_by, rows_of
from rheostat_policies.learned.online import online_of
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

    With `online` it goes on learning while the run trains: its answers are moved a little at
    random, and more in the directions after which the train loss fell faster, by `trust` at most
    (see `rheostat_policies.learned.online`). That is an experiment to be watched, not a default: a
    live run can tell what a window brought, and not what it does to the end.

    Args:
        file: the policy file, or the name of one that comes with Rheostat; by default `one_cycle`.
        online: whether it goes on learning.
        trust: most that learning can move an answer, 0 to 1, of the 1 that is its bound.
        rate: of one update, 0 to 1.
        noise: standard deviation of what is tried, 0 to 1.

    Raises:
        ValueError: if the file cannot be read, is damaged, or sees what cannot be shown; if it is
            to learn and has no anchored answers; if an argument is out of its range.
    """

    def __init__(
        self,
        *,
        file: str | None = None,
        online: bool = False,
        trust: float = 0.25,
        rate: float = 0.05,
        noise: float = 0.1,
    ) -> None:
        _, self.learned = find_policy(file)
        self.observes = observed_by(self.learned.features)
        settings = online_of(trust=trust, rate=rate, noise=noise)
        self.online = settings if online else None
        if online and not isinstance(self.learned.answers, Anchored):
            raise ValueError("online=True must go with a file whose answers are anchored")

    def initial_state(self, run: RunInfo) -> dict[str, Any]:
        """Start with nothing seen."""
        state = {"groups": [group.name for group in run.groups], "summary": nothing_yet()}
        if self.online is not None:
            width = self.learned.network.layers[-1][0].shape[1]
            state["online"] = self.online.begin(run.seed, width)
        return state

    def decide(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Remember the step; at the end of a window, let the network answer."""
        learned, groups = self.learned, state["groups"]
        summary = note(state["summary"], observation)
        if not is_due(summary, observation.step, learned.every):
            return KEEP, {**state, "summary": summary}

        rows = rows_of(learned.features, observation, summary, learned.answers.shown(groups))
        hidden = learned.network.hidden(learned.normaliser(rows))
        outputs = learned.network.head(hidden)
        state = {**state, "summary": next_window(summary, observation.step, learned.every)}
        if self.online is not None:
            loss = summary["loss"] if summary["steps"] else None
            known = self.online.learn(state["online"], summary["loss_before"], loss)
            outputs, state["online"] = self.online.move(known, outputs, hidden)
        exponents = learned.answers.exponents(outputs)
        factors = learned.answers.factors(exponents, groups, observation)
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
