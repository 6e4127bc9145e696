"""The feature network of the pocket suite's Fréchet distance: it reads from a portrait how it was drawn."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import ShuffleNetV2

from facecloak.io import pocket_dir
from facecloak.metrics.features import checked_images
from facecloak.recognizers.checkpoints import load_weights

FILE = "features.safetensors"
WIDTH = 192
OUTPUTS = 142  # parameters that a portrait is drawn with and that can be read from it


def network() -> nn.Module:
    """A ShuffleNet v2 (Ma et al., ECCV 2018): N×3×128×128 in [-1, 1] → N×`OUTPUTS`, its last layer named fc."""
    return ShuffleNetV2([2, 4, 2], [16, 32, 64, 96, WIDTH], num_classes=OUTPUTS)


class PocketFeatures(nn.Module):
    """Features that distinguish one drawn portrait from another, for the distance `fd_pocket`, which is not an FID.

    The network was trained to tell the parameters that a portrait was drawn with: who, pose, light, make-up.
    """

    name = "pocket"
    num_features = WIDTH
    is_fid = False
    convention = (
        "ShuffleNet v2 trained on drawn portraits, mean of the last feature map (192-d), whole RGB image resized to "
        "128×128 (bilinear, antialias, no rounding), x / 127.5 - 1"
    )

    def __init__(self) -> None:
        super().__init__()
        self.network = network()
        load_weights(self.network, pocket_dir() / FILE)
        self.network.fc = nn.Identity()
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, H, W) → (N, 192) float32; `FacecloakError` for anything else."""
        images = checked_images(images).float()
        if images.shape[-2:] != (128, 128):
            images = nn.functional.interpolate(
                images, size=(128, 128), mode="bilinear", align_corners=False, antialias=True
            )
        return torch.cat([self.network(block / 127.5 - 1) for block in images.split(64)])
