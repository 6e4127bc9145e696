"""The crop of ArcFace (Deng et al., CVPR 2019): a face turned and scaled so that its five points lie on a template."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# (x, y) of eyes, nose tip and corners of the mouth, left of the picture first, in a crop of 112 pixels
SIDE = 112
TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))

Square = tuple[float, float, float, float, float]


def align(landmarks: np.ndarray) -> Square:
    """The square that the similarity transform nearest to the template's five points makes the crop.

    It is the least-squares solution (Umeyama 1991), which for points of the plane is a quotient of complex numbers.

    Args:
        landmarks: 5×2, (x, y) of the pixels at the five points, in the order of `TEMPLATE`.

    Returns:
        (x0, y0, x1, y1, angle): an upright square in the image's pixels, whose edges may be outside of the image, and
        by how much it is turned around its centre, in radians from the x towards the y axis.

    Example:
        >>> align(np.array(TEMPLATE))
        (0.0, 0.0, 112.0, 112.0, 0.0)
    """
    source, template = (np.asarray(points, dtype=np.float64) @ (1, 1j) for points in (landmarks, TEMPLATE))
    centred = source - source.mean()
    scale = np.vdot(centred, template - template.mean()) / np.vdot(centred, centred).real
    middle = complex(1, 1) * (SIDE - 1) / 2  # of the crop, where the first pixel is at 0
    centre = source.mean() + (middle - template.mean()) / scale + complex(0.5, 0.5)  # whose pixel begins at 0
    half, angle = SIDE / abs(scale) / 2, -math.atan2(scale.imag, scale.real)
    corners = (centre.real - half, centre.imag - half, centre.real + half, centre.imag + half)
    return (*(round(float(value), 4) + 0.0 for value in corners), round(angle, 6) + 0.0)


def turned_crop(images: Tensor, squares: Tensor, size: int) -> Tensor:
    """Cut each image's turned square, bilinearly and without antialiasing; outside of the image it is black.

    With ``size`` 112 it is insightface's ``norm_crop`` (to less than one of 255 grey levels). Differentiable in the
    images.

    Args:
        images: B×3×H×W in [-1, 1].
        squares: B×5, as `align` gives them.
        size: side of the result in pixels.

    Returns:
        B×3×size×size in [-1, 1].
    """
    height, width = images.shape[-2:]
    squares = squares.to(images)
    x0, y0, x1, y1, angle = squares.unbind(1)
    place = (torch.arange(size, device=images.device, dtype=images.dtype) + 0.5) / size - 0.5
    v, u = torch.meshgrid(place, place, indexing="ij")
    sides, cosine, sine = (values[:, None, None] for values in (x1 - x0, angle.cos(), angle.sin()))
    x = ((x0 + x1) / 2)[:, None, None] + sides * (cosine * u - sine * v)
    y = ((y0 + y1) / 2)[:, None, None] + sides * (sine * u + cosine * v)
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=-1)
    # black is 0 for grid_sample, which pads with it
    return F.grid_sample(images + 1, grid, mode="bilinear", padding_mode="zeros", align_corners=False) - 1


def upright(square: Square) -> tuple[int, int, int, int]:
    """The smallest upright box of whole pixels around a turned square."""
    x0, y0, x1, y1, angle = square
    half = (x1 - x0) / 2 * (abs(math.cos(angle)) + abs(math.sin(angle)))
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return math.floor(x - half), math.floor(y - half), math.ceil(x + half), math.ceil(y + half)
