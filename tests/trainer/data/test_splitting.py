import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rheostat.spec.models import DataSpec
from rheostat.trainer.data import load_data
from rheostat.trainer.data.splitting import split_indices

labels = st.lists(st.integers(0, 4), min_size=1, max_size=300).map(
    lambda values: np.array(values, dtype=np.int64)
)
shares = st.floats(0.01, 0.99)


@given(labels, shares)
def test_a_split_is_disjoint_and_complete(classes, share):
    kept, aside = split_indices(classes, len(classes), share)

    assert sorted([*kept, *aside]) == list(range(len(classes)))


@given(labels, shares)
def test_each_class_gives_its_share_to_within_one_sample(classes, share):
    _, aside = split_indices(classes, len(classes), share)

    for label in np.unique(classes):
        owed = share * np.count_nonzero(classes == label)
        assert abs(np.count_nonzero(classes[aside] == label) - owed) <= 1


@given(labels, shares)
def test_the_whole_gives_its_share_rounded(classes, share):
    _, aside = split_indices(classes, len(classes), share)

    assert abs(len(aside) - share * len(classes)) <= 0.5 + 1e-9


def test_the_split_never_changes():
    classes = np.arange(20) % 2

    _, aside = split_indices(classes, 20, 0.3)

    # Written out, so that a release which splits otherwise cannot pass unnoticed.
    assert aside.tolist() == [1, 4, 8, 9, 11, 14]


def test_samples_without_classes_are_split_too():
    kept, aside = split_indices(None, 10, 0.2)

    assert (len(kept), len(aside)) == (8, 2)


def test_the_digits_split_does_not_depend_on_any_seed():
    np.random.seed(1)
    first = load_data(DataSpec(name="digits"))
    np.random.seed(2)
    second = load_data(DataSpec(name="digits"))

    assert first.validation.inputs.equal(second.validation.inputs)
    assert first.train.targets.equal(second.train.targets)
