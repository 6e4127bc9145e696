"""Reference points, not competitors: no protection, blur, pixelation, a black box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from facecloak.data import Batch
from facecloak.errors import FacecloakError
from facecloak.faces import whole_pixels
from facecloak.method import Protected, ProtectionMethod, Strength


class NoProtection(ProtectionMethod):
    """The sources as they are: every rate has to be compared with theirs."""

    def protect(self, batch: Batch) -> Protected:
        return _protected(batch, batch.images)


@dataclass(frozen=True)
class BlurSettings:
    """Attributes:
    sigma: standard deviation of the Gaussian, in pixels of the suite's image size.
    """

    sigma: float = 4.0

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise FacecloakError(f"blur: sigma must be a number above 0, got {self.sigma}.")


class Blur(ProtectionMethod):
    """Gaussian blur of the face box."""

    Settings: ClassVar[type[Any]] = BlurSettings
    strength = Strength("sigma", (0.25, 0.5, 1, 2))

    def protect(self, batch: Batch) -> Protected:
        radius = int(3 * self.settings.sigma + 0.5)
        if radius >= min(batch.images.shape[-2:]):  # the image is mirrored once at its edges
            raise FacecloakError(f"blur: sigma {self.settings.sigma} is too large for these images.")
        blurred = gaussian_blur(batch.images, [2 * radius + 1] * 2, [self.settings.sigma] * 2)
        return _protected(batch, _inside_boxes(batch, blurred))


@dataclass(frozen=True)
class PixelateSettings:
    """Attributes:
    blocks: blocks along the longer side of the face box.
    """

    blocks: int = 16

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise FacecloakError(f"pixelate: blocks must be at least 1, got {self.blocks}.")


class Pixelate(ProtectionMethod):
    """Mean colours of square blocks in the face box."""

    Settings: ClassVar[type[Any]] = PixelateSettings
    strength = Strength("blocks", (2, 1.5, 1, 0.5))

    def protect(self, batch: Batch) -> Protected:
        images = batch.images.clone()
        for image, (x0, y0, x1, y1) in zip(images, _whole_pixels(batch), strict=True):
            face = image[None, :, y0:y1, x0:x1]
            block = max(1, round(max(face.shape[-2:]) / self.settings.blocks))
            small = F.avg_pool2d(face, block, ceil_mode=True, count_include_pad=False)
            large = small.repeat_interleave(block, -1).repeat_interleave(block, -2)
            image[:, y0:y1, x0:x1] = large[0, :, : y1 - y0, : x1 - x0]
        return _protected(batch, images)


class Mask(ProtectionMethod):
    """A black box over the face."""

    def protect(self, batch: Batch) -> Protected:
        return _protected(batch, _inside_boxes(batch, batch.images.new_full((), -1.0).expand_as(batch.images)))


def _protected(batch: Batch, images: Tensor) -> Protected:
    return Protected(images, [None] * len(batch.ids))


def _inside_boxes(batch: Batch, replacement: Tensor) -> Tensor:
    """The images, with ``replacement`` (B×3×H×W) inside their face boxes."""
    images = batch.images.clone()
    for image, new, (x0, y0, x1, y1) in zip(images, replacement, _whole_pixels(batch), strict=True):
        image[:, y0:y1, x0:x1] = new[:, y0:y1, x0:x1]
    return images


def _whole_pixels(batch: Batch) -> list[tuple[int, int, int, int]]:
    height, width = batch.images.shape[-2:]
    return [whole_pixels(box, width, height) for box in batch.boxes.tolist()]
