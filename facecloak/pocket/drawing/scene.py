"""What is around the face: backdrop, neck, ears, clothes, glasses."""

from __future__ import annotations

import torch

from facecloak.pocket.drawing.canvas import Canvas, linear, mix, noise, normals
from facecloak.pocket.drawing.face import rgb, skin_colour
from facecloak.pocket.drawing.geometry import Frame, bump, step
from facecloak.pocket.drawing.identity import Identity
from facecloak.pocket.drawing.nuisance import Nuisance


def backdrop(how: Nuisance, at: Frame) -> torch.Tensor:
    """An out-of-focus background, linear B×3×H×W."""
    a, b = at.a, at.b
    one, two = linear(how.colour("background")), linear(how.colour("background2"))
    slope = 0.5 + 0.35 * (b * 0.7 + a * torch.sin(how.bokeh_x))
    cloud = noise(a * 1.1 + how.bokeh_x, b * 1.1 + how.bokeh_y) + 0.5 * noise(a * 2.3 + how.bokeh_y, b * 2.3)
    share = step(slope + 0.45 * cloud * step(how.bokeh, 0.2, 0.6), 0.0, 1.0)
    colour = mix(one, two, share)
    for k in range(4):
        x, y = 1.5 * torch.sin(how.bokeh_x * (k + 1.3) + k), 1.2 * torch.sin(how.bokeh_y * (k + 1.7)) - 0.3
        disc = step(torch.hypot(a - x, b - y), 0.34 + 0.06 * k, 0.2) * step(how.bokeh, 0.55, 0.9)
        colour = mix(colour, two * 1.25 + 0.04, 0.3 * disc)
    return colour * (1.05 - 0.13 * (a * a + b * b))[:, None].clamp(min=0.3)


def paint_body(canvas: Canvas, who: Identity, how: Nuisance, at: Frame) -> None:
    """Paint neck, chest and clothes."""
    a, b = at.a + 0.14 * torch.sin(how.yaw), at.b - 0.03 * torch.sin(how.pitch)
    side = a.abs()
    width = (0.4 * who.neck + 0.025 * (1 - who.feminine)) * who.face_width
    flared = width + 0.5 * step(b, 0.98, 1.5) ** 2
    cover = at.cover(side - flared, 1.4) * step(b, 0.2, 0.3)
    z = -0.7 + 0.42 * torch.sqrt((1 - (side / flared) ** 2).clamp(min=0) + 0.04) + 0.1 * step(b, 0.95, 1.35)
    cords = bump(side - (0.3 - 0.33 * (b - 0.95)) * who.neck, 0.05) * step(b, 0.9, 1.1)
    z = z + (0.012 + 0.01 * (1 - who.feminine)) * cords - 0.03 * bump(a, 0.08) * bump(b - 1.36, 0.08)
    skin = skin_colour(who) * (1 + 0.05 * noise(a * 12, b * 12))[:, None] * 0.95
    gone = torch.zeros_like(a)
    shoulder = 1.17 + 0.1 * step(side, 0.2, 0.6) + 0.2 * step(side, 0.35, 1.4)
    shoulder = shoulder + (0.9 + 0.5 * who.feminine) * (side - 1.15).clamp(min=0) ** 2
    canvas.paint("skin", cover, skin, normal=normals(z, at.pixel), z=z, gloss=0.12, flesh=1.0)

    depth, wide = 0.1 + 0.42 * how.neckline**1.5, 0.40 * who.neck + 0.1 + 0.12 * how.neckline * who.feminine
    down = (b - 1.14).clamp(min=0) / depth
    round_ = torch.sqrt((side / wide) ** 2 + down**2) - 1
    vee = side / wide + down - 1
    opening = mix(round_, vee, torch.maximum(how.collar, step(how.fabric, 0.55, 0.6))) * 0.3
    cloth = at.cover(torch.maximum(shoulder - b, -opening), 1.4)
    folds = noise(a * 2.6 + how.bokeh_x, b * 1.8) + 0.5 * noise(a * 6 - 2 * b, b * 2 + how.bokeh_y)
    z = -0.5 - 0.45 * (side / 1.5) ** 2 - 0.5 * (shoulder + 0.22 - b).clamp(min=0) ** 1.5 + 0.06 * folds
    weave = 1 + 0.10 * noise(a * 40, b * 40) + 0.06 * torch.sin(b * 60) * step(how.fabric, 0.8, 0.85)
    tint = linear(how.colour("clothes")) * weave[:, None]
    flap = how.collar * at.cover(opening - 0.13 + 0.05 * side, 1.5)
    tint = mix(tint, linear(how.colour("clothes2")) * weave[:, None], flap)
    edge = torch.maximum(bump(opening - 0.13 + 0.05 * side, 0.02) * how.collar, 0.8 * bump(opening, 0.018))
    hem = bump(opening - 0.045, 0.008) * (1 - how.collar)
    tint = tint * (1 - 0.45 * edge - 0.25 * hem)[:, None]
    canvas.paint("clothes", cloth, tint, normal=normals(z, at.pixel), z=z, gloss=0.05, flesh=gone)


