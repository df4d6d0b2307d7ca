"""When/then rules: a policy written in a spec, without Python."""

import math
from collections.abc import Iterable
from typing import Any

from rheostat_policies.api import KEEP, OBSERVABLE, Action, Observation, RunInfo
from rheostat_policies.feedback.rule import VARIABLES, Rule, read_rule


class Rules:
    """Change the factor when a condition on the run has held for a number of steps.

    Observes whatever its conditions name. Each rule is a mapping:

        name: what it is called, unique
        when: condition in CEL (the language of Kubernetes' validation rules)
        for: steps in a row the condition must hold, >= 1 (1)
        cooldown: steps after it fired in which the rule sleeps, >= 0 (100)
        then: one of `scale` (multiply the present factor) and `set` (the factor), > 0; with
            `ramp_steps` on the way there (1), `groups` (all), `min_factor` (0.01) and
            `max_factor` (10) that the result is held between
        reason: sentence for the record, with {variables} in Python's format syntax

    Rules are asked in their order at every step. One whose condition has held for `for` steps
    fires, at most one per step; what it asks for is bounded, and then it sleeps for `cooldown`
    steps and counts anew. One that would change nothing does not fire.

    Variables are the fields of the observation, with `progress` (0 to 1) and `train_loss_average`,
    the exponential moving average of the finite losses before this one (decay `average_decay`). A
    condition that hangs on what is not measured yet, or not at this step, is not true; neither is a
    comparison with a loss that is not a number, which `!math.isFinite(train_loss)` finds.

    Rules see one step and an average; for anything with a memory of its own write a policy. The
    conditions are compiled once.

    Args:
        rules: the rules, at least one.
        average_decay: of `train_loss_average`, 0 to below 1.

    Raises:
        ValueError: if a rule is malformed or its condition does not compile; names the rule.
    """

    def __init__(self, *, rules: list[dict[str, Any]], average_decay: float = 0.98) -> None:
        if not rules:
            raise ValueError(f"rules={rules} must have at least one rule")
        if not 0 <= average_decay < 1:
            raise ValueError(f"average_decay={average_decay} must be at least 0 and below 1")
        self.rules = [read_rule(rule, f"rules[{index}]") for index, rule in enumerate(rules)]
        self.average_decay = average_decay
        names = [rule.name for rule in self.rules]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise ValueError(f"rules[{index}] ({name}): name={name!r} must be unique")
        looked_at = {name for rule in self.rules for name in rule.condition.variables}
        self._variables = tuple(name for name in VARIABLES if name in looked_at)
        self.observes = tuple(name for name in OBSERVABLE if name in looked_at)

    def initial_state(self, run: RunInfo) -> dict[str, Any]:
        """Start with all rules awake and an empty average.

        Raises:
            ValueError: if a rule is for a group that the run does not have.
        """
        groups = [group.name for group in run.groups]
        for index, rule in enumerate(self.rules):
            for name in rule.groups:
                if name not in groups:
                    problem = f"group {name!r} must be one of {', '.join(groups)}"
                    raise ValueError(f"rules[{index}] ({rule.name}): {problem}")
        asleep = {rule.name: {"held": 0, "wakes_at": 0} for rule in self.rules}
        return {"average": 0.0, "weight": 0.0, "rules": asleep}

    def decide(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Ask every rule that is awake; let the first that is ready fire."""
        values = self._known(self._variables, state, observation)
        action, rules = KEEP, {}
        for rule in self.rules:
            now = state["rules"][rule.name]
            if observation.step >= now["wakes_at"]:
                held = now["held"] + 1 if rule.condition.holds(values) else 0
                now = {**now, "held": held}
                if held >= rule.for_steps and action is KEEP:
                    action = self._fire(rule, state, observation)
                    if action is not KEEP:
                        now = {"held": 0, "wakes_at": observation.step + 1 + rule.cooldown}
            rules[rule.name] = now
        return action, {**self._average_with(observation.train_loss, state), "rules": rules}

    def _fire(self, rule: Rule, state: dict[str, Any], observation: Observation) -> Action:
        """Return what a rule asks for, KEEP where that is what there is."""
        changed = {}
        for group in rule.groups or observation.factor:
            present = observation.factor.get(group, 1.0)
            if rule.wanted(present) != present:
                changed[group] = rule.wanted(present)
        if not changed:
            return KEEP
        reason = rule.explain(self._known(VARIABLES, state, observation))
        return Action(factor=changed, ramp_steps=rule.ramp_steps, reason=reason)

    def _known(
        self, names: Iterable[str], state: dict[str, Any], observation: Observation
    ) -> dict[str, Any]:
        """Return the variables of these names that have a value."""
        values: dict[str, Any] = {}
        for name in names:
            value: Any
            if name == "progress":
                value = (observation.step + 1) / max(1, observation.steps)
            elif name == "train_loss_average":
                value = state["average"] / state["weight"] if state["weight"] else None
            else:
                value = getattr(observation, name)
            if value is not None:
                values[name] = value
        return values

    def _average_with(self, loss: float, state: dict[str, Any]) -> dict[str, float]:
        """Return the average with one loss more; bias-corrected by its weight, as Adam's."""
        if not math.isfinite(loss):
            return {"average": state["average"], "weight": state["weight"]}
        keep = self.average_decay
        return {
            "average": keep * state["average"] + (1 - keep) * loss,
            "weight": keep * state["weight"] + (1 - keep),
        }
