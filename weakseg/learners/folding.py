"""Convolutions that do the work of the batch norms and the padding around them: faster on CPUs."""

from itertools import pairwise

import torch.nn.functional as F
from torch import nn


def fold_batch_norms(network: nn.Module) -> None:
    """Let convolutions do the work of the batch norms behind them, in place.

    A batch norm is taken for that of the convolution listed before it in the same module, as in
    timm's and smp's encoders.
    """
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for parent in list(network.modules()):
        for (name, convolution), (norm_name, norm) in pairwise(list(parent.named_children())):
            if not (isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            if convolution.out_channels == norm.num_features:
                setattr(parent, name, fuse_conv_bn_eval(convolution, norm))
                # timm's batch norms hold the activation that follows them.
                setattr(parent, norm_name, nn.Sequential(*norm.children()))


def fold_padding(network: nn.Module) -> None:
    """Replace convolutions of stride 2 with TensorFlow's padding by `padding_inside`, in place."""
    from timm.layers import Conv2dSame

    for parent in list(network.modules()):
        for name, convolution in list(parent.named_children()):
            if (
                isinstance(convolution, Conv2dSame)
                and convolution.dilation == (1, 1)
                and convolution.stride == (2, 2)
                and min(convolution.kernel_size) > 1
            ):
                setattr(parent, name, padding_inside(convolution))


def padding_inside(convolution: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution that pads by itself as TensorFlow does, for maps of even size.

    convolution: timm's `Conv2dSame` of stride 2. It puts a pixel more below and at the right, which
    costs a padded copy of the map. The same with a pixel more above and at the left is PyTorch's
    own padding, if the kernel begins with a row and a column of zeros.
    """
    height, width = convolution.kernel_size
    inside = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (height + 1, width + 1),
        stride=2,
        padding=(height // 2, width // 2),
        groups=convolution.groups,
    ).to(convolution.weight)
    inside.weight = nn.Parameter(F.pad(convolution.weight, (1, 0, 1, 0)))
    inside.bias = convolution.bias
    return inside
