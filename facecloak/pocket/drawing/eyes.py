"""Eyes: the opening between the lids, the ball with its iris, lashes, creases and eye shadow."""

from __future__ import annotations

import torch

from facecloak.pocket.drawing.canvas import Canvas, linear, mix, noise, unit
from facecloak.pocket.drawing.face import rgb
from facecloak.pocket.drawing.geometry import Frame, bump, step
from facecloak.pocket.drawing.identity import Identity
from facecloak.pocket.drawing.nuisance import Nuisance


def _opening(who: Identity, how: Nuisance, at: Frame) -> tuple[torch.Tensor, ...]:
    """Place relative to the eye (t: -1 at the nose, 1 outside; v down) and the two lids there."""
    u, v = at.x.abs() - who.eye_x, at.y - who.eye_y
    v = v + who.eye_tilt * u
    t = u / who.eye_width
    narrow = (1 - 0.35 * how.squint - 0.22 * how.smile.clamp(min=0) + 0.12 * how.brow_raise) * who.eye_height
    # the upper lid is highest a little towards the nose, the lower one lowest a little outside
    upper = -0.071 * narrow * (1 - (t.abs() ** 2.2)) * (1 - 0.12 * t)
    lower = 0.05 * (0.55 + 0.45 * narrow) * (1 - t * t) * (1 + 0.15 * t)
    return u, v, t, upper, lower


def iris_colour(who: Identity) -> torch.Tensor:
    """Linear B×3×1×1."""
    brown = who.eye_brown[:, None]
    pale = mix(rgb((0.38, 0.52, 0.64), brown), rgb((0.40, 0.50, 0.34), brown), who.eye_green[:, None])
    return mix(pale, rgb((0.33, 0.19, 0.10), brown), brown)


def eye_shadow(who: Identity, how: Nuisance, at: Frame) -> torch.Tensor:
    """How much eye shadow lies on the skin, 0..1: on the lid, fading towards the brow and outwards."""
    _, v, t, upper, _ = _opening(who, how, at)
    reach = v - upper.clamp(max=0)
    lid = step(reach, -0.15, -0.05) * (1 - step(reach, -0.005, 0.02))
    return 0.82 * how.shadow * lid * bump(t - 0.12, 1.05)


def paint_eyes(canvas: Canvas, who: Identity, how: Nuisance, at: Frame) -> None:
    """Paint both eyes over the skin."""
    u, v, t, upper, lower = _opening(who, how, at)
    inside = at.x.abs()
    within = 1 - step(t.abs(), 0.98, 1.22)
    worn = (how.shadow > 0).float() * 0.35
    crease = bump(v - upper + 0.036 + 0.012 * who.lid_crease, 0.014) * (1 - step(t.abs(), 0.7, 1.15))
    crease = 0.5 * crease * (0.35 + 0.65 * who.lid_crease)
    canvas.albedo = mix(canvas.albedo, canvas.albedo * rgb((0.55, 0.42, 0.4), u), crease)
    cover = at.cover(torch.maximum(upper - v, v - lower) * 0.92, 1.2) * (t.abs() < 1)

    # the ball: white that darkens to its rim, iris with a dark edge and rays, pupil
    gaze_x = 0.035 * how.gaze_x * at.x.sign()
    iu, iv = u - gaze_x, v + 0.017 - 0.018 * how.gaze_y
    r = torch.hypot(iu, iv) / (0.078 * who.iris_size)
    white = rgb((0.87, 0.84, 0.82), u) * (1 - 0.28 * (t.abs() ** 3)[:, None])
    white = mix(white, rgb((0.76, 0.48, 0.44), u), 0.65 * step(-t, 0.7, 1.0))
    rays = 1 + 0.35 * noise(torch.atan2(iv, iu) * 3 + inside * 0, r * 1.5 + 9)
    iris = iris_colour(who) * (rays * (0.75 + 0.5 * step(iv, -0.04, 0.06)))[:, None]
    iris = mix(iris, iris * 0.22, step(r, 0.72, 1.0))
    iris = mix(iris, rgb((0.03, 0.025, 0.025), u), 1 - step(r, 0.34, 0.5))
    ball = mix(white, iris, 1 - step(r, 0.86, 1.1))
    lid_shade = 0.62 * bump(v - upper, 0.045)
    ball = ball * (1 - lid_shade)[:, None]
    normal = torch.stack([u * at.x.sign() / 0.3, v / 0.3, torch.ones_like(u)], 1)
    normal = unit(normal)
    canvas.paint("eyes", cover, ball, normal=normal, gloss=0.15, flesh=0.0)
    # the window or lamp mirrored on the cornea
    spot_x = iu * at.x.sign() - 0.03 * how.light_x.clamp(-1, 1) - 0.004
    spot = bump(spot_x, 0.021) * bump(iv + 0.024, 0.021)
    canvas.glint = canvas.glint + spot * cover * (1 - step(r, 0.9, 1.1)) * 0.85
    damp = bump(v - lower + 0.008, 0.01) * within * cover
    canvas.glint = canvas.glint + 0.06 * damp

    # lashes: a dark line along the upper lid that thickens outwards, a faint one below
    female = who.feminine
    thick = (0.009 + 0.006 * female) * (0.7 + 0.5 * step(t, -0.6, 0.9)) * (1 + worn)
    line = at.cover((v - upper + 0.005).abs() - thick, 1.5) * within * step(t, -1.1, -0.8)
    wing = bump(v - upper + 0.012, 0.016) * bump(t - 1.02, 0.16) * (0.3 + 0.5 * female)
    below = 0.3 * bump(v - lower, 0.012) * within * (0.6 + worn)
    dark = torch.maximum(torch.maximum(line * 0.92, wing * 0.8), below)
    canvas.albedo = mix(canvas.albedo, rgb((0.11, 0.075, 0.065), u), dark)


def paint_shadow(canvas: Canvas, who: Identity, how: Nuisance, at: Frame) -> None:
    """Paint the eye shadow on the skin, before the eyes."""
    canvas.albedo = mix(canvas.albedo, linear(how.colour("shadow")), eye_shadow(who, how, at))
