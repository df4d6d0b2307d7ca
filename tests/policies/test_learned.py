"""The learned policy: its file, what it refuses, and what it answers."""

import json
import math
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from rheostat_policies import KEEP, GroupInfo, Learned, Observation, RunInfo
from rheostat_policies.learned.answers import Anchored, Answer, Recursive
from rheostat_policies.learned.features import ANCHORED, FEATURES, XU2019, observed_by, rows_of
from rheostat_policies.learned.network import Network
from rheostat_policies.learned.normaliser import Normaliser
from rheostat_policies.learned.policy_file import KEY, LearnedPolicy, read_policy_file
from rheostat_policies.learned.summary import is_due, next_window, note, nothing_yet
from rheostat_policies.learned.tensors import pack, unpack

GROUPS = ("body", "head")
RUN = RunInfo(
    name="a", steps=100, groups=tuple(GroupInfo(name=one, parameters=1) for one in GROUPS)
)


def a_policy(
    features: tuple[str, ...] = ANCHORED,
    answers: Answer = Anchored(),  # noqa: B008 (frozen)
    spread: float = 1.0,
    every: int = 5,
) -> LearnedPolicy:
    random, widths = np.random.default_rng(0), (len(features), 8, answers.outputs)
    layers = [
        (
            (spread * random.normal(size=(outputs, inputs))).astype(np.float32),
            (spread * random.normal(size=outputs)).astype(np.float32),
        )
        for inputs, outputs in pairwise(widths)
    ]
    return LearnedPolicy(
        every=every,
        features=features,
        normaliser=Normaliser(mean=[0.0] * len(features), deviation=[1.0] * len(features)),
        network=Network(layers, "tanh"),
        answers=answers,
        provenance={"rheostat": "9.9", "seed": 0},
        configuration={"name": "made"},
    )


def written(policy: LearnedPolicy, folder: Path) -> str:
    path = folder / "policy.safetensors"
    path.write_bytes(policy.to_bytes())
    return str(path)


def described(policy: LearnedPolicy, **changes: Any) -> bytes:
    """The file of a policy whose description says something else."""
    contents, metadata = unpack(policy.to_bytes())
    return pack(contents, {KEY: json.dumps({**json.loads(metadata[KEY]), **changes})})


def an_observation(step: int, loss: float = 1.0, **fields: Any) -> Observation:
    base = dict.fromkeys(GROUPS, 0.1)
    return Observation(
        step=step,
        steps=100,
        train_loss=loss,
        learning_rate=base,
        base=base,
        factor=fields.pop("factor", dict.fromkeys(GROUPS, 1.0)),
        **fields,
    )


@given(
    st.dictionaries(
        st.text(st.characters(codec="ascii", exclude_characters="_"), min_size=1, max_size=5),
        arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, max_dims=2, max_side=3)),
        max_size=3,
    ),
    st.dictionaries(st.text(max_size=5), st.text(st.characters(codec="utf-8"), max_size=5)),
)
def test_the_files_of_this_reader_are_those_of_safetensors(contents: Any, texts: Any) -> None:
    ours = pack(contents, texts)
    theirs = save_safetensors(contents, metadata=texts or None)

    for read in (load_safetensors(ours), unpack(ours)[0], unpack(theirs)[0]):
        assert {name: one.tobytes() for name, one in read.items()} == {
            name: one.tobytes() for name, one in contents.items()
        }
        assert all(read[name].shape == one.shape for name, one in contents.items())
    assert unpack(ours)[1] == texts
    assert pack(dict(reversed(contents.items())), texts) == ours


