"""ResNet-18 for small images (He et al., 2016)."""

from torch import nn

from rheostat.trainer.data.records import DataDescription
from rheostat.trainer.models.images import image_shape


def resnet18(*, example: DataDescription, zero_init_residual: bool = False) -> nn.Module:
    """Return torchvision's ResNet-18 with the stem for CIFAR: a 3x3 convolution and no pooling.

    The original stem, made for 224 pixels, would shrink a 32-pixel image to 8 before the first
    block.

    Args:
        example: Gives the number of channels and outputs.
        zero_init_residual: Let every block start as the identity.

    Raises:
        InvalidSpec: the data are no images of at least 4x4 pixels.
    """
    # Imported here because torchvision takes longer to import than most models to build.
    from torchvision.models import resnet18 as build

    channels, _, _ = image_shape(example, "resnet18", smallest=4)
    model: nn.Module = build(
        weights=None, num_classes=example.outputs, zero_init_residual=zero_init_residual
    )
    stem = nn.Conv2d(channels, 64, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    model.conv1 = stem
    model.maxpool = nn.Identity()
    return model
