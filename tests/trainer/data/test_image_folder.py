import pytest
from PIL import Image

from rheostat.errors import InvalidSpec
from rheostat.spec.models import DataSpec
from rheostat.trainer.data import StreamedSplit, image_folder, load_data


def paint(path, colour, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def load(root, **args):
    return load_data(DataSpec(name="image_folder", root=str(root), args=args))


@pytest.fixture
def root(tmp_path):
    for number in range(10):
        paint(tmp_path / "red" / f"{number}.png", (255, 0, 0))
        paint(tmp_path / "blue" / "more" / f"{number}.bmp", (0, 0, 255))
    return tmp_path


def test_classes_are_the_folders_in_order_of_their_names(root):
    data = load(root)

    assert data.description.input_shape == (3, 32, 32)
    assert data.description.classes == 2
    assert data.validation.targets.tolist() == [0, 0, 1, 1]
    assert data.train.inputs[0, :, 0, 0].tolist() == [0, 0, 255]


def test_images_are_brought_to_size(root):
    assert load(root, size=8).description.input_shape == (3, 8, 8)


def test_a_size_that_is_none_is_refused(root):
    with pytest.raises(InvalidSpec, match=r"data\.args\.size = 0: a number of pixels"):
        load(root, size=0)


def test_train_and_val_folders_are_the_splits(tmp_path):
    paint(tmp_path / "train" / "cat" / "1.png", "black")
    paint(tmp_path / "train" / "dog" / "1.png", "white")
    paint(tmp_path / "val" / "dog" / "1.png", "white")

    data = load(tmp_path)

    assert data.train.targets.tolist() == [0, 1]
    assert data.validation.targets.tolist() == [1]


def test_a_class_that_only_val_has_is_refused(tmp_path):
    paint(tmp_path / "train" / "cat" / "1.png", "black")
    paint(tmp_path / "val" / "cow" / "1.png", "white")

    with pytest.raises(InvalidSpec, match="has classes without training images: cow"):
        load(tmp_path)


def test_a_damaged_image_is_refused_with_its_path(root):
    damaged = root / "red" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:60])

    with pytest.raises(
        InvalidSpec, match=r"red/3\.png is not an image that can be read"
    ) as refused:
        load(root)

    assert refused.value.violations[0].field == "data.root"


def test_a_missing_folder_is_refused_with_its_path(tmp_path):
    with pytest.raises(InvalidSpec, match=r"nowhere is no folder; put one sub-folder per class"):
        load(tmp_path / "nowhere")


def test_a_folder_without_classes_is_refused(tmp_path):
    with pytest.raises(InvalidSpec, match="has no class folders"):
        load(tmp_path)


def test_classes_without_images_are_refused(tmp_path):
    (tmp_path / "cat").mkdir()

    with pytest.raises(InvalidSpec, match="holds no images"):
        load(tmp_path)


def test_images_too_many_for_memory_are_streamed(root, monkeypatch):
    resident = load(root)
    monkeypatch.setattr(image_folder, "RESIDENT_BYTES", 1000)
    streamed = load(root)

    assert isinstance(streamed.train, StreamedSplit)
    assert streamed.description == resident.description
    assert streamed.train.dataset[0][0].equal(resident.train.inputs[0])
    assert streamed.normalisation.mean.equal(resident.normalisation.mean)