def test_a_policy_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    policy = a_policy()

    read = read_policy_file(Path(written(policy, tmp_path)))

    assert read.to_bytes() == policy.to_bytes()
    assert read.answers == policy.answers
    assert read.provenance == policy.provenance
    rows = np.random.default_rng(1).normal(size=(2, len(ANCHORED))).astype(np.float32)
    assert read.network(rows) == policy.network(rows)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"short", "it has 5 bytes, too few"),
        (struct.pack("<Q", 2**60) + b"{}", "its header would be longer than itself"),
        (struct.pack("<Q", 2) + b"[]", "its safetensors header is damaged"),
        (a_policy().to_bytes()[:-1], "it is truncated"),
        (save_safetensors({"a": np.zeros(2)}), "it holds numbers of type F64"),
        (pack({}, {}), "it holds arrays but no learned policy"),
        (described(a_policy(), version=2), "it has version 2 of the layout, and 1 is read"),
        (described(a_policy(), every=0), "it decides every 0 steps"),
        (described(a_policy(), activation="sigmoid"), "unknown activation 'sigmoid'"),
        (described(a_policy(), answers={"kind": "oracle"}), "the unknown kind 'oracle'"),
        (described(a_policy(), answers={"kind": "anchored", "x": 1}), "unknown settings"),
        (described(a_policy(), normaliser={"mean": [0], "deviation": [1]}), "not for 12 features"),
        (described(a_policy(), normaliser={}), "its normaliser is damaged"),
        (described(a_policy(), features=list(XU2019)), "not for 7 features"),
        (
            described(a_policy(), features=["progress_", *ANCHORED[1:]]),
            "its features[0] is 'progress_', which this version of Rheostat does not measure, "
            "whose nearest is progress; install Rheostat 9.9, or train it anew",
        ),
        (pack({"layers.0.weight": np.zeros((1, 1), np.float32)}, {KEY: "{}"}), "damaged: KeyError"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_file_that_will_not_do_is_refused_with_the_reason(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "policy.safetensors"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"^file=.* must be a learned policy: ") as caught:
        Learned(file=str(path))

    assert problem in str(caught.value)


def test_a_network_of_another_shape_is_refused(tmp_path: Path) -> None:
    contents, metadata = unpack(a_policy().to_bytes())
    for name, shape, problem in (
        ("layers.0.weight", (8, 3), "its network goes from 3 to 1 numbers"),
        ("layers.1.weight", (1, 3), "the layers of its network do not fit each other"),
        ("layers.1.bias", (2,), "not matrices with a bias per row"),
        ("layers.7.bias", (2,), "its network is not layers.0 and on"),
    ):
        changed = {**contents, name: np.zeros(shape, np.float32)}
        (tmp_path / "a").write_bytes(pack(changed, metadata))
        with pytest.raises(ValueError, match=problem):
            read_policy_file(tmp_path / "a")


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(a_policy(spread=math.nan).to_bytes())

    with pytest.raises(ValueError, match="the weights of its network are not all finite"):
        read_policy_file(tmp_path / "a")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"file=nowhere must be .*: it cannot be read: No such"):
        Learned(file="nowhere")


def test_it_decides_at_the_end_of_each_window_and_for_each_group(tmp_path: Path) -> None:
    policy = Learned(file=written(a_policy(), tmp_path))
    state = policy.initial_state(RUN)

    decided = {}
    for step in range(12):
        norms = {"body": 1.0, "head": 5.0}
        seen = an_observation(step, 2.0 - step / 10, gradient_norm=3.0, group_gradient_norm=norms)
        action, state = policy.decide(state, seen)
        if action is not KEEP:
            decided[step] = action

    assert list(decided) == [4, 9]
    factors = decided[4].factor
    assert isinstance(factors, dict)
    assert factors.keys() == set(GROUPS)
    assert factors["body"] != factors["head"]
    assert all(math.exp(-1.3) <= factor <= math.exp(1.3) for factor in factors.values())
    assert decided[4].reason.startswith("the network answers ")
    assert policy.observes == ("gradient_norm", "group_gradient_norm")


def test_an_untrained_network_never_changes_anything(tmp_path: Path) -> None:
    policy = Learned(file=written(a_policy(spread=0.0), tmp_path))
    state = policy.initial_state(RUN)

    for step in range(30):
        action, state = policy.decide(state, an_observation(step, 1.0 / (step + 1)))

        assert action is KEEP


def test_windows_go_by_the_step_where_observations_are_missed() -> None:
    summary, due = nothing_yet(), []
    for step in (0, 3, 6, 8, 9, 17, 18, 40):
        summary = note(summary, an_observation(step))
        if is_due(summary, step, 5):
            due.append(step)
            summary = next_window(summary, step, 5)

    assert due == [9, 17, 40], "before the first decision, a window that ended unseen is left out"


