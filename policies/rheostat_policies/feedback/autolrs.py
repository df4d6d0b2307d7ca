"""Try LRs out from the present state, and train on with the one that promises most."""

import math
from typing import Any

import numpy as np

from rheostat_policies.api import (
    KEEP,
    MAX_PROBE_STEPS,
    Action,
    Observation,
    Probe,
    RunInfo,
)
from rheostat_policies.feedback.bounds import Bounds
from rheostat_policies.feedback.forecast import forecast
from rheostat_policies.feedback.gaussian_process import posterior
from rheostat_policies.feedback.slope import LARGEST

_PLACES = 201
"""Factors between the bounds that a probe may try."""


class AutoLRS:
    """At the start of each stage, search the factor with the lowest loss at the stage's end.

    Observes `train_loss`, and what its probes find. A probe trains `stage * probe_share` steps from
    the present state with one factor, and everything comes back to that state. An exponential
    through its losses forecasts the loss at the end of the stage; a Gaussian process over
    log10(factor) guesses at the factors not tried, and the next probe goes where

        mean(x) - kappa * deviation(x)

    is lowest. After `probes` of them the factor with the lowest forecast is taken, for `stage`
    steps. Stages double in length up to `max_stage`. Between two probes the run takes one step of
    its own, with the factor of the stage before. A trial whose loss is not finite counts as the
    worst of all.

    After AutoLRS (arXiv 2105.10762), with three differences. The searched value is a factor of the
    schedule instead of the LR: beneath `constant` they are the same. Its kappa of 1000 explores and
    nothing else; 2 is the usual one. And outliers are not taken out before the forecast.

    For long runs whose LR nobody knows, beneath `constant` or after a warm-up. It costs
    `probes * probe_share` times the steps of the run again: all of it at the defaults. Not where
    steps are the scarce thing, and not for runs of less than a few stages.

    Args:
        stage: steps of the first stage, >= 10.
        max_stage: steps of the longest, >= `stage`.
        probes: factors tried for each stage, >= 2.
        probe_share: length of a probe as a share of the stage, greater than 0 and at most 1; of
            the longest stage it may be no more than `MAX_PROBE_STEPS`.
        kappa: standard deviations by which an unknown factor is given credit, >= 0.
        warmup_steps: steps at the start without probes, >= 0.
        min_factor: smallest factor, greater than 0 and at most 1.
        max_factor: largest factor, at least 1.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        *,
        stage: int = 1000,
        max_stage: int = 8000,
        probes: int = 10,
        probe_share: float = 0.1,
        kappa: float = 2.0,
        warmup_steps: int = 0,
        min_factor: float = 0.01,
        max_factor: float = 100.0,
    ) -> None:
        if stage < 10:
            raise ValueError(f"stage={stage} must be at least 10")
        if max_stage < stage:
            raise ValueError(f"max_stage={max_stage} must be at least stage, which is {stage}")
        if probes < 2:
            raise ValueError(f"probes={probes} must be at least 2")
        if not 0 < probe_share <= 1:
            raise ValueError(f"probe_share={probe_share} must be greater than 0 and at most 1")
        if round(max_stage * probe_share) > MAX_PROBE_STEPS:
            raise ValueError(
                f"probe_share={probe_share} of max_stage={max_stage} must be no more than "
                f"{MAX_PROBE_STEPS} steps"
            )
        if not 0 <= kappa < math.inf:
            raise ValueError(f"kappa={kappa} must be at least 0 and finite")
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps={warmup_steps} must be at least 0")
        if not min_factor < max_factor:
            raise ValueError(f"min_factor={min_factor} must be below max_factor={max_factor}")
        self.bounds = Bounds(min_factor, max_factor)
        self.stage = stage
        self.max_stage = max_stage
        self.probes = probes
        self.probe_share = probe_share
        self.kappa = kappa
        self.warmup_steps = warmup_steps
        self._places = np.linspace(math.log10(min_factor), math.log10(max_factor), _PLACES)

    def initial_state(self, run: RunInfo) -> dict[str, Any]:
        """Start the first stage after the warm-up, at the factor 1."""
        return {
            "stage": self.stage,
            "begins_at": self.warmup_steps,
            "factor": 1.0,
            "asked": None,  # log10 of the factor that is being tried
            "tried": [],  # pairs of log10(factor) and forecast; None for a loss not finite
        }

    def decide(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Note what a probe has found; ask for the next, or begin the stage."""
        if observation.step + 1 < state["begins_at"]:
            return KEEP, state
        if state["asked"] is not None:
            state = self._noted(state, observation)
        if len(state["tried"]) >= self.probes:
            return self._begin(state, observation)
        if not state["tried"]:
            place = math.log10(self.bounds.clamp(state["factor"]))
        else:
            place = self._promising(state["tried"])
        probe = Probe(factors=(10.0**place,), steps=self._probe_steps(state))
        return Action(probe=probe), {**state, "asked": place}

    def _probe_steps(self, state: dict[str, Any]) -> int:
        stage: int = state["stage"]
        return max(1, round(stage * self.probe_share))

    def _noted(self, state: dict[str, Any], observation: Observation) -> dict[str, Any]:
        """Return the state with what the probe asked for has found, if it was made."""
        asked, state = state["asked"], {**state, "asked": None}
        if observation.probe is None:
            return state
        losses = observation.probe.losses[0]
        is_sound = all(abs(loss) < LARGEST for loss in losses)
        expected = forecast(losses, state["stage"]) if is_sound else None
        return {**state, "tried": [*state["tried"], [asked, expected]]}

    def _promising(self, tried: list[list[float | None]]) -> float:
        """Return the place, as log10(factor), where the next probe may find most."""
        xs, ys = _known(tried)
        mean, deviation = posterior(xs, ys, self._places)
        return float(self._places[np.argmin(mean - self.kappa * deviation)])

    def _begin(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Train on with the factor of the lowest forecast."""
        xs, ys = _known(state["tried"])
        best = int(np.argmin(ys))
        factor = 10.0 ** float(xs[best])
        reason = (
            f"of {len(xs)} factors tried for {self._probe_steps(state)} steps each, this one "
            f"promises the lowest loss {state['stage']} steps on: {ys[best]:.4g}"
        )
        return Action(factor=factor, reason=reason), {
            "stage": min(self.max_stage, 2 * state["stage"]),
            "begins_at": observation.step + 1 + state["stage"],
            "factor": factor,
            "asked": None,
            "tried": [],
        }


def _known(tried: list[list[float | None]]) -> tuple[Any, Any]:
    """Return the places tried and their forecasts; a loss not finite counts as the worst."""
    finite = [expected for _, expected in tried if expected is not None]
    worst = max(finite, default=0.0)
    spread = worst - min(finite, default=0.0)
    ys = [worst + max(spread, 1.0) if expected is None else expected for _, expected in tried]
    return np.array([place for place, _ in tried], dtype=np.float64), np.array(ys)
