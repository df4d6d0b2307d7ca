"""A state taken apart and put together again."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rheostat.trainer.checkpoints.tree import join, split

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.lists(st.floats(width=32, allow_nan=False), max_size=4).map(torch.tensor)
)
KEYS = st.text(max_size=6) | st.integers() | st.sampled_from(["$tensor", "$tuple", "a.b"])
STATES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4)
    | st.lists(inner, max_size=4).map(tuple)
    | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def comparable(value: Any) -> Any:
    match value:
        case torch.Tensor():
            return ("tensor", str(value.dtype), value.tolist())
        case list() | tuple():
            return (type(value).__name__, [comparable(one) for one in value])
        case dict():
            return ("dict", [(key, comparable(one)) for key, one in value.items()])
        case _:
            return (type(value).__name__, value)


@given(state=STATES)
def test_a_state_comes_back_with_every_bit_and_every_type(state: Any) -> None:
    tensors, plain = split(state)

    back = join(tensors, json.loads(json.dumps(plain)))

    assert comparable(back) == comparable(state)


def test_tensors_are_copies_so_that_training_may_go_on() -> None:
    weight = torch.zeros(3)
    tensors, _ = split({"weight": weight})

    weight.fill_(1.0)

    assert tensors["weight"].tolist() == [0.0, 0.0, 0.0]


def test_equal_names_in_different_places_do_not_meet() -> None:
    state = {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}}

    assert comparable(join(*split(state))) == comparable(state)


def test_what_no_checkpoint_can_hold_is_named_with_its_place() -> None:
    with pytest.raises(TypeError, match=r"policies\.0\.state is a set, which"):
        split({"policies": [{"state": {1, 2}}]})
