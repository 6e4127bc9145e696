"""The skin of a face and what is on it: brows, eyes, mouth, beard, make-up."""

from __future__ import annotations

import torch

from facecloak.pocket.drawing.canvas import linear, mix, noise
from facecloak.pocket.drawing.geometry import Frame, bump, step
from facecloak.pocket.drawing.identity import Identity
from facecloak.pocket.drawing.nuisance import Nuisance


def rgb(values: tuple[float, float, float], like: torch.Tensor) -> torch.Tensor:
    """An sRGB colour as linear 1×3×1×1."""
    return linear(torch.tensor(values, device=like.device))[None, :, None, None]


def skin_colour(who: Identity) -> torch.Tensor:
    """Linear B×3×1×1."""
    m = who.melanin[:, None]
    light, tan, dark = (0.93, 0.765, 0.67), (0.78, 0.57, 0.44), (0.37, 0.235, 0.17)
    colour = mix(rgb(light, m), rgb(tan, m), (2 * m).clamp(max=1))
    colour = mix(colour, rgb(dark, m), (2 * m - 1).clamp(min=0))
    tone = torch.tensor([0.01, 0.015, -0.07], device=m.device)[None, :, None, None]
    return colour * (1 + who.undertone[:, None] * tone)


def hair_colour(who: Identity) -> torch.Tensor:
    """Linear B×3×1×1."""
    m = who.hair_melanin[:, None]
    blond, brown, black = (0.80, 0.64, 0.42), (0.36, 0.23, 0.15), (0.095, 0.08, 0.08)
    colour = mix(rgb(blond, m), rgb(brown, m), (1.6 * m).clamp(max=1))
    colour = mix(colour, rgb(black, m), ((m - 0.625) / 0.375).clamp(0, 1))
    colour = mix(colour, rgb((0.60, 0.25, 0.10), m), who.hair_red[:, None] * (1 - m) * 0.9)
    return mix(colour, rgb((0.74, 0.73, 0.72), m), who.grey[:, None])


def skin(who: Identity, how: Nuisance, at: Frame) -> tuple[torch.Tensor, torch.Tensor]:
    """Colour (linear B×3×H×W) and gloss (B×H×W) of the bare face, with freckles, moles, beard and blush."""
    x, y, side = at.x, at.y, at.x.abs()
    tx, ty = who.texture_x, who.texture_y
    colour = skin_colour(who)
    red = 0.55 * bump(side - 0.4, 0.2) * bump(y - 0.26, 0.19) + 0.6 * bump(side, 0.13) * bump(y - who.nose_length, 0.12)
    red = (red + 0.25 * bump(y - who.chin * 0.9, 0.12) * bump(side, 0.2)) * (0.25 + 0.75 * who.ruddy)
    red = red + 0.25 * noise(x * 9 + tx, y * 9 + ty)
    redden = torch.stack([0.05 * red, -0.17 * red, -0.13 * red], 1) * (1 - 0.5 * who.melanin[:, None])
    albedo = colour * (1 + redden) * (1 + 0.05 * noise(x * 22 + tx, y * 22 + ty))[:, None]
    # the thin skin around the eyes is darker
    eye_x, eye_y = side - who.eye_x, y - who.eye_y
    ring = bump(eye_x + 0.02, 0.17) * (bump(eye_y - 0.1, 0.06) * (0.1 + 0.3 * who.eye_bags) + 0.16 * bump(eye_y, 0.12))
    albedo = albedo * (1 - ring[:, None] * rgb((0.62, 0.82, 0.78), x))
    spots = 0.6 * step(noise(x * 25 + ty, y * 25 + tx), 0.15, 0.6) * bump(y - 0.17, 0.26) * bump(side, 0.5)
    albedo = mix(albedo, albedo * rgb((0.8, 0.66, 0.54), x), who.freckles * spots)
    mole = at.cover(torch.hypot(x - who.mole_x, y - who.mole_y) - 0.02, 1.4) * who.mole
    albedo = mix(albedo, colour * rgb((0.52, 0.42, 0.38), x), mole * 0.85)
    lines = _lines(who, how, at)
    albedo = albedo * (1 - lines[:, None] * rgb((0.6, 0.75, 0.75), x))
    # powder lets the skin show through, or it would glow on a dark one
    powder = linear(how.colour("blush")) * (0.25 + 0.9 * colour[:, :1])
    cheek = bump(side - 0.45, 0.19) * bump(y - 0.24 + 0.3 * (side - 0.45), 0.15)
    albedo = mix(albedo, powder, 0.45 * how.blush * cheek)
    hair = beard(who, at)
    albedo = mix(albedo, hair_colour(who) * (0.85 + 0.35 * noise(x * 26 + tx, y * 14 + ty))[:, None], hair)
    oily = (
        bump(side, 0.3) * bump(y + 0.5, 0.3)
        + 0.8 * bump(side, 0.08) * bump(y - who.nose_length + 0.08, 0.16)
        + 0.7 * bump(side - 0.4, 0.16) * bump(y - 0.12, 0.14)
    )
    return albedo, (0.3 + 0.55 * oily) * (1 - 0.7 * hair)


