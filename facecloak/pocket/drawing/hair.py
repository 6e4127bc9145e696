"""Hair: its outline around the head, the hairline, locks that fall, strands and their sheen."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from facecloak.pocket.drawing.canvas import Canvas, mix, noise, normals
from facecloak.pocket.drawing.face import hair_colour
from facecloak.pocket.drawing.geometry import Frame, bump, step
from facecloak.pocket.drawing.identity import Identity


@dataclass
class Hair:
    """The hair of B heads: signed distance to its outline, its strands (-1..1), colour and normals."""

    outside: torch.Tensor
    strands: torch.Tensor
    albedo: torch.Tensor
    normal: torch.Tensor
    z: torch.Tensor


def grow(who: Identity, at: Frame) -> Hair:
    """Lay out the hair, before any of it is painted."""
    x, y, side = at.x, at.y, at.x.abs()
    long_ = step(who.hair_length, 0.3, 0.6)
    above = step(-y, -0.05, 0.75)
    volume = who.hair_side + (who.hair_top - who.hair_side) * above
    volume = volume + 0.25 * who.hair_top * who.hair_sweep * (-x * who.hair_part.sign()) * above
    # where hair ends at the ears its volume ends too
    volume = volume * torch.maximum(step(-y, -0.25, 0.45), step(who.hair_length, 0.02, 0.2))
    rough = who.curl * 0.075 * noise(x * 7 + who.texture_x, y * 7) + 0.02 * noise(x * 14, y * 9 + who.texture_y)
    dome = at.distance - volume - rough * step(volume, 0.0, 0.1)
    sway = 0.045 * who.wave * torch.sin(y * 8.5 + 6 * who.hair_part + 1.2 * x.sign())
    width = 0.715 * who.face_width * who.temple + who.hair_side * (1 + 0.25 * step(y, 0.1, 0.9)) + sway
    width = width - (0.05 + 0.12 * (1 - long_)) * step(y, who.hair_length - 0.35, who.hair_length + 0.05)
    end = y - who.hair_length + 0.12 * (side - 0.6) - 0.06 * noise(x * 16 + who.texture_x, y * 2)
    fall = torch.maximum(side - width - rough, end)
    outside = mix(dome, fall, step(y, -0.3, 0.12) * step(who.hair_length, 0.1, 0.2))

    across = (
        mix(at.q * 1.05, side * 1.35, step(y, -0.15, 0.5)) + sway * 1.4 + 0.03 * noise(x * 5 + who.texture_x, y * 4)
    )
    angle = torch.atan2(x - 0.5 * who.hair_part, -y + 0.35)
    hanging = who.fringe * step(-y, 0.3, 0.45) * (1 - step(side, 0.45, 0.7))
    across = mix(across, x * 1.2 + 0.1 * y * x, hanging)
    c = mix(across * 1.2, angle, who.flow) + 0.12 * who.hair_sweep * x
    c = c + 0.1 * who.curl * noise(x * 9, y * 9 + who.texture_y)
    along = mix(mix(y, x.abs() * 1.4 + y, step(-y, 0.1, 0.6)), at.q * 1.5, who.flow)
    shift = who.texture_x
    fine = noise(c * 25 + shift, along * 2.5) + 0.6 * noise(c * 38 + shift, along * 4)
    coarse = noise(c * 10 + shift, along * 1.5 + 40)
    lumps = noise(x * 11 + who.texture_x, y * 11) + noise(x * 21, y * 21 + who.texture_y)
    strands = mix(0.55 * fine + 0.6 * coarse, 0.75 * lumps, who.curl.clamp(0, 1) * 0.75)

    rim = 1.06 + volume
    z = 0.8 * torch.sqrt((1 - (at.q / rim) ** 2).clamp(min=0) + 0.02)
    middle = width - 0.16
    lock = -0.25 + 0.28 * torch.sqrt((1 - ((side - middle) / 0.3) ** 2).clamp(min=0) + 0.03)
    z = mix(z, lock, step(y, -0.3, 0.35) * long_)
    tone = hair_colour(who) * (1 + 0.55 * strands)[:, None].clamp(min=0.2)
    bent = normals(z + 0.016 * strands, at.pixel)
    return Hair(outside, strands, tone, bent, z)


def paint_back(canvas: Canvas, hair: Hair, who: Identity, at: Frame) -> None:
    """Paint what lies behind face and neck."""
    falls = step(who.hair_length, 0.1, 0.2)
    cover = at.cover(hair.outside + 0.04 * step(at.y, -0.3, 0.1) * (1 - falls), 1.8) * who.hair_cover
    inner = 1 - 0.72 * step(at.y, 0.1, 0.9) * (1 - step(at.x.abs(), 0.4, 0.8))
    canvas.paint(
        "hair",
        cover,
        hair.albedo * inner[:, None],
        normal=hair.normal,
        z=-0.6 + 0.5 * (1 - falls),
        gloss=0.12,
        flesh=0.0,
    )


def paint_bun(canvas: Canvas, who: Identity, at: Frame) -> None:
    """Paint hair that is tied up behind the crown."""
    dx, dy = at.x - 0.12 * who.hair_part, at.y + 1.16
    r = torch.hypot(dx, 1.15 * dy) / (0.25 * who.bun + 1e-3)
    turn = torch.atan2(dx, -dy)
    coil = noise(r * 4 + 1.5 * turn + who.texture_x, 2 * turn + who.texture_y)
    ball = 0.24 * torch.sqrt((1 - r * r).clamp(min=0) + 0.02)
    cover = at.cover((r - 1) * 0.24 + 0.02 * coil, 1.8) * (who.bun > 0)
    tone = hair_colour(who) * (0.85 + 0.5 * coil)[:, None]
    bent = normals(ball + 0.016 * coil, at.pixel)
    canvas.paint("hair", cover, tone, normal=bent, z=ball - 0.4, gloss=0.5 * who.hair_gloss, flesh=0.0)


def paint_front(canvas: Canvas, hair: Hair, who: Identity, at: Frame) -> None:
    """Paint what frames the face and falls over the shoulders."""
    x, y, side = at.x, at.y, at.x.abs()
    long_ = step(who.hair_length, 0.3, 0.6)
    jag = 0.035 * noise(x * 17 + who.texture_x, y * 3) * (0.5 + who.fringe + who.curl) + 0.02 * hair.strands
    toward = -x * who.hair_part.sign() + who.hair_part.abs()
    lowered = who.hair_sweep * (0.24 * step(toward, 0.0, 0.75) - 0.05 * bump(toward, 0.12))
    line = who.hairline + lowered + who.hairline_peak * bump(x, 0.12)
    line = mix(line, -0.37 + 0.03 * torch.cos(5 * x) + 0 * line, who.fringe)
    recede = step(who.age, 40, 60) * (1 - who.feminine) * 0.1 * bump(side - 0.36, 0.16) * (1 - who.fringe)
    line = line - recede
    temple = (0.61 + 0.02 * who.flow + 0.05 * (1 - long_)) * who.temple * who.face_width
    rise = ((-0.2 - y) / (-0.2 - line)).clamp(min=0)
    power = 2.6 + 1.6 * who.fringe
    bow = (torch.clamp(side / temple, min=1e-3) ** power + rise.clamp(min=1e-3) ** power) ** (1 / power)
    opening = (bow - 1) * 0.5 + jag
    # beside the face: sideburns fade out before the ear lobe, long hair runs on
    burn = 1 - step(y, 0.02, 0.3)
    lower = torch.maximum(burn, step(who.hair_length, 0.15, 0.4))
    inside = torch.where(y < -0.2, opening, side - temple + 0.5 * jag + 0.1 * long_ * step(y, 0.6, 1.1))
    edge = 1.8 + 2.5 * (1 - long_) * (1 - who.fringe)
    cover = at.cover(hair.outside, 1.6 + 1.5 * who.curl.clamp(0, 1)) * at.cover(-inside, edge) * lower * who.hair_cover
    parted = who.hair_sweep * bump(x - who.hair_part * (1 - 0.35 * (line - y)), 0.02) * step(line - y, -0.03, 0.02)
    roots = 0.45 * bump(inside - 0.02, 0.05) + 0.45 * parted * (1 - who.fringe) * step(-y, 0.5, 0.7)
    tone = hair.albedo * (1 - roots.clamp(0, 0.8))[:, None]
    gloss = who.hair_gloss * (0.55 + 0.9 * hair.strands).clamp(min=0) * (1 - 0.6 * who.curl.clamp(0, 1))
    canvas.paint("hair", cover, tone, normal=hair.normal, z=hair.z, gloss=gloss, flesh=0.0)


def paint_scalp(canvas: Canvas, who: Identity, at: Frame) -> None:
    """Tint a shaven head where hair would grow."""
    x, y, side = at.x, at.y, at.x.abs()
    grown = (1 - who.hair_cover) * step(-y + 0.25 * (side - 0.4), 0.55, 0.8) * (1 - 0.5 * who.grey)
    canvas.albedo = mix(canvas.albedo, hair_colour(who), 0.22 * grown * (0.9 + 0.4 * noise(x * 30, y * 30)))
