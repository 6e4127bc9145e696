"""IR-152 and IR-SE-50: ArcFace's improved residual networks, without and with squeeze-and-excitation.

Deng et al., "ArcFace", CVPR 2019, section 3.1 (BN-Conv-BN-PReLU-Conv-BN units, output BN-Dropout-FC-BN);
Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018. The parameters are named as in the published
checkpoints ir152.pth and irse50.pth.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

STAGE_CHANNELS = (64, 128, 256, 512)


def ir152(width: float = 1.0, embedding_dim: int = 512, input_size: int = 112) -> nn.Module:
    """IR-152: N×3×S×S in [-1, 1] → N×`embedding_dim`; `width` scales every channel count."""
    return residual_network((3, 8, 36, 3), False, width, embedding_dim, input_size)


def irse50(width: float = 1.0, embedding_dim: int = 512, input_size: int = 112) -> nn.Module:
    """IR-SE-50: N×3×S×S in [-1, 1] → N×`embedding_dim`; `width` scales every channel count."""
    return residual_network((3, 4, 14, 3), True, width, embedding_dim, input_size)


def residual_network(
    units: Sequence[int], excite: bool, width: float, embedding_dim: int, input_size: int, dropout: float = 0.6
) -> nn.Module:
    """Four stages of `units` each: N×3×S×S in [-1, 1] → N×`embedding_dim`; `excite` adds squeeze-and-excitation."""
    channels = [round(count * width) for count in STAGE_CHANNELS]
    body, before = [], channels[0]
    for count, after in zip(units, channels, strict=True):
        for unit in range(count):
            body.append(_Unit(before, after, 2 if unit == 0 else 1, excite))
            before = after
    side = -(-input_size // 16)  # four stages of stride 2, each rounding up
    first = [nn.Conv2d(3, channels[0], 3, padding=1, bias=False), nn.BatchNorm2d(channels[0])]
    last = [
        nn.BatchNorm2d(before),
        nn.Dropout(dropout),
        nn.Flatten(),
        nn.Linear(before * side * side, embedding_dim),
        nn.BatchNorm1d(embedding_dim),
    ]
    return nn.Sequential(
        OrderedDict(
            input_layer=nn.Sequential(*first, nn.PReLU(channels[0])),
            body=nn.Sequential(*body),
            output_layer=nn.Sequential(*last),
        )
    )


class _Unit(nn.Module):
    """N×before×h×w → N×after×⌈h/stride⌉×⌈w/stride⌉."""

    def __init__(self, before: int, after: int, stride: int, excite: bool) -> None:
        super().__init__()
        if before == after:
            self.shortcut_layer = nn.MaxPool2d(1, stride)  # window 1: plain subsampling
        else:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        layers = [
            nn.BatchNorm2d(before),
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.PReLU(after),
            nn.Conv2d(after, after, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
        ]
        self.res_layer = nn.Sequential(*layers, *([_Excitation(after)] if excite else []))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut_layer(x) + self.res_layer(x)


class _Excitation(nn.Module):
    """Weigh every channel by a gate in 0..1 computed from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // 16)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(means))))
