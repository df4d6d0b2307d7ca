"""The environment: real runs, whose LR an agent moves."""

import random
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import rheostat.learning
from rheostat.errors import InvalidSpec
from rheostat.learning.child import Child
from rheostat.learning.environment import LearningRate
from rheostat.learning.registration import IDS
from rheostat.spec.models import Spec
from rheostat.spec.validation import parse
from rheostat.trainer.building import build
from rheostat.trainer.generators import Generators
from rheostat.trainer.learning import NonFiniteLoss
from rheostat.trainer.loop import Loop
from rheostat.trainer.peers import Nobody
from rheostat.trainer.ranks import Alone
from rheostat_policies.learned.features import ANCHORED, XU2019

NEUTRAL = np.zeros(1, dtype=np.float32)


def a_spec(document: dict[str, Any]) -> Spec:
    spec, violations = parse(document)
    assert spec is not None, violations
    return spec


def an_episode(environment: LearningRate, seed: int, actions: int | None = None) -> list[Any]:
    """Play one episode with random actions and return all that was seen and paid."""
    environment.action_space.seed(actions if actions is not None else seed)
    seen, info = environment.reset(seed=seed)
    story: list[Any] = [seen.tolist(), info]
    is_over = False
    while not is_over:
        seen, reward, is_over, _, info = environment.step(environment.action_space.sample())
        story += [seen.tolist(), reward, info]
    return story


@pytest.mark.parametrize("name", IDS)
def test_gymnasium_has_nothing_to_object_to(name: str, tiny: dict[str, Any]) -> None:
    made = gymnasium.make(name, tasks=[{"spec": tiny}])

    check_env(made.unwrapped)

    assert made.spec is not None
    assert rheostat.learning.register() is None, "again has no effect"


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "anchored"},
        {"mode": "xu2019", "noise": 1e-3, "initial_noise": 0.1},
        {"mode": "xu2019", "discrete": False},
    ],
    ids=["anchored", "xu2019 with noise", "xu2019 continuous"],
)
def test_episodes_with_one_seed_are_equal_bit_for_bit(make: Any, settings: Any) -> None:
    first = make(**settings)
    story = an_episode(first, 7)
    np.random.seed(1)  # whatever happens outside
    torch.manual_seed(1)

    assert an_episode(first, 7) == story
    assert an_episode(make(**settings), 7) == story
    assert an_episode(first, 8, actions=7) != story


def test_two_episodes_that_take_turns_do_not_disturb_each_other(make: Any) -> None:
    alone = an_episode(make(), 5)
    environment, other = make(), make()
    environment.action_space.seed(5)
    seen, info = environment.reset(seed=5)
    story: list[Any] = [seen.tolist(), info]
    is_over = False
    other.reset(seed=11)
    while not is_over:
        other.step(NEUTRAL)
        action = environment.action_space.sample()
        seen, reward, is_over, _, info = environment.step(action)
        story += [seen.tolist(), reward, info]

    assert story == alone


def test_a_run_draws_from_generators_of_its_own() -> None:
    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))

    own, alone = Generators(), Generators()
    for view in (own, alone):
        with view:
            random.seed(1)
            np.random.seed(1)
            torch.manual_seed(1)
    with alone:
        expected = [drawn(), drawn()]
    random.seed(2)
    np.random.seed(2)
    torch.manual_seed(2)
    others = [drawn(), drawn()]

    random.seed(2)
    np.random.seed(2)
    torch.manual_seed(2)
    interleaved = []
    for _ in range(2):
        with own:
            interleaved.append(drawn())
        interleaved.append(drawn())

    assert interleaved[::2] == expected
    assert interleaved[1::2] == others


@pytest.mark.parametrize("groups", [(), "two"], ids=["one group", "two groups"])
def test_an_agent_that_does_nothing_has_the_base_run_to_the_last_bit(
    make: Any, tiny: dict[str, Any], two_groups: Any, groups: Any
) -> None:
    spec = {**tiny, "groups": two_groups if groups else []}
    environment = make(spec)
    plain = build(a_spec({**spec, "train": {"steps": 60, "seed": 3 + 1}}), "plain")
    loop = Loop(plain, Nobody(), Alone())
    loop.advance(10)

    environment.reset(options={"seed": 1})
    is_over = False
    while not is_over:
        action = np.zeros(environment.groups, dtype=np.float32)
        _, reward, is_over, _, info = environment.step(action)
        loop.advance(10)

        assert reward == 0.0
        assert info["learning_rate"] == info["base"]
        assert list(info["base"].values()) == plain.steering.bases
        measured = loop.measurement()
        assert measured is not None
        assert info["train_loss"] == measured[2]


