"""The layers of a portrait before it is lit: colour, height, normal, gloss and region of every pixel."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F

REGIONS = ("background", "skin", "lips", "eyes", "hair", "brows", "clothes", "glasses")


def linear(colour: torch.Tensor) -> torch.Tensor:
    """sRGB in 0..1 → linear light."""
    return colour.clamp(0, 1) ** 2.2


def mix(one: torch.Tensor, other: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """``one`` where ``share`` is 0, ``other`` where it is 1; a B×H×W share serves every channel."""
    if share.ndim == 3 and max(one.ndim, other.ndim) == 4:
        share = share[:, None]
    return one + (other - one) * share


@functools.cache
def _texture(device: torch.device) -> torch.Tensor:
    random = torch.Generator().manual_seed(7)
    return (torch.rand(1, 1, 256, 256, generator=random) * 2 - 1).to(device)


def noise(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Smooth noise in about ±0.7 whose grains are 1 wide; the same everywhere for the same place."""
    x, y = torch.broadcast_tensors(x, y)
    grid = torch.stack([x, y], -1).reshape(1, -1, x.shape[-1], 2) / 128.0
    picked = F.grid_sample(_texture(x.device), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return picked.reshape(x.shape)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors B×3×H×W brought to length 1 (three times as fast as a norm over a dimension)."""
    x, y, z = vectors.unbind(1)
    return vectors * torch.rsqrt(x * x + y * y + z * z)[:, None]


def normals(z: torch.Tensor, pixel: torch.Tensor) -> torch.Tensor:
    """Unit normals of a height field, B×H×W → B×3×H×W: right, down, towards the viewer."""
    padded = F.pad(z[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    right = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / (2 * pixel)
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / (2 * pixel)
    length = torch.rsqrt(right * right + down * down + 1)
    return torch.stack([-right * length, -down * length, length], 1)


class Canvas:
    """What has been painted so far.

    Attributes:
        albedo: B×3×H×W, linear. normal: B×3×H×W. z: B×H×W, height towards the viewer.
        gloss: B×H×W. glint: B×H×W, light mirrored by the eyes and glasses.
        flesh: B×H×W, 1 where light goes under the surface. label: uint8 B×H×W, number in `REGIONS`.
    """

    def __init__(self, background: torch.Tensor) -> None:
        self.albedo = background
        self.z = torch.full_like(background[:, 0], -1.0)
        self.normal = torch.zeros_like(background)
        self.normal[:, 2] = 1
        self.gloss, self.glint, self.flesh = (torch.zeros_like(self.z) for _ in range(3))
        self.matter = torch.zeros_like(self.z)
        self.label = torch.zeros_like(self.z, dtype=torch.uint8)

    def paint(self, region: str, cover: torch.Tensor, albedo: torch.Tensor, **more: torch.Tensor | float) -> None:
        """Lay something over the picture where ``cover`` (B×H×W) is 1.

        ``z`` and ``normal`` come with a new surface; without them what is painted is a colour on the old one.
        """
        self.albedo = mix(self.albedo, albedo, cover)
        self.matter = torch.maximum(self.matter, cover)
        for name in ("z", "normal", "gloss", "flesh"):
            if name in more:
                value = torch.as_tensor(more[name], device=cover.device)
                setattr(self, name, mix(getattr(self, name), value, cover))
        self.label = torch.where(cover > 0.5, REGIONS.index(region), self.label).to(torch.uint8)
