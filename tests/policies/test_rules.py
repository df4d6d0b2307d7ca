"""Rules: conditions, counting, actions, and what is refused."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from rheostat_policies import POLICIES, Action, GroupInfo, Observation, Rules, RunInfo
from rheostat_policies.feedback.condition import TYPES, Condition
from rheostat_policies.feedback.rule import VARIABLES

GROUPS = ("body", "head")
RUN = RunInfo(
    name="a", steps=100, groups=tuple(GroupInfo(name=name, parameters=10) for name in GROUPS)
)


def a_rule(when: str = "train_loss > 2.0", **keys: Any) -> dict[str, Any]:
    return {"name": "spike", "when": when, "then": {"scale": 0.5}, **keys}


def play(policy: Rules, losses: list[float], **measured: Any) -> list[tuple[int, Action]]:
    """What fires at which step; changes arrive at once."""
    state: Any = policy.initial_state(RUN)
    factor, fired = dict.fromkeys(GROUPS, 1.0), []
    for step, loss in enumerate(losses):
        seen = Observation(
            step=step,
            steps=100,
            train_loss=loss,
            learning_rate=dict.fromkeys(GROUPS, 0.1),
            factor=factor,
            **measured,
        )
        action, state = policy.decide(state, seen)
        if isinstance(action.factor, dict):
            factor = {**factor, **action.factor}
            fired.append((step, action))
    return fired


def steps_of(fired: list[tuple[int, Action]]) -> list[int]:
    return [step for step, _ in fired]


def test_a_rule_fires_when_its_condition_has_held_for_so_many_steps() -> None:
    policy = Rules(rules=[a_rule(**{"for": 3})])

    assert steps_of(play(policy, [3.0, 3.0, 1.0, 3.0, 3.0, 3.0, 1.0])) == [5]


def test_it_sleeps_through_its_cooldown_and_then_counts_anew() -> None:
    policy = Rules(rules=[a_rule(cooldown=4, **{"for": 2})])

    assert steps_of(play(policy, [3.0] * 15)) == [1, 7, 13]


def test_one_rule_fires_per_step_in_their_order_and_the_next_one_follows() -> None:
    second = a_rule(name="also", then={"scale": 0.8, "groups": ["head"], "ramp_steps": 7})
    policy = Rules(rules=[a_rule(), second])

    first, then = play(policy, [3.0, 3.0, 3.0])

    assert first == (0, Action(factor={"body": 0.5, "head": 0.5}, reason="spike: train_loss > 2.0"))
    assert then[0] == 1
    assert then[1].factor == {"head": pytest.approx(0.4)}
    assert then[1].ramp_steps == 7


def test_a_scale_stops_at_its_bounds_and_a_rule_without_effect_does_not_fire() -> None:
    down = a_rule(cooldown=0, then={"scale": 0.5, "min_factor": 0.3})
    up = a_rule("train_loss < 2.0", name="calm", cooldown=0, then={"scale": 3, "max_factor": 2})

    fired = play(Rules(rules=[down, up]), [3.0] * 4 + [1.0] * 4)

    assert [(step, action.factor) for step, action in fired] == [
        (0, dict.fromkeys(GROUPS, 0.5)),
        (1, dict.fromkeys(GROUPS, 0.3)),
        (4, dict.fromkeys(GROUPS, pytest.approx(0.9))),
        (5, dict.fromkeys(GROUPS, 2.0)),
    ]


def test_a_bound_never_turns_a_cut_into_a_raise() -> None:
    deep = a_rule(then={"set": 0.05})
    cut = a_rule(name="cut", then={"scale": 0.5, "min_factor": 0.2})

    assert steps_of(play(Rules(rules=[deep, cut]), [3.0] * 5)) == [0]


def test_set_gives_the_factor_itself() -> None:
    back = a_rule("train_loss < 2.0", name="back", then={"set": 1, "ramp_steps": 50})

    fired = play(Rules(rules=[a_rule(), back]), [3.0, 1.0, 1.0])

    assert [action.factor for _, action in fired] == [
        dict.fromkeys(GROUPS, 0.5),
        dict.fromkeys(GROUPS, 1.0),
    ]


def test_the_reason_is_filled_in_with_what_was_observed() -> None:
    policy = Rules(
        rules=[
            a_rule(
                "train_loss > 3.0 * train_loss_average",
                reason="loss {train_loss:.2f} at {learning_rate[head]:.0e}, "
                "average {train_loss_average:.1f}, {progress:.0%} done",
            )
        ]
    )

    ((step, action),) = play(policy, [1.0] * 9 + [7.25])

    assert step == 9
    assert action.reason == "spike: loss 7.25 at 1e-01, average 1.0, 10% done"


def test_a_reason_that_names_what_is_not_measured_is_given_as_it_is_written() -> None:
    policy = Rules(rules=[a_rule(reason="accuracy is {validation_accuracy:.2f}")])

    ((_, action),) = play(policy, [3.0])

    assert action.reason == "spike: accuracy is {validation_accuracy:.2f}"


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("validation_loss < 3.0", False),
        ("!(validation_loss < 3.0)", False),
        ("validation_loss < 3.0 || train_loss > 2.0", True),
        ("train_loss > 2.0 || validation_loss < 3.0", True),
        ("validation_loss < 3.0 && train_loss > 2.0", False),
        ("gradient_norm > 1.0", False),
        ("learning_rate['nobody'] > 0.0", False),
        ("learning_rate['head'] > 0.05", True),
        ("learning_rate.all(group, learning_rate[group] < 0.2)", True),
        ("step % 10 == 0", True),
        ("double(step) / double(steps) < 0.1 && progress < 0.1", True),
        ("step / (steps - 100) > 1", False),
    ],
)
def test_what_is_not_measured_makes_a_condition_that_hangs_on_it_not_true(
    when: str, holds: bool
) -> None:
    assert steps_of(play(Rules(rules=[a_rule(when)]), [3.0])) == ([0] if holds else [])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_can_be_caught_and_stays_out_of_the_average(bad: float) -> None:
    lost = a_rule("!math.isFinite(train_loss)")
    jumped = a_rule("train_loss > 2.0 * train_loss_average", name="jumped", then={"scale": 0.9})

    fired = play(Rules(rules=[lost, jumped]), [1.0, bad, 1.0, 2.5])

    assert [(step, action.reason.split(":")[0]) for step, action in fired] == [
        (1, "spike"),
        (3, "jumped"),
    ]


def test_costly_observations_are_asked_for_only_where_a_condition_names_them() -> None:
    plain = Rules(rules=[a_rule()])
    costly = Rules(rules=[a_rule("gradient_norm > 10.0 && gradient_alignment < 0.0")])

    assert plain.observes == ()
    assert costly.observes == ("gradient_norm", "gradient_alignment")


def test_conditions_know_every_variable_by_its_type() -> None:
    assert set(TYPES) == set(VARIABLES)


def test_the_problem_of_an_expression_is_told_with_its_place_and_its_rule() -> None:
    with pytest.raises(ValueError, match=r"column 12: found no matching overload .* write 3\.0"):
        Condition("train_loss > 3")
    with pytest.raises(ValueError, match=r"line 2, column 4: undeclared reference to 'lost'; .*"):
        Condition("true\n&& lost > 1.0")
    with pytest.raises(ValueError, match=r"rules\[1\] \(late\): when='step >' does not compile"):
        Rules(rules=[a_rule(), a_rule("step >", name="late")])


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"name": ""}, "name='' must be a text"),
        ({"when": 3}, "when=3 must be a condition"),
        ({"when": "train_loss"}, "it gives a value of type DOUBLE, not true or false"),
        ({"when": "loss > 1.0"}, "undeclared reference to 'loss'"),
        ({"until": 3}, "unknown key 'until', there are cooldown, for,"),
        ({"for": 0}, "for=0 must be a whole number of at least 1"),
        ({"for": 2.5}, "for=2.5 must be"),
        ({"cooldown": -1}, "cooldown=-1 must be"),
        ({"then": None}, "then=None must be a mapping"),
        ({"then": {}}, "must have one of `scale` and `set`"),
        ({"then": {"scale": 1.0, "set": 1.0}}, "must have one of `scale` and `set`"),
        ({"then": {"scale": "x"}}, "scale='x' must be a finite number"),
        ({"then": {"set": 0}}, "set=0 must be a finite number"),
        ({"then": {"set": 20}}, "set=20.0 must be between 0.01 and 10.0"),
        ({"then": {"scale": 0.5, "min_factor": 2, "max_factor": 1}}, "min_factor=2.0 must be at"),
        ({"then": {"scale": 0.5, "ramp_steps": 0}}, "ramp_steps=0 must be"),
        ({"then": {"scale": 0.5, "groups": "head"}}, "groups='head' must be a list of names"),
        ({"then": {"scale": 0.5, "by": 1}}, "unknown key 'by'"),
        ({"reason": 3}, "reason=3 must be a text"),
        ({"reason": "{los}"}, "does not know 'los'"),
        ({"reason": "{train_loss:d}"}, "is no template"),
    ],
)
def test_a_malformed_rule_is_refused_with_its_name_and_its_problem(
    rule: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=r"rules\[0\]") as refusal:
        Rules(rules=[a_rule(**rule)])

    assert problem in str(refusal.value)


def test_no_rules_two_of_one_name_and_a_group_that_is_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one rule"):
        Rules(rules=[])
    with pytest.raises(ValueError, match=r"rules\[1\] \(spike\): name='spike' must be unique"):
        Rules(rules=[a_rule(), a_rule()])
    with pytest.raises(ValueError, match=r"average_decay=1\.0"):
        Rules(rules=[a_rule()], average_decay=1.0)
    with pytest.raises(ValueError, match="group 'neck' must be one of body, head"):
        Rules(rules=[a_rule(then={"scale": 0.5, "groups": ["neck"]})]).initial_state(RUN)


def test_the_documented_rules_can_be_used_as_they_stand() -> None:
    page = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)

    (plateau,), (rules,) = (YAML(typ="safe").load(block)["policies"] for block in blocks)

    POLICIES[plateau["name"]](**plateau["args"])
    fired = play(Rules(**rules["args"]), [1.0] * 20 + [8.0] * 4, validation_accuracy=0.5)
    assert steps_of(fired) == [21]
    assert "loss 8 is over 3 x its average of" in fired[0][1].reason


@pytest.mark.parametrize(
    "reason",
    [
        "{step:99999999999}",
        "{train_loss:.999999999f}",
        "{step:{steps}}",
        "{step.__class__.__mro__}",
        "{learning_rate.default_factory.__globals__}",
        "{factor[a].real}",
        "{step!r}",
    ],
)
def test_a_reason_is_no_program_and_fills_no_memory(reason):
    """Found by fuzzing: a width of eleven digits was tried out at the daemon's door."""
    rule = {"name": "one", "when": "step > 1", "then": {"scale": 0.5}, "reason": reason}

    with pytest.raises(ValueError, match=r"is no template: .* must (be|have)"):
        Rules(rules=[rule])


def test_a_condition_of_broken_characters_is_refused():
    """Found by fuzzing: CEL's runtime raised a TypeError of its own."""
    with pytest.raises(ValueError, match="broken characters"):
        Condition("step > 1 \ud800")
