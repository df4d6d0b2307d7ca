"""What a convolutional network demands of the data."""

from rheostat.errors import InvalidSpec, Violation
from rheostat.trainer.data.records import DataDescription


def image_shape(example: DataDescription, model: str, smallest: int) -> tuple[int, int, int]:
    """Return channels, height and width of the images.

    Raises:
        InvalidSpec: the data are no images, or smaller than `smallest` pixels a side.
    """
    shape = example.input_shape
    if len(shape) != 3 or min(shape[1:]) < smallest:
        expected = (
            f"a model for inputs of shape {shape}, such as mlp; {model} takes images (C, H, W) of "
            f"at least {smallest}x{smallest} pixels"
        )
        raise InvalidSpec([Violation("model.name", model, expected)])
    channels, height, width = shape
    return channels, height, width
