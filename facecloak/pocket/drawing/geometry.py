"""The head as a height field: its outline, its relief, and where a turned head shows in the picture."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch

from facecloak.pocket.drawing.identity import Identity
from facecloak.pocket.drawing.nuisance import Nuisance

SIZE = 128
UNIT = 42.5  # pixels a half face height
CENTRE = (63.5, 59.0)
DEPTH = 0.5
# the outline, as distances from the centre at angles from the chin (0°) to the top of the head (180°)
KNOTS = {"chin": (0, 1.0), "chin_width": (18, 0.968), "jaw": (38, 0.855), "cheek": (57, 0.768)}
KNOTS |= {"cheekbone": (79, 0.712), "temple": (98, 0.722), "forehead": (126, 0.835)}
CROWN = ((155, 1.03), (180, 1.07))


@dataclass
class Frame:
    """Where the pixels lie: B×H×W each.

    Attributes:
        a, b: in the plane of the picture, centred on the head and levelled; in half face heights.
        x, y: on the face itself, the same for a feature in every pose (x to the right, y down).
        q: distance from the centre relative to the outline: 1 on it.
        distance: signed distance to the outline, negative inside.
        pixel: width of a pixel in the plane of the picture, B×1×1.
        footprint: its width on the face, wider where the face turns away.
    """

    a: torch.Tensor
    b: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    q: torch.Tensor
    distance: torch.Tensor
    pixel: torch.Tensor
    footprint: torch.Tensor

    def cover(self, distance: torch.Tensor, soft: float = 1.0) -> torch.Tensor:
        """How much of a pixel lies inside a signed distance, 0..1, over an edge ``soft`` pixels wide."""
        return (0.5 - distance / (self.footprint * soft)).clamp(0, 1)


def bump(x: torch.Tensor, width: torch.Tensor | float) -> torch.Tensor:
    """A bell, 1 at 0: (1 - t/4)⁴ is near exp(-t), takes a third of its time and ends at twice the width."""
    t = x / (2 * width)
    t = (1 - t * t).clamp(min=0)
    t = t * t
    return t * t


def step(x: torch.Tensor, low: torch.Tensor | float, high: torch.Tensor | float) -> torch.Tensor:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


@functools.cache
def _fit() -> torch.Tensor:
    angles = torch.tensor([angle for angle, _ in (*KNOTS.values(), *CROWN)], dtype=torch.float64).deg2rad()
    order = torch.arange(7)
    waves = torch.cos(angles[:, None] * order)
    # least squares that dislikes high frequencies: knots of their own must not make the cheeks wavy
    return (torch.linalg.inv(waves.T @ waves + torch.diag(3e-3 * order.double() ** 4)) @ waves.T).float()


def outline(who: Identity, how: Nuisance) -> torch.Tensor:
    """Coefficients of the outline's distance as a cosine series of the angle: K×B×1×1."""
    width = who.face_width
    factors = [getattr(who, name) for name in KNOTS]
    lowered = 1 + how.open.clamp(min=0) * 0.05
    factors[0], factors[1] = factors[0] * lowered, factors[1] * lowered * (0.5 + 0.5 * width)
    # cheeks run from the jaw to the cheekbones
    factors[3] = factors[3] * torch.sqrt(factors[2] * factors[4])
    factors[5] = factors[5] * (0.5 + 0.5 * factors[4])
    factors = [factor * width if index > 1 else factor for index, factor in enumerate(factors)]
    knots = [factor * KNOTS[name][1] for name, factor in zip(KNOTS, factors, strict=True)]
    knots += [radius * (0.4 + 0.6 * who.forehead * width) for _, radius in CROWN]
    fit = _fit().to(width.device)
    return torch.stack([sum(fit[row, k] * knot for k, knot in enumerate(knots)) for row in range(len(fit))])


