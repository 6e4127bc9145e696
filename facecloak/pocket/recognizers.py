"""The five recognizers of the pocket suite: the literature's architectures at small width, and one held out.

They embed 64-px crops of the drawn portraits and are trained by `python -m facecloak.pocket.train`, without the dropout
of the literature's: networks this small have nothing to spare.
"""

from __future__ import annotations

import torch
from facenet_pytorch.models.inception_resnet_v1 import BasicConv2d
from torch import Tensor, nn
from torchvision.models import DenseNet

from facecloak.recognizers.irse import residual_network
from facecloak.recognizers.mobile_face import mobile_face

INPUT_SIZE = 64
EMBEDDING_DIM = 128


def ir() -> nn.Module:
    """An improved residual network (Deng et al., CVPR 2019): N×3×64×64 → N×128."""
    return residual_network((1, 2, 3, 2), False, 0.1875, EMBEDDING_DIM, INPUT_SIZE, dropout=0.0)


def irse() -> nn.Module:
    """The same with squeeze-and-excitation (Hu et al., CVPR 2018) and other depths: N×3×64×64 → N×128."""
    return residual_network((2, 2, 2, 2), True, 0.1875, EMBEDDING_DIM, INPUT_SIZE, dropout=0.0)


def mobile() -> nn.Module:
    """MobileFaceNet (Chen et al., CCBR 2018): N×3×64×64 → N×128."""
    return mobile_face(0.375, EMBEDDING_DIM, INPUT_SIZE)


def inception() -> nn.Module:
    """An Inception-ResNet (Szegedy et al., AAAI 2017): N×3×64×64 → N×128."""
    return nn.Sequential(
        BasicConv2d(3, 16, 3, stride=2, padding=1),
        BasicConv2d(16, 48, 3, stride=2, padding=1),
        *(_InceptionResidual(48, 16, [(1, 1), (3, 3), (3, 3)]) for _ in range(2)),
        BasicConv2d(48, 96, 3, stride=2, padding=1),
        *(_InceptionResidual(96, 32, [(1, 1), (1, 7), (7, 1)]) for _ in range(3)),
        BasicConv2d(96, 160, 3, stride=2, padding=1),
        *(_InceptionResidual(160, 48, [(1, 1), (1, 3), (3, 1)]) for _ in range(2)),
        nn.Flatten(),
        nn.Linear(160 * 16, EMBEDDING_DIM, bias=False),
        nn.BatchNorm1d(EMBEDDING_DIM),
    )


def dense() -> nn.Module:
    """A DenseNet (Huang et al., CVPR 2017), the one that is in no surrogate pool: N×3×64×64 → N×128."""
    network = DenseNet(16, (3, 4, 6, 4), 32, num_classes=EMBEDDING_DIM)
    # as in ArcFace's networks: 64 px are too few for a stride of 4, and the place of a feature says who it is
    network.features.conv0 = nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False)
    network.features.pool0 = nn.Identity()
    channels = network.classifier.in_features
    last = [nn.ReLU(), nn.Flatten(), nn.Linear(channels * 16, EMBEDDING_DIM), nn.BatchNorm1d(EMBEDDING_DIM)]
    return nn.Sequential(network.features, *last)


class _InceptionResidual(nn.Module):
    """A 1×1 branch beside a branch of several convolutions, added to the input with a scale."""

    def __init__(self, channels: int, hidden: int, kernels: list[tuple[int, int]], scale: float = 0.2) -> None:
        super().__init__()
        self.scale = scale
        self.branch0 = BasicConv2d(channels, hidden, 1, stride=1)
        before, branch = channels, []
        for kernel in kernels:
            padding = (kernel[0] // 2, kernel[1] // 2)
            branch.append(BasicConv2d(before, hidden, kernel, stride=1, padding=padding))
            before = hidden
        self.branch1 = nn.Sequential(*branch)
        self.up = nn.Conv2d(2 * hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([self.branch0(x), self.branch1(x)], dim=1)
        return torch.relu(x + self.scale * self.up(joined))
