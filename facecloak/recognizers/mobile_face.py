"""MobileFaceNet: inverted residuals, PReLU, and a global depthwise convolution instead of pooling.

Chen et al., "MobileFaceNets", CCBR 2018, table 1, with a 512-d embedding. The parameters are named as in
the published checkpoint mobile_face.pth.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


def mobile_face(width: float = 1.0, embedding_dim: int = 512, input_size: int = 112) -> nn.Module:
    """MobileFaceNet: N×3×S×S in [-1, 1] → N×`embedding_dim`; `width` scales every channel count."""
    narrow, wide, last = (round(count * width) for count in (64, 128, 512))
    side = -(-input_size // 16)  # four layers of stride 2, each rounding up
    return nn.Sequential(
        OrderedDict(
            conv1=_ConvNorm(3, narrow, 3, stride=2, padding=1),
            conv2_dw=_ConvNorm(narrow, narrow, 3, padding=1, groups=narrow),
            conv_23=_InvertedResidual(narrow, wide, narrow, stride=2),
            conv_3=_repeat(narrow, wide, 4),
            conv_34=_InvertedResidual(narrow, 2 * wide, wide, stride=2),
            conv_4=_repeat(wide, 2 * wide, 6),
            conv_45=_InvertedResidual(wide, 4 * wide, wide, stride=2),
            conv_5=_repeat(wide, 2 * wide, 2),
            conv_6_sep=_ConvNorm(wide, last, 1),
            conv_6_dw=_ConvNorm(last, last, side, groups=last, activate=False),
            conv_6_flatten=nn.Flatten(),
            linear=nn.Linear(last, embedding_dim, bias=False),
            bn=nn.BatchNorm1d(embedding_dim),
        )
    )


def _repeat(channels: int, hidden: int, count: int) -> nn.Module:
    units = [_InvertedResidual(channels, hidden, channels, stride=1) for _ in range(count)]
    return nn.Sequential(OrderedDict(model=nn.Sequential(*units)))


class _ConvNorm(nn.Sequential):
    """Convolution, batch normalisation and, unless the unit is linear, PReLU."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        layers = OrderedDict[str, nn.Module](
            conv=nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=False),
            bn=nn.BatchNorm2d(after),
        )
        if activate:
            layers["prelu"] = nn.PReLU(after)
        super().__init__(layers)


class _InvertedResidual(nn.Module):
    """Expand, filter every channel by itself, project; with a shortcut where the shape stays."""

    def __init__(self, before: int, hidden: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv = _ConvNorm(before, hidden, 1)
        self.conv_dw = _ConvNorm(hidden, hidden, 3, stride, padding=1, groups=hidden)
        self.project = _ConvNorm(hidden, after, 1, activate=False)
        self.shortcut = stride == 1

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.conv_dw(self.conv(x)))
        return x + out if self.shortcut else out