def radius(series: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance from the centre, and that of the outline in the same direction."""
    rho = torch.sqrt(x * x + y * y + 1e-8)
    cosine = y / rho
    # Clenshaw's recurrence of a cosine series
    later, last = torch.zeros_like(x), torch.zeros_like(x)
    for coefficient in series[1:].flip(0):
        later, last = coefficient + 2 * cosine * later - last, later
    return rho, series[0] + cosine * later - last


def nose_profile(who: Identity, side: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How far the ridge of the nose stands out, and how far down it we are (0..1); B×H×W."""
    tip = who.nose_length
    t = ((y + 0.2) / (tip + 0.2)).clamp(0, 1)
    rise = who.nose_bridge * 0.06 * step(y, -0.34, 0.1) + 0.185 * t * t
    rise = rise + 0.025 * who.nose_hook * bump(y - 0.12, 0.12)
    # below the tip the nose falls back, earlier at the wings than in the middle
    end = tip - 0.35 * side
    rise = rise * (1 - step(y, end - 0.02, end + 0.12))
    return rise * who.nose_relief, t


def relief(who: Identity, series: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Height of the smoothed head, which decides how far a point moves when the head turns; like ``x``."""
    rho, edge = radius(series, x, y)
    rise, _ = nose_profile(who, x.abs(), y)
    return DEPTH * (1 - (rho / edge).clamp(max=1.35) ** 2) + 0.85 * rise * bump(x, 0.17)


def frame(who: Identity, how: Nuisance, series: torch.Tensor, size: int = SIZE) -> Frame:
    """Find for every pixel the point of the head that it shows (a fixed-point search along the line of sight)."""
    scale = UNIT * how.zoom * size / SIZE
    pixels = torch.arange(size, device=series.device, dtype=torch.float32)
    centre = [(value + 0.5) * size / SIZE - 0.5 for value in CENTRE]
    right = (pixels[None, None, :] - centre[0] - how.shift_x * size / SIZE) / scale
    down = (pixels[None, :, None] - centre[1] - how.shift_y * size / SIZE) / scale
    cos, sin = torch.cos(how.roll), torch.sin(how.roll)
    a, b = right * cos + down * sin, down * cos - right * sin
    yaw, pitch = torch.sin(how.yaw), torch.sin(how.pitch)
    x, y = a, b
    for _ in range(6):
        height = relief(who, series, x, y)
        x, y = a - height * yaw, b - height * pitch
    rho, edge = radius(series, x, y)
    distance = (rho - edge) * 0.95
    q = rho / edge
    # no face is quite symmetric: features are laid out on a slightly sheared face
    stretch = [torch.gradient(place, dim=dim)[0] * scale for place, dim in ((x, 2), (y, 1))]
    footprint = torch.maximum(*(value.abs() for value in stretch)).clamp(1, 3) / scale
    return Frame(a, b, x - who.skew_x * y, y - who.skew_y * x, q, distance, 1 / scale, footprint)


def project(who: Identity, how: Nuisance, points: torch.Tensor) -> torch.Tensor:
    """Pixels (x, y) of points on the face: B×N×2 → B×N×2, of a 128-pixel picture."""
    series = outline(who, how)
    x = points[None, ..., 0].transpose(0, 1) + who.skew_x * points[None, ..., 1].transpose(0, 1)
    y = points[None, ..., 1].transpose(0, 1) + who.skew_y * points[None, ..., 0].transpose(0, 1)
    height = relief(who, series, x, y)
    a, b = x + height * torch.sin(how.yaw), y + height * torch.sin(how.pitch)
    cos, sin = torch.cos(how.roll), torch.sin(how.roll)
    right = (a * cos - b * sin) * UNIT * how.zoom + CENTRE[0] + how.shift_x
    down = (b * cos + a * sin) * UNIT * how.zoom + CENTRE[1] + how.shift_y
    return torch.stack([right, down], -1)[:, 0]


def mouth_height(who: Identity, how: Nuisance) -> torch.Tensor:
    """Where the lips meet, B×1×1."""
    return who.mouth_y - 0.01 * how.smile + 0.012 * how.open


def mouth_half_width(who: Identity, how: Nuisance) -> torch.Tensor:
    """Half the width of the mouth, B×1×1."""
    return who.mouth_width * (1 + 0.2 * how.smile.clamp(min=0) - 0.06 * how.open)


def corner_lift(who: Identity, how: Nuisance) -> torch.Tensor:
    """How much higher the corners of the mouth are than its middle, B×1×1."""
    return who.mouth_curve + 0.06 * how.smile


def landmarks(who: Identity, how: Nuisance) -> torch.Tensor:
    """Five points in pixels, B×5×2 as (x, y): eyes, nose tip, corners of the mouth; left of the picture first."""
    width, zero = mouth_half_width(who, how) * 0.93, torch.zeros_like(who.eye_x)
    corner = mouth_height(who, how) - corner_lift(who, how) * 0.86
    columns = [(-who.eye_x, who.eye_y), (who.eye_x, who.eye_y), (zero, who.nose_length - 0.03)]
    columns += [(-width, corner), (width, corner)]
    return project(who, how, torch.stack([torch.cat([x, y], -1)[:, 0] for x, y in columns], 1))
