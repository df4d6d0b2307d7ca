"""Learning in a live run: off unless asked for, bounded, and a function of seed and losses."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat_policies import GroupInfo, Learned, Observation, RunInfo
from rheostat_policies.learned.answers import Anchored, Answer, Recursive
from rheostat_policies.learned.network import Network
from rheostat_policies.learned.normaliser import Normaliser
from rheostat_policies.learned.online import Online, online_of
from rheostat_policies.learned.policy_file import LearnedPolicy

ONLINE = Online(trust=0.25, rate=0.5, noise=0.1)
LOSSES = st.none() | st.floats(allow_nan=True, allow_infinity=True)


def write(path: Path, answers: Answer, bias: float = 0.0) -> str:
    """Write a policy that sees the progress alone, decides at each step, and answers `bias`."""
    layers = [
        (np.ones((3, 1), np.float32), np.zeros(3, np.float32)),
        (np.zeros((answers.outputs, 3), np.float32), np.full(answers.outputs, bias, np.float32)),
    ]
    policy = LearnedPolicy(
        every=1,
        features=("progress",),
        normaliser=Normaliser(mean=[0.0], deviation=[1.0]),
        network=Network(layers, "tanh"),
        answers=answers,
        provenance={},
        configuration={},
    )
    path.write_bytes(policy.to_bytes())
    return str(path)


def run_of(seed: int) -> RunInfo:
    return RunInfo(
        name="a", steps=100, groups=(GroupInfo(name="default", parameters=1),), seed=seed
    )


def answered(policy: Learned, losses: Sequence[float], seed: int = 0) -> tuple[list[float], Any]:
    """The exponents of a run with these losses, and the state at its end."""
    state, factor, exponents = policy.initial_state(run_of(seed)), 1.0, []
    for step, loss in enumerate(losses):
        lr = {"default": 0.1}
        seen = Observation(step, 100, loss, learning_rate=lr, base=lr, factor={"default": factor})
        action, state = policy.decide(state, seen)
        if isinstance(action.factor, dict):
            factor = action.factor["default"]
        exponents.append(math.log(factor) / 1.3)
        state = json.loads(json.dumps(state, allow_nan=False))
    return exponents, state


def test_it_learns_nothing_unless_it_is_asked_to(tmp_path: Path) -> None:
    policy = Learned(file=write(tmp_path / "a", Anchored(), bias=0.5))

    exponents, state = answered(policy, [1.0 / (step + 1) for step in range(30)])

    assert exponents == pytest.approx([0.5] * 30)
    assert "online" not in state


def test_what_it_tries_and_learns_follows_from_the_seed_and_the_losses(tmp_path: Path) -> None:
    policy = Learned(file=write(tmp_path / "a", Anchored()), online=True)
    losses = [1.0 / (step + 1) for step in range(30)]

    one, other, elsewhere = (answered(policy, losses, seed) for seed in (1, 1, 2))

    assert one == other
    assert one[0] != elsewhere[0]
    assert any(one[1]["online"]["change"])


def test_it_moves_the_way_after_which_the_loss_falls_faster(tmp_path: Path) -> None:
    """A make-believe run whose loss falls faster the higher the answer is, or the lower."""
    policy = Learned(file=write(tmp_path / "a", Anchored()), online=True, rate=0.05)

    def learned(towards: float) -> float:
        state, loss, exponent = policy.initial_state(run_of(0)), 1.0, 0.0
        factor = {"default": 1.0}
        for step in range(600):
            loss *= math.exp(-0.001 - 0.01 * towards * exponent)
            lr = {"default": 0.1}
            seen = Observation(step, 600, loss, learning_rate=lr, base=lr, factor=factor)
            action, state = policy.decide(state, seen)
            if isinstance(action.factor, dict):
                factor = action.factor
            exponent = math.log(factor["default"]) / 1.3
        return float(state["online"]["change"][-1])

    assert learned(towards=1.0) > 0.03
    assert learned(towards=-1.0) < -0.03


@given(
    pairs=st.lists(st.tuples(LOSSES, LOSSES), max_size=30),
    hidden=st.floats(-1e6, 1e6),
    seed=st.integers(0, 2**63 - 1),
)
def test_whatever_it_is_told_no_answer_moves_further_than_trust(
    pairs: list[tuple[float | None, float | None]], hidden: float, seed: int
) -> None:
    state = ONLINE.begin(seed, 2)
    inputs = np.array([[hidden, -1.0], [0.5, hidden]], dtype=np.float32)

    for before, loss in pairs:
        state = ONLINE.learn(state, before, loss)
        moved, known = ONLINE.move(state, [[0.0], [0.0]], inputs)
        quiet, _ = Online(trust=0.25, rate=0.5, noise=1e-300).move(state, [[0.0], [0.0]], inputs)

        assert sum(abs(one) for one in state["change"]) <= 0.25 + 1e-12
        assert all(abs(answer) <= 0.25 + 1e-12 for (answer,) in quiet)
        assert all(math.isfinite(answer) for (answer,) in moved)
        state = known
    json.dumps(state, allow_nan=False)


def test_without_a_loss_to_go_by_nothing_is_learned() -> None:
    state = ONLINE.begin(0, 2)
    _, state = ONLINE.move(state, [[0.0]], np.zeros((1, 2), np.float32))

    for before, loss in [(None, 1.0), (1.0, None), (-1.0, 1.0), (1.0, 0.0), (math.nan, 1.0)]:
        assert ONLINE.learn(state, before, loss) == state


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"trust": 0.0}, "trust=0.0 must be between 0 and 1"),
        ({"trust": 1.5}, "trust=1.5"),
        ({"rate": math.nan}, "rate=nan"),
        ({"noise": 0.0}, "noise=0.0 must be between 0 and 1, 0 excluded: it is what tells"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_named(args: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        online_of(**{"trust": 0.2, "rate": 0.1, "noise": 0.1, **args})


def test_only_anchored_answers_can_go_on_learning(tmp_path: Path) -> None:
    file = write(tmp_path / "a", Recursive())

    with pytest.raises(ValueError, match="online=True must go with a file whose answers are"):
        Learned(file=file, online=True)
