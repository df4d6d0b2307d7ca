import pytest
import torch

from rheostat.errors import InvalidSpec
from rheostat.spec.models import AugmentSpec, DataSpec
from rheostat.trainer.data import Data, DataDescription, ResidentSplit, load_data
from rheostat.trainer.data.augmenting import cropped, flipped
from rheostat.trainer.data.batches import make_batches, validation_batches

CPU = torch.device("cpu")
BOTH = {"crop": 2, "flip": True}


def batches(seed=0, **augment):
    spec = DataSpec.model_validate({"augment": augment})
    return make_batches(load_data(spec), 64, seed, CPU, spec)


def a_generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_step_has_the_images_it_has_in_order_whatever_was_asked_for_before():
    in_order = [batches(**BOTH).batch(step)[0] for step in range(30)]
    resumed = batches(**BOTH)

    for step in (25, 3, 29):
        assert resumed.batch(step)[0].equal(in_order[step])


def test_another_seed_and_another_epoch_change_images_otherwise():
    one, other = batches(**BOTH), batches(seed=1, **BOTH)

    assert not one.batch(0)[0].equal(other.batch(0)[0])


def test_the_global_generator_is_left_alone():
    made, before = batches(**BOTH), torch.get_rng_state()

    made.batch(3)

    assert torch.get_rng_state().equal(before)


def test_each_image_is_moved_by_itself_and_what_was_not_there_is_the_mean():
    images = torch.arange(1.0, 17).reshape(1, 1, 4, 4).repeat(200, 2, 1, 1)

    moved = cropped(images, 1, a_generator())

    padded = torch.nn.functional.pad(images[0], (1, 1, 1, 1))
    places = [padded[:, y : y + 4, x : x + 4] for y in range(3) for x in range(3)]
    seen = [next(n for n, place in enumerate(places) if one.equal(place)) for one in moved]
    assert set(seen) == set(range(9)), "every place, and nothing else"


def test_about_half_the_images_are_mirrored():
    images = torch.arange(4.0).reshape(1, 1, 2, 2).repeat(1000, 1, 1, 1)

    mirrored = flipped(images, a_generator())

    is_mirrored = [one.equal(images[0].flip(2)) for one in mirrored]
    assert all(
        one or image.equal(images[0]) for one, image in zip(is_mirrored, mirrored, strict=True)
    )
    assert 400 < sum(is_mirrored) < 600


def test_what_is_stored_and_what_is_validated_stay_as_they_are():
    spec = DataSpec.model_validate({"augment": BOTH})
    data = load_data(spec)
    made = make_batches(data, 64, 0, CPU, spec)
    plain = [inputs.clone() for inputs, _ in validation_batches(data, 100, CPU)]
    made.batch(0)

    again = [inputs for inputs, _ in validation_batches(data, 100, CPU, spec)]

    assert all(a.equal(b) for a, b in zip(plain, again, strict=True))
    assert made.batch(0)[0].equal(batches(**BOTH).batch(0)[0])


def test_targets_stay_with_their_images():
    inputs, targets = batches(flip=True).batch(5)
    plain, same = batches().batch(5)

    assert targets.equal(same)
    either = [a.equal(b) or a.equal(b.flip(2)) for a, b in zip(inputs, plain, strict=True)]
    assert all(either)


@pytest.mark.parametrize(
    ("augment", "shape", "field"),
    [({"flip": True}, (8,), "data.augment"), ({"crop": 8}, (1, 8, 9), "data.augment.crop")],
)
def test_what_makes_no_sense_is_refused(augment, shape, field):
    split = ResidentSplit(torch.zeros(10, *shape), torch.zeros(10, dtype=torch.long))
    data = Data(split, split, DataDescription(shape, 2, 10, 10))
    spec = DataSpec(augment=AugmentSpec(**augment))

    with pytest.raises(InvalidSpec) as refused:
        make_batches(data, 5, 0, CPU, spec)

    assert [one.field for one in refused.value.violations] == [field]
