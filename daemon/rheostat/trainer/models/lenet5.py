"""LeNet-5, the small convolutional network (LeCun et al., 1998)."""

from collections import OrderedDict

from torch import nn

from rheostat.trainer.data.records import DataDescription
from rheostat.trainer.models.images import image_shape

KERNEL = 5


def lenet5(*, example: DataDescription) -> nn.Module:
    """Return two 5x5 convolutions, `features`, and three linear layers, `classifier`.

    The widths (6, 16, 120, 84) are those of the paper; ReLU and max-pooling stand for its tanh and
    trained averaging. It adapts to the image: the first convolution pads by 2 below 32 pixels, as
    the paper padded MNIST, and the second where it would otherwise have fewer than 10 pixels to
    look at. So 32x32 and 28x28 end in the paper's 5x5 maps, 8x8 in 2x2, and larger images in larger
    maps, for which the first linear layer is sized. Any number of channels; at least 4x4 pixels.

    Raises:
        InvalidSpec: the data are no such images.
    """
    channels, height, width = image_shape(example, "lenet5", smallest=4)
    first = 0 if min(height, width) >= 32 else 2
    height, width = _convolved(height, first), _convolved(width, first)
    second = 0 if min(height, width) >= 10 else 2
    height, width = _convolved(height, second), _convolved(width, second)
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            features=nn.Sequential(
                nn.Conv2d(channels, 6, KERNEL, padding=first),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(6, 16, KERNEL, padding=second),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ),
            flatten=nn.Flatten(),
            classifier=nn.Sequential(
                nn.Linear(16 * height * width, 120),
                nn.ReLU(),
                nn.Linear(120, 84),
                nn.ReLU(),
                nn.Linear(84, example.outputs),
            ),
        )
    )


def _convolved(pixels: int, padding: int) -> int:
    """Return the side of a map after one convolution and one halving."""
    return (pixels + 2 * padding - KERNEL + 1) // 2
