"""Light on the painted layers: diffuse and glossy light, cast shadows, occlusion, light under the skin, the camera."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from facecloak.pocket.drawing.canvas import Canvas, mix, unit
from facecloak.pocket.drawing.geometry import SIZE, UNIT, Frame
from facecloak.pocket.drawing.nuisance import Nuisance


def blurred(image: torch.Tensor, radius: int, times: int = 2) -> torch.Tensor:
    """A box blur of B×H×W or B×C×H×W, done ``times`` over."""
    flat = image[:, None] if image.ndim == 3 else image
    for _ in range(times):
        flat = F.avg_pool2d(F.pad(flat, (radius, radius, 0, 0), mode="replicate"), (1, 2 * radius + 1), 1)
        flat = F.avg_pool2d(F.pad(flat, (0, 0, radius, radius), mode="replicate"), (2 * radius + 1, 1), 1)
    return flat[:, 0] if image.ndim == 3 else flat


def light_direction(how: Nuisance) -> torch.Tensor:
    """Unit vector towards the light, B×3×1×1: right, down, towards the viewer."""
    direction = torch.stack([how.light_x, how.light_y, torch.ones_like(how.light_x)], 1)
    return unit(direction)


def cast_shadow(z: torch.Tensor, light: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """How much of the light something stands in the way of, 0..1, B×H×W: a march over the height field."""
    half = F.avg_pool2d(z[:, None], 2)
    size = half.shape[-1]
    line = (torch.arange(size, device=z.device) + 0.5) * 2 / size - 1
    grid = torch.stack(torch.broadcast_tensors(line[None, None, :], line[None, :, None]), -1)
    toward = light[:, :2, 0, 0] * scale.view(-1, 1) * 2 / SIZE
    blocked = torch.zeros_like(half)
    for t in (0.04, 0.07, 0.11, 0.16, 0.22, 0.29, 0.38, 0.5, 0.65):
        place = grid + t * toward[:, None, None, :]
        there = F.grid_sample(half, place, mode="bilinear", padding_mode="border", align_corners=False)
        over = there - half - t * light[:, 2:, 0, 0].view(-1, 1, 1, 1) - 0.015
        blocked = torch.maximum(blocked, over / (0.04 + 0.25 * t))
    blocked = blurred(blocked.clamp(0, 1), 1, 1)
    return F.interpolate(blocked, scale_factor=2, mode="bilinear", align_corners=False)[:, 0]


def occlusion(z: torch.Tensor) -> torch.Tensor:
    """How much of the sky every pixel sees, 0..1: less in hollows."""
    half = F.avg_pool2d(z[:, None], 2)
    hidden = 2.6 * (blurred(half, 2) - half).clamp(min=0) + 1.3 * (blurred(half, 5) - half).clamp(min=0)
    return 1 - 0.65 * F.interpolate(hidden.clamp(0, 1), scale_factor=2, mode="bilinear", align_corners=False)[:, 0]


def develop(canvas: Canvas, how: Nuisance, at: Frame, background: torch.Tensor) -> torch.Tensor:
    """Light the canvas and take the photo: sRGB B×3×H×W in 0..1."""
    normal, flesh = canvas.normal, canvas.flesh[:, None]
    light = light_direction(how)
    cosine = (normal * light).sum(1, keepdim=True)
    shadow = cast_shadow(canvas.z, light, UNIT * how.zoom)[:, None] * 0.85
    # light that went in elsewhere and comes out red softens the edge of shadow on skin
    wrap = torch.tensor([0.42, 0.2, 0.14], device=cosine.device)[None, :, None, None] * (0.35 + 0.65 * flesh)
    diffuse = ((cosine + wrap) / (1 + wrap)).clamp(min=0) ** 1.15
    soft = torch.cat([blurred(shadow, 2), blurred(shadow, 1), shadow], 1)
    diffuse = diffuse * (1 - mix(shadow, soft, flesh))
    diffuse = torch.cat([mix(diffuse[:, :1], blurred(diffuse[:, :1], 1), 0.6 * flesh), diffuse[:, 1:]], 1)
    sky = how.ambient[:, None] * (0.8 - 0.3 * normal[:, 1:2]) * occlusion(canvas.z)[:, None]
    colour = linear_light = how.colour("light")
    fill = (normal * light * torch.tensor([-1.0, 0.3, 1.0], device=light.device)[None, :, None, None]).sum(1, True)
    amount = 0.95 * how.light_power[:, None] * colour * diffuse + 0.75 * sky + 0.1 * fill.clamp(min=0)
    half = light + torch.tensor([0.0, 0.0, 1.0], device=light.device)[None, :, None, None]
    half = unit(half)
    mirror = (normal * half).sum(1, keepdim=True).clamp(min=0)
    shine = (0.09 * mirror**14 + 0.12 * mirror**48) * canvas.gloss[:, None] * (1 - shadow)
    lit = canvas.albedo * amount + shine * linear_light + canvas.glint[:, None] * (0.5 + 0.5 * how.light_power[:, None])
    image = mix(background, lit, canvas.matter) * how.exposure[:, None]
    # highlights roll off instead of clipping
    image = torch.where(image > 0.6, 0.6 + 0.4 * torch.tanh((image - 0.6) / 0.4), image).clamp(min=1e-5)
    return _camera(image ** (1 / 2.2), how)


def _camera(image: torch.Tensor, how: Nuisance) -> torch.Tensor:
    """Blur and sensor noise; the noise comes from a hash of the pixel, so that a portrait needs no neighbours."""
    share = (how.blur / 1.2)[:, None]
    soft = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
    image = mix(image, soft, share)
    size = image.shape[-1]
    places = torch.arange(3 * size * size, device=image.device).reshape(1, 3, size, size)
    state = (places + how.noise_seed[:, None].long() * 49157) * 2654435761 % 4294967296
    state = ((state ^ (state >> 15)) * 2246822519) % 4294967296
    state = ((state ^ (state >> 13)) * 3266489917) % 4294967296
    grain = ((state & 0xFFFF) + (state >> 16)).float() / 65535.0 - 1.0
    return (image + 2.4 * how.noise[:, None] * grain).clamp(0, 1)
