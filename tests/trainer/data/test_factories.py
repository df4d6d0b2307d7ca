import sys
from types import ModuleType

import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from rheostat.errors import InvalidSpec
from rheostat.spec.models import DataSpec
from rheostat.trainer.data import ResidentSplit, StreamedSplit, load_data

FEATURES = torch.arange(40.0).reshape(20, 2)
CLASSES = torch.arange(20) % 4


class Rows(Dataset):
    """A map-style data set that tells its targets."""

    def __init__(self, classes=CLASSES):
        self.targets = classes

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return FEATURES[index], int(self.targets[index])


class Nameless(Rows):
    """One that tells nothing."""

    def __init__(self):
        self._classes = CLASSES

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return FEATURES[index], int(CLASSES[index])


class Endless(IterableDataset):
    """One that has no index."""

    def __iter__(self):
        return iter(())


@pytest.fixture
def load(monkeypatch):
    def load(factory, **spec):
        module = ModuleType("plugin")
        module.factory = factory
        monkeypatch.setitem(sys.modules, "plugin", module)
        return load_data(DataSpec(name="plugin:factory", **spec))

    return load


def test_one_pair_of_tensors_is_split_by_class(load):
    data = load(lambda: (FEATURES, CLASSES))

    assert data.description.input_shape == (2,)
    assert data.description.classes == 4
    assert sorted(data.validation.targets.tolist()) == [0, 1, 2, 3]


def test_two_pairs_are_the_splits(load):
    data = load(lambda: ((FEATURES, CLASSES), (FEATURES[:3], CLASSES[:3])))

    assert (data.description.train_samples, data.description.validation_samples) == (20, 3)


def test_a_share_in_the_spec_outweighs_the_factorys_own_split(load):
    data = load(lambda: ((FEATURES, CLASSES), (FEATURES[:3], CLASSES[:3])), validation=0.5)

    assert (data.description.train_samples, data.description.validation_samples) == (10, 10)


def test_numbers_to_predict_have_no_classes(load):
    data = load(lambda: (FEATURES.double(), torch.arange(20.0).double()))

    assert data.description.classes is None
    assert data.description.outputs == 1
    assert data.train.targets.shape == (16, 1)
    assert data.train.inputs.dtype == data.train.targets.dtype == torch.float32


def test_a_tensor_dataset_becomes_resident(load):
    assert isinstance(load(lambda: TensorDataset(FEATURES, CLASSES)).train, ResidentSplit)


def test_a_dataset_is_streamed_and_split_by_class(load):
    data = load(Rows)

    assert isinstance(data.train, StreamedSplit)
    assert data.description.classes == 4
    assert [data.validation.dataset[i][1] for i in range(4)] == data.validation.targets.tolist()
    assert sorted(data.validation.targets.tolist()) == [0, 1, 2, 3]
    assert data.normalisation is None


def test_root_and_args_reach_the_factory(load, tmp_path):
    seen = {}

    def factory(root, rows=20):
        seen.update(root=root, rows=rows)
        return FEATURES[:rows], CLASSES[:rows]

    load(factory, root=str(tmp_path), args={"rows": 16})

    assert seen == {"root": str(tmp_path), "rows": 16}


@pytest.mark.parametrize(
    ("factory", "spec", "complaint"),
    [
        (lambda rows=3: None, {"args": {"rosw": 3}}, r"data\.args\.rosw = 3: .*did you mean rows"),
        (lambda rows: None, {}, r"data\.args\.rows: is required"),
        (lambda root: None, {}, r"data\.root: a folder"),
        (lambda root: None, {"root": "x", "args": {"root": "y"}}, r"data\.args\.root = y: absent"),
        (lambda: None, {"root": "/data"}, r"data\.root = /data: absent"),
        (lambda: None, {}, r"data\.name = plugin:factory: .*not NoneType"),
        (lambda: (FEATURES, CLASSES[:3]), {}, "20 inputs and 3 targets"),
        (lambda: (FEATURES[:0], CLASSES[:0]), {}, "0 inputs"),
        (Endless, {}, "not Endless"),
        (lambda: [FEATURES], {}, "a pair of a tensor and its target"),
        (Nameless, {}, "a Dataset with `classes` or `targets`"),
        (lambda: (FEATURES, CLASSES), {"validation": "test"}, r"data\.validation = test"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_field(load, factory, spec, complaint):
    with pytest.raises(InvalidSpec, match=complaint):
        load(factory, **spec)


def test_a_factory_that_refuses_an_argument_is_quoted(load):
    def factory(rows):
        raise ValueError(f"rows={rows} is too few")

    with pytest.raises(InvalidSpec, match=r"data\.args = .*: rows=1 is too few"):
        load(factory, args={"rows": 1})


def test_an_unknown_name_lists_close_matches():
    with pytest.raises(InvalidSpec, match=r"data\.name = minst: unknown name, did you mean mnist"):
        load_data(DataSpec(name="minst"))