def paint_ears(canvas: Canvas, who: Identity, how: Nuisance, at: Frame) -> None:
    """Paint the ears; the face is painted over their inner half."""
    a, b = at.a + 0.09 * torch.sin(how.yaw), at.b
    u = (a.abs() - 0.715 * who.face_width * who.cheekbone - who.ear_out) - 0.12 * (0.05 - b)
    v = (b - 0.07) / who.ear_size
    wide = 0.085 * (1 - 0.35 * step(v, 0.0, 0.22))
    r = torch.sqrt((torch.where(u < 0, 0.4 * u, u) / wide) ** 2 + (v / 0.2) ** 2)
    cover = at.cover((r - 1) * 0.07, 1.3) * who.ear_shown
    rim = bump(r - 0.85, 0.22)
    hollow = bump(torch.hypot(u / 0.05, (v + 0.01) / 0.11), 0.8)
    z = -0.25 + 0.05 * rim - 0.05 * hollow - 0.06 * (u / 0.09)
    tone = skin_colour(who) * rgb((1.0, 0.9, 0.89), u) * (1 - 0.42 * hollow - 0.12 * bump(r - 0.62, 0.12))[:, None]
    canvas.paint("skin", cover, tone, normal=normals(z, at.pixel), z=z, gloss=0.15, flesh=1.0)


def paint_glasses(canvas: Canvas, who: Identity, how: Nuisance, at: Frame) -> None:
    """Paint glasses and the faint shadow of their frame."""
    side, y = at.x.abs(), at.y
    u, v = side - who.eye_x - 0.008, y - who.eye_y - 0.025
    worn = how.glasses

    def rim(dv: float) -> torch.Tensor:
        corner = 0.05 + 0.1 * how.glasses_round
        du, dy = u.abs() - 0.205 + corner, (v - dv).abs() - 0.15 + 0.02 * (1 - how.glasses_round) + corner
        return torch.hypot(du.clamp(min=0), dy.clamp(min=0)) + torch.maximum(du, dy).clamp(max=0) - corner

    lens, thick = rim(0.0), 0.011 + 0.009 * (1 - how.glasses_round)
    shade = 0.3 * bump(rim(0.045).abs(), 0.028) * worn
    canvas.albedo = canvas.albedo * (1 - shade)[:, None]
    bridge = torch.maximum((y - who.eye_y + 0.035 + 0.35 * (0.11 - side)).abs() - 0.013, side - who.eye_x + 0.19)
    arm = torch.maximum((y - who.eye_y + 0.045).abs() - 0.014, who.eye_x + 0.21 - side)
    arm = torch.maximum(arm, at.distance - 0.01)
    frame = torch.minimum(torch.minimum(lens.abs() - thick, bridge), arm)
    tint = linear(how.colour("frame")) + torch.zeros_like(side)[:, None]
    canvas.paint("glasses", at.cover(frame, 1.3) * worn, tint, gloss=0.5, flesh=0.0)
    streak = bump((u * at.x.sign() + v * 0.7) - 0.09 * how.light_x, 0.035) * at.cover(lens + 0.02, 2.0)
    canvas.glint = canvas.glint + worn * (0.07 * streak + 0.012 * at.cover(lens + 0.01))
