import pytest

from rheostat.errors import InvalidSpec
from rheostat.spec.models import DataSpec
from rheostat.trainer.data import DataDescription, load_data


def test_digits_need_no_file():
    data = load_data(DataSpec())

    assert data.description == DataDescription((1, 8, 8), 10, 1438, 359)
    assert int(data.train.inputs.max()) == 16
    assert data.validation.targets.bincount().tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 34, 36]


def test_the_share_for_validation_can_be_chosen():
    data = load_data(DataSpec(validation=0.5))

    assert data.description.validation_samples == 899


def test_a_share_that_leaves_nothing_is_refused():
    with pytest.raises(InvalidSpec, match=r"data\.validation = 1e-05: a share that leaves samples"):
        load_data(DataSpec(validation=1e-5))


def test_digits_have_no_test_split():
    with pytest.raises(InvalidSpec, match=r"data\.validation = test: a share such as 0\.2"):
        load_data(DataSpec(validation="test"))


def test_digits_have_no_root():
    with pytest.raises(InvalidSpec, match=r"data\.root = /data: absent"):
        load_data(DataSpec(root="/data"))


def test_inputs_are_normalised_by_the_training_set():
    data = load_data(DataSpec())

    ready = data.normalisation(data.train.inputs)

    assert abs(float(ready.mean())) < 1e-5
    assert abs(float(ready.std()) - 1) < 1e-4
