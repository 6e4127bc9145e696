"""The relief of the face: what light and shadow play on."""

from __future__ import annotations

import torch

from facecloak.pocket.drawing.geometry import Frame, bump, mouth_height, nose_profile, step
from facecloak.pocket.drawing.identity import Identity
from facecloak.pocket.drawing.nuisance import Nuisance


def height(who: Identity, how: Nuisance, at: Frame) -> torch.Tensor:
    """The full relief of the face, B×H×W, in half face heights."""
    y, side = at.y, at.x.abs()
    z = 0.62 * torch.sqrt((1 - at.q**2).clamp(min=0) + 0.02)
    rise, t = nose_profile(who, side, y)
    tip = who.nose_length
    z = z + rise * bump(side, (0.12 + 0.035 * t) * who.nose_bridge_width * (0.6 + 0.4 * who.nose_width))
    z = z + 0.05 * who.nose_tip * bump(side, 0.085) * bump(y - tip + 0.045, 0.08)
    z = z + 0.075 * bump(side - 0.105 * who.nose_width, 0.05) * bump(y - tip + 0.015, 0.07)
    eye_x, eye_y = side - who.eye_x, y - who.eye_y
    z = z - 0.075 * who.eye_depth * bump(eye_x + 0.03, 0.19) * bump(eye_y + 0.02, 0.13)
    z = z + 0.045 * bump(eye_x, who.eye_width) * bump(eye_y, 0.08)
    z = z - 0.012 * who.eye_bags * bump(eye_x, 0.14) * bump(eye_y - 0.15, 0.035)
    z = z + 0.05 * who.brow_ridge * bump(side - 0.27, 0.22) * bump(eye_y + who.brow_y, 0.075)
    smile = how.smile.clamp(min=0)
    cheek = bump(side - 0.43, 0.2) * bump(y - 0.14, 0.17)
    z = z + (0.045 * who.cheekbone_relief + 0.03 * smile) * cheek
    z = z - 0.05 * who.cheek_hollow * bump(side - 0.47, 0.15) * bump(y - 0.45, 0.2)
    fold = side - 0.17 - (y - 0.36) * (0.42 + 0.15 * smile)
    depth = 0.012 + 0.022 * who.lines + 0.026 * smile
    z = z - depth * bump(fold, 0.055) * step(y, 0.3, 0.42) * (1 - step(y, 0.58, 0.8))
    mouth = y - mouth_height(who, how)
    z = z + 0.06 * bump(side, 0.26) * bump(mouth, 0.17)
    z = z - 0.018 * who.philtrum * bump(side, 0.03) * bump(mouth + 0.14, 0.06)
    z = z - 0.045 * bump(side, 0.2) * bump(mouth - 0.175 - 0.05 * how.open, 0.05)
    chin = bump(y - 0.88 * who.chin - 0.04 * how.open, 0.12)
    z = z + 0.05 * who.chin_relief * bump(side, 0.2) * chin
    return z - 0.02 * who.chin_cleft.clamp(min=0) * bump(side, 0.025) * chin
