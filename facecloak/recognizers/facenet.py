"""FaceNet: Inception-ResNet-v1 of the facenet-pytorch package, trained on VGGFace2 or CASIA-WebFace.

Schroff et al., "FaceNet", CVPR 2015; Szegedy et al., "Inception-v4, Inception-ResNet", AAAI 2017.
"""

from __future__ import annotations

from facenet_pytorch import InceptionResnetV1
from torch import nn


def vggface2() -> nn.Module:
    """N×3×160×160 → N×512, with the unused classifier of VGGFace2's 8631 identities."""
    return _inception_resnet(8631)


def casia() -> nn.Module:
    """N×3×160×160 → N×512, with the unused classifier of CASIA-WebFace's 10575 identities."""
    return _inception_resnet(10575)


def _inception_resnet(classes: int) -> nn.Module:
    # never `pretrained=`: it downloads, and unpickles whatever comes. The released files hold the
    # classifier, so it is built to let them load strictly, and then switched off.
    network = InceptionResnetV1(classify=True, num_classes=classes)
    network.classify = False
    return network