def test_what_an_agent_does_acts_at_the_next_step_and_in_its_group_alone(
    make: Any, two_groups: Any
) -> None:
    environment = make({"groups": two_groups})
    environment.reset(seed=0)

    _, _, _, _, info = environment.step(np.array([1.0, -0.5], dtype=np.float32))

    ratios = {name: lr / info["base"][name] for name, lr in info["learning_rate"].items()}
    assert list(ratios.values()) == pytest.approx([np.exp(1.3), np.exp(-0.65)])


def test_rewards_add_up_to_the_improvement_on_the_base_run(make: Any) -> None:
    environment = make()
    _, info = environment.reset(seed=0)
    total, is_over = 0.0, False
    while not is_over:
        _, reward, is_over, _, info = environment.step(np.array([-1.0], dtype=np.float32))
        total += reward

    assert total == pytest.approx(info["improvement"])
    assert info["improvement"] != 0.0


def test_the_base_run_of_a_seed_is_trained_once(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    begin = Child.begin
    monkeypatch.setattr(Child, "begin", lambda child: (begun.append(child), begin(child)))
    of_this_test = {"optimizer": {"name": "SGD", "lr": 0.0123}}
    neighbours = [make(of_this_test), make(of_this_test)]

    for seed in (0, 1, 0, 1):
        for environment in neighbours:
            environment.reset(options={"seed": seed})

    assert len(begun) == 8 + 2


def test_divergence_ends_the_episode_and_costs_what_was_agreed(make: Any) -> None:
    spec = {"optimizer": {"name": "SGD", "lr": 30.0}}
    environment = make(spec, divergence_penalty=5.0, reach=3.0)
    environment.reset(seed=0)
    total, is_over, steps = 0.0, False, 0
    while not is_over:
        _, reward, is_over, _, info = environment.step(np.array([1.0], dtype=np.float32))
        total, steps = total + reward, steps + 1

    assert info["diverged"]
    assert steps < 5
    assert total == pytest.approx(-5.0)


def test_who_diverges_pays_for_the_windows_left_out_as_well(make: Any) -> None:
    spec = {"optimizer": {"name": "SGD", "lr": 1e4}, "schedule": {"name": "constant"}}
    environment = make(spec, mode="xu2019")
    _, info = environment.reset(seed=0)

    _, reward, is_over, _, _ = environment.step(0)

    assert info["diverged"]
    assert is_over
    assert reward < -5 * 2.0, "5 windows and more, at the loss of the untrained model or a higher"


def test_a_first_loss_that_is_none_is_not_the_agents_doing(make: Any, tiny: Any) -> None:
    child = Child(a_spec({**tiny, "optimizer": {"name": "SGD", "lr": 1.0}}), every=10)
    with torch.no_grad():
        for parameter in child._loop.parts.model.parameters():
            parameter.fill_(torch.nan)

    with pytest.raises(NonFiniteLoss):
        child.begin()


def test_the_seven_observations_are_measured_as_they_should_be(make: Any) -> None:
    environment = make({"schedule": {"name": "constant"}}, mode="xu2019")

    first, _ = environment.reset(seed=0)
    second, _, _, _, info = environment.step(0)

    seen = dict(zip(XU2019, second.tolist(), strict=True))
    assert first.shape == (7,)
    assert dict(zip(XU2019, first.tolist(), strict=True))["prediction_change_variance"] == 0.0
    assert seen["validation_loss"] == pytest.approx(info["validation_loss"])
    assert seen["learning_rate"] == pytest.approx(1e-2)
    # The same images in the same order: what changes in ten steps is a part of what there is.
    assert 0 < seen["prediction_change_variance"] < seen["prediction_variance"]


@pytest.mark.parametrize(("action", "ratio"), [(0, 1.0), (1, 1.05), (2, 1 / 1.05)])
def test_a_discrete_action_keeps_raises_or_lowers_the_lr(
    make: Any, action: int, ratio: float
) -> None:
    environment = make({"schedule": {"name": "constant"}}, mode="xu2019")
    environment.reset(seed=0)

    environment.step(action)
    _, _, _, _, info = environment.step(action)

    assert info["learning_rate"]["default"] == pytest.approx(1e-2 * ratio**2)


def test_the_lr_stays_within_bounds_whatever_the_actions(make: Any) -> None:
    settings = {"mode": "xu2019", "ratio": 10.0, "min_lr": 1e-3, "max_lr": 2e-2}
    environment = make({"schedule": {"name": "constant"}}, **settings)
    for action, bound in ((1, 2e-2), (2, 1e-3)):
        environment.reset(seed=0)
        for _ in range(3):
            _, _, _, _, info = environment.step(action)

        assert info["learning_rate"]["default"] == pytest.approx(bound)


def test_features_of_a_group_are_in_the_order_asked_for(make: Any, two_groups: Any) -> None:
    environment = make({"groups": two_groups}, features=["progress", "log_gradient_share"])

    seen, _ = environment.reset(seed=0)

    assert seen.shape == (2, 2)
    assert seen[:, 0].tolist() == pytest.approx([10 / 60] * 2)
    assert np.exp(2 * seen[:, 1]).sum() == pytest.approx(1.0)
    assert len(ANCHORED) == make().observation_space.shape[1]


def test_an_episode_can_be_settled_by_options(make: Any) -> None:
    environment = make()

    _, info = environment.reset(options={"task": "tiny", "lr": 0.5, "seed": 4})

    assert (info["task"], info["lr"], info["seed"]) == ("tiny", 0.5, 4)
    with pytest.raises(InvalidSpec, match="task = other: one of tiny"):
        environment.reset(options={"task": "other"})


def test_mistakes_name_their_field(tiny: dict[str, Any], make: Any, two_groups: Any) -> None:
    with pytest.raises(InvalidSpec, match=r"reach = -1: greater than 0"):
        make(reach=-1)
    with pytest.raises(InvalidSpec, match=r"features\[0\] = progress_: a feature; did you mean"):
        make(features=["progress_"])
    with pytest.raises(InvalidSpec, match=r"reech = 1: unknown key, did you mean reach"):
        make(reech=1)
    with pytest.raises(InvalidSpec, match=r"mode = xu: known: anchored, xu2019"):
        make(mode="xu")
    with pytest.raises(InvalidSpec, match=r"tasks\[0\]\.spec\.train\.steps = 0: at least 1"):
        make({"train": {"steps": 0}})
    with pytest.raises(InvalidSpec, match=r"tasks\[0\]\.lrs\[0\] = -1\.0: greater than 0"):
        rheostat.learning.environment.make_environment([{"spec": tiny, "lrs": [-1.0]}])
    with pytest.raises(InvalidSpec, match="tiny-1 with 2: 1 groups, as tiny has"):
        rheostat.learning.environment.make_environment(
            [{"spec": tiny}, {"spec": {**tiny, "groups": two_groups}}]
        )
    with pytest.raises(InvalidSpec, match=r"initial_noise = 0\.1: 0, or an optimizer\.lr"):
        make({"optimizer": {"name": "Adam"}}, mode="xu2019", initial_noise=0.1)


def test_an_episode_that_is_paid_at_its_end_earns_what_one_paid_by_windows_earns(make: Any) -> None:
    features = ["progress", "train_loss_fall", "log_factor"]
    told = []
    for paid in ("windows", "end"):
        environment = make(features=features, paid=paid)
        seen, _ = environment.reset(seed=0)
        rewards, rows, is_over = [], [seen], False
        while not is_over:
            seen, reward, is_over, _, info = environment.step(np.array([0.5], np.float32))
            rewards.append(reward)
            rows.append(seen)
        told.append((rewards, np.array(rows), info))

    (by_windows, rows, info), (at_end, rows_again, info_again) = told
    # The first window's part is nobody's doing, and 0 here: there the two runs are one.
    assert sum(at_end) == pytest.approx(sum(by_windows), abs=1e-6)
    assert at_end[:-1] == [0.0] * 4
    assert at_end[-1] == pytest.approx(info["improvement"], abs=1e-6) != 0.0
    assert np.array_equal(rows, rows_again), "what is seen is the same"
    assert info_again["improvement"] == info["improvement"]
    assert info_again["validation_loss"] == info["validation_loss"]


def test_paid_at_the_end_a_run_is_validated_before_it_only_if_a_feature_needs_it(
    make: Any,
) -> None:
    for features, validated in ((["progress"], False), (["generalization_gap"], True)):
        environment = make(features=features, paid="end")
        environment.reset(seed=0)
        _, _, _, _, info = environment.step(np.array([0.0], np.float32))

        assert (info["validation_loss"] is not None) == validated


def test_paid_at_the_end_divergence_costs_the_penalty(make: Any) -> None:
    environment = make(
        spec={"optimizer": {"name": "SGD", "lr": 1.0}},
        features=["progress"],
        paid="end",
        reach=9.0,
        divergence_ratio=1.5,
    )
    environment.reset(seed=0)

    rewards, is_over = [], False
    while not is_over:
        _, reward, is_over, _, info = environment.step(np.array([1.0], np.float32))
        rewards.append(reward)

    assert info["diverged"]
    assert sum(rewards) == -5.0