def _lines(who: Identity, how: Nuisance, at: Frame) -> torch.Tensor:
    """Lines of age and expression, 0..1."""
    side, y = at.x.abs(), at.y
    wave = 0.02 * torch.cos(at.x * 7) + 0.012 * noise(at.x * 5 + who.texture_x, y * 2)
    forehead = sum(bump(y + 0.42 + 0.09 * k + wave, 0.014) for k in range(3)) * bump(side, 0.33)
    forehead = forehead * (who.lines + 0.35 * how.brow_raise * (0.3 + who.lines))
    dx, dy = side - who.eye_x - who.eye_width - 0.07, y - who.eye_y
    crow = sum(bump(dy + slope * dx, 0.011) for slope in (-0.7, 0.05, 0.7)) * bump(dx, 0.06)
    crow = crow * who.lines * (0.7 + 0.6 * how.smile.clamp(min=0))
    frown = bump(side - 0.045, 0.012) * bump(y + 0.2, 0.07) * who.lines
    return (0.42 * forehead + 0.45 * crow + 0.4 * frown).clamp(0, 0.8)


def beard(who: Identity, at: Frame) -> torch.Tensor:
    """How much of the skin is hidden by beard, 0..0.95."""
    side, y = at.x.abs(), at.y
    grain = 0.03 * noise(at.x * 18 + who.texture_x, y * 18)
    below = y - who.mouth_y + grain
    line = 0.3 + 0.42 * step(0.64 - side, 0.0, 0.42) + grain
    jaw = step(y - line, -0.06, 0.12)
    lip = bump((side - 0.02) / (who.mouth_width + 0.06), 0.8) * bump(below + 0.11, 0.075)
    ring = step(torch.hypot(side / 1.05, below - 0.14), 0.36, 0.24) * step(side, 0.1, 0.2)
    tuft = bump(side, 0.2) * step(below, 0.12, 0.22)
    lip = (1.9 * lip).clamp(max=1) * step(y, who.nose_length + 0.03, who.nose_length + 0.09)
    soft = 0.5 * who.stubble * torch.maximum(jaw, lip)
    full = torch.maximum(who.beard * jaw, who.moustache * lip * 0.95)
    full = torch.maximum(full, who.goatee * torch.maximum(0.85 * ring, tuft) * jaw)
    return torch.maximum(soft, full).clamp(0, 0.95) * (0.92 + 0.16 * noise(at.x * 26, y * 16 + who.texture_y))


def brows(who: Identity, how: Nuisance, at: Frame) -> tuple[torch.Tensor, torch.Tensor]:
    """Cover (B×H×W) and colour of the brows."""
    side, y = at.x.abs(), at.y
    inner, length = who.brow_gap, 0.36 * who.brow_length
    t = (side - inner) / length
    arch = 1 - ((t - 0.62) / 0.62) ** 2
    line = who.eye_y - who.brow_y - 0.045 * how.brow_raise + 0.02 * how.squint
    line = line - who.brow_arch * arch - who.brow_tilt * 0.3 * (t - 0.5) * length
    thick = 0.036 * who.brow_thickness * (1 - 0.65 * step(t, 0.45, 1.05)) * step(t, -0.12, 0.2)
    hairs = noise(at.x * 30 + 60 * (y - line) * at.x.sign() + who.texture_x, y * 9 + who.texture_y)
    distance = (y - line).abs() - thick * (1 + 0.35 * hairs)
    cover = at.cover(distance, 2.2) * step(t, -0.16, 0.05) * (1 - step(t, 0.88, 1.08))
    return cover * (0.62 + 0.25 * who.brow_thickness.clamp(max=1.2)), hair_colour(who) * 0.55