def test_features_are_what_their_names_say() -> None:
    summary = nothing_yet()
    for step, loss in enumerate((4.0, 2.0)):
        summary = note(summary, an_observation(step, loss, gradient_norm=8.0))
    summary = next_window(summary, 1, 2)
    for step, loss in ((2, 1.0), (3, 2.0)):
        seen = an_observation(
            step,
            loss,
            gradient_norm=2.0,
            validation_loss=3.0,
            factor={"body": 1.0, "head": 0.5},
            group_gradient_norm={"body": 3.0, "head": 4.0},
        )
        summary = note(summary, seen)

    names = tuple(sorted(FEATURES))
    rows = rows_of(names, seen, summary, GROUPS).astype(float)
    head = dict(zip(names, rows[1].tolist(), strict=True))

    fast = 0.9 * (0.9 * (0.9 * 4 + 0.1 * 2) + 0.1 * 1) + 0.1 * 2
    slow = 0.99 * (0.99 * (0.99 * 4 + 0.01 * 2) + 0.01 * 1) + 0.01 * 2
    assert head == pytest.approx(
        {
            "generalization_gap": math.log(3.0 / 1.5),
            "gradient_norm_rise": math.log(2.0 / 8.0),
            "learning_rate": 0.1,
            "log_base": 0.0,
            "log_factor": math.log(0.5),
            "log_gradient_norm": math.log(2.0),
            "log_gradient_share": math.log(4.0 / 5.0),
            "log_train_loss": math.log(1.5),
            "output_weight_mean": 0.0,
            "output_weight_variance": 0.0,
            "prediction_change_variance": 0.0,
            "prediction_variance": 0.0,
            "progress": 4 / 100,
            "train_loss": 1.5,
            "train_loss_drop": math.log(3.0 / 1.5),
            "train_loss_fall": math.log(3.0 / 1.5),
            "train_loss_noise": math.sqrt(0.5) / 1.5,
            "train_loss_trend": math.log(fast / slow),
            "validation_loss": 3.0,
        },
        rel=1e-6,
        abs=1e-6,
    )


def test_what_a_feature_needs_is_observed() -> None:
    assert observed_by(XU2019) == (
        "prediction_variance",
        "prediction_change_variance",
        "output_weight_mean",
        "output_weight_variance",
    )
    assert observed_by(["progress", "train_loss"]) == ()


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=2))
def test_anchored_answers_are_within_their_reach_of_the_schedule(outputs: list[float]) -> None:
    answers = Anchored(reach=2.0)

    exponents = answers.exponents([[one] for one in outputs])
    factors = answers.factors(exponents, GROUPS, an_observation(0))

    for output, factor in zip(outputs, factors.values(), strict=True):
        assert factor == pytest.approx(math.exp(2.0 * min(1.0, max(-1.0, output))))


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=50))
def test_recursive_answers_add_up_and_stay_within_the_bounds(exponents: list[float]) -> None:
    answers, factor, expected = Recursive(ratio=1.5, min_lr=0.02, max_lr=0.5), 1.0, 0.1

    for exponent in exponents:
        seen = an_observation(0, factor=dict.fromkeys(GROUPS, factor))
        factors = answers.factors([exponent], GROUPS, seen)
        factor, expected = factors["body"], min(max(expected * 1.5**exponent, 0.02), 0.5)

        assert factors["head"] == factor
        assert 0.1 * factor == pytest.approx(expected)


def test_a_group_whose_schedule_gives_0_is_not_scaled() -> None:
    seen = an_observation(0)._replace(base={"body": 0.0, "head": 0.1})

    assert Recursive().factors([1.0], GROUPS, seen).keys() == {"head"}


def test_the_best_of_three_scores_is_the_discrete_answer() -> None:
    answers = Recursive()

    found = [answers.exponents([row]) for row in ([0, 0, 0], [1, 2, 0], [1, 0, 3])]

    assert found == [[0.0], [1.0], [-1.0]], "keep where nothing is better"
    assert Recursive(discrete=False).exponents([[-7.0]]) == [-1.0]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_measurement_that_is_none_is_shown_as_nothing(broken: float, tmp_path: Path) -> None:
    policy = Learned(file=written(a_policy(every=1), tmp_path))
    state = policy.initial_state(RUN)

    for step in range(5):
        seen = an_observation(
            step,
            broken,
            gradient_norm=broken,
            validation_loss=broken,
            group_gradient_norm={"body": broken, "head": broken},
        )
        action, state = policy.decide(state, seen)

        assert isinstance(action.factor, dict)
        assert all(math.isfinite(factor) for factor in action.factor.values())
    json.dumps(state, allow_nan=False)
