"""The mouth: lips with their bow, lipstick, teeth and the dark between them."""

from __future__ import annotations

import torch

from facecloak.pocket.drawing.canvas import Canvas, linear, mix, noise, unit
from facecloak.pocket.drawing.face import rgb, skin_colour
from facecloak.pocket.drawing.geometry import Frame, bump, corner_lift, mouth_half_width, mouth_height, step
from facecloak.pocket.drawing.identity import Identity
from facecloak.pocket.drawing.nuisance import Nuisance


def _curves(who: Identity, how: Nuisance, at: Frame) -> tuple[torch.Tensor, ...]:
    """Place along the mouth (t: ±1 at the corners), and the heights of four edges: lip, gap, gap, lip."""
    t = at.x / mouth_half_width(who, how)
    inside = (1 - t * t).clamp(min=0)
    round_ = torch.sqrt(inside + 1e-4)
    centre = mouth_height(who, how) - corner_lift(who, how) * t * t
    stretch = 1 - 0.1 * how.smile.clamp(min=0)
    dip = who.lip_bow * (0.75 * bump(t, 0.2) - 0.12)
    upper = who.upper_lip * stretch * (0.45 * inside + 0.55 * round_) * (1 - dip)
    lower = who.lower_lip * stretch * (0.6 * inside + 0.4 * round_)
    gap = (0.085 * how.open + 0.045 * step(how.smile, 0.4, 0.9)) * round_
    # closed lips meet in a wave: the middle of the upper one hangs a little
    centre = centre + 0.008 * (bump(t, 0.25) - bump(t.abs() - 0.5, 0.25))
    return t, centre - gap * 0.3 - upper, centre - gap * 0.3, centre + gap * 0.7, centre + gap * 0.7 + lower


def lips_colour(who: Identity, how: Nuisance) -> torch.Tensor:
    """Linear B×3×1×1, with lipstick if there is any."""
    bare = skin_colour(who)
    m = who.melanin[:, None]
    tint = mix(rgb((0.95, 0.73, 0.71), m), rgb((0.86, 0.62, 0.61), m), who.lip_colour[:, None])
    bare = bare * tint * (1 - 0.1 * m)
    return mix(bare, linear(how.colour("lipstick")), 0.88 * how.lipstick[:, None])


def paint_mouth(canvas: Canvas, who: Identity, how: Nuisance, at: Frame) -> None:
    """Paint lips and what is between them over the skin."""
    t, top, above, below, bottom = _curves(who, how, at)
    y = at.y
    across = (t.abs() < 1).float() * (1 - step(t.abs(), 0.9, 1.0))
    both = at.cover(torch.maximum(top - y, y - bottom), 1.6) * across
    inner = at.cover(torch.maximum(above - y, y - below), 1.3) * across * step(below - above, 0.003, 0.02)
    crinkle = 1 + 0.10 * noise(at.x * 38, y * 5 + who.texture_y)
    colour = lips_colour(who, how) * crinkle[:, None]
    is_upper = step(y, below + 0.012, above - 0.012)
    colour = colour * (1 - 0.2 * is_upper)[:, None]

    # lips bulge: their normals turn up and down away from their middle
    thickness = bottom - below + 1e-3
    lower = ((y - below) / thickness).clamp(0, 1)
    upper = ((y - top) / (above - top + 1e-3)).clamp(0, 1)
    slope = mix(1.5 * (lower - 0.45), 0.9 * (upper - 0.35), is_upper)
    normal = torch.stack([torch.zeros_like(slope), slope, torch.ones_like(slope)], 1) + 0.8 * canvas.normal
    normal = unit(normal)
    canvas.paint("lips", both, colour, normal=normal, gloss=0.45 + 0.25 * how.lipstick * torch.ones_like(t))

    dark = rgb((0.20, 0.07, 0.07), y)
    teeth = rgb((0.80, 0.76, 0.71), y) * (0.92 - 0.6 * t.abs() ** 2 - 0.03 * torch.cos(at.x * 75))[:, None]
    tooth = step(y, above + 0.07, above + 0.05) * (1 - 0.7 * bump(y - above, 0.016))
    tooth = tooth * (0.08 + 0.92 * step(how.smile, 0.1, 0.7)) * step(below - above, 0.025, 0.055)
    tongue = mix(dark, rgb((0.56, 0.26, 0.25), y), 0.55 * step(y, above + 0.06, below + 0.02))
    canvas.paint("lips", inner, mix(tongue, teeth, tooth), gloss=0.2)
    seam = (
        bump(y - 0.5 * (above + below), 0.009) * (1 - step(below - above, 0.008, 0.03)) * (1 - step(t.abs(), 0.9, 1.02))
    )
    corner = 0.5 * bump(t.abs() - 0.99, 0.05) * bump(y - above, 0.016)
    canvas.albedo = mix(canvas.albedo, canvas.albedo * rgb((0.42, 0.3, 0.3), y), torch.maximum(0.9 * seam, corner))
    soft = 0.22 * bump(y - bottom - 0.035, 0.03) * (1 - step(t.abs(), 0.4, 0.85))
    canvas.albedo = canvas.albedo * (1 - soft)[:, None]


def paint_nostrils(canvas: Canvas, who: Identity, how: Nuisance, at: Frame) -> None:
    """Paint the nostrils and the creases beside the wings of the nose."""
    side, y = at.x.abs(), at.y - who.nose_length - 0.05
    hole = bump(side - 0.062 * who.nose_width, 0.034 * who.nose_width) * bump(y - 0.15 * (side - 0.06), 0.017)
    crease = bump(side - 0.158 * who.nose_width, 0.016) * bump(y + 0.05, 0.05)
    shade = (0.85 * hole * (0.55 + 0.4 * who.nostrils) + 0.3 * crease).clamp(0, 0.92)
    canvas.albedo = mix(canvas.albedo, canvas.albedo * rgb((0.42, 0.27, 0.25), y), shade)
