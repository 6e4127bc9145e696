"""What changes from one photo of a person to the next: pose, expression, light, background, make-up, camera."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

from facecloak.pocket.drawing.table import Table, rows

# sRGB colours in 0..1 and the words of the captions
LIPSTICKS = {
    "red": (0.72, 0.06, 0.10),
    "pink": (0.88, 0.32, 0.50),
    "plum": (0.42, 0.08, 0.28),
    "coral": (0.90, 0.34, 0.24),
    "brown": (0.44, 0.19, 0.14),
}
SHADOWS = {
    "blue": (0.20, 0.34, 0.66),
    "green": (0.16, 0.46, 0.34),
    "purple": (0.45, 0.22, 0.58),
    "golden": (0.78, 0.56, 0.22),
    "dark": (0.14, 0.11, 0.12),
}
BLUSHES = {"rosy": (0.86, 0.30, 0.38), "peach": (0.92, 0.46, 0.34)}
PALETTES = {"lipstick": LIPSTICKS, "shadow": SHADOWS, "blush": BLUSHES}

COLOURS = ("lipstick", "shadow", "blush", "light", "background", "background2", "clothes", "clothes2", "frame")


class Nuisance(Table):
    """Parameters of B photos: float32 B×P.

    Angles in radians (yaw within ±0.42, pitch within ±0.2, roll within ±0.14), strengths and colours (sRGB) in 0..1,
    ``shift_x``, ``shift_y`` and ``blur`` in pixels.
    """

    names = (
        *("yaw", "pitch", "roll", "zoom", "shift_x", "shift_y"),
        *("smile", "open", "brow_raise", "squint", "gaze_x", "gaze_y"),
        *("light_x", "light_y", "light_power", "ambient", "exposure", "warmth", "blur", "noise", "noise_seed"),
        *("glasses", "glasses_round", "neckline", "collar", "bokeh", "bokeh_x", "bokeh_y", "fabric"),
        *("lipstick", "shadow", "blush", "lipstick_kind", "shadow_kind", "blush_kind"),
        *(f"{name}_{channel}" for name in COLOURS for channel in "rgb"),
    )


def nuisances(
    indices: Sequence[int], shots: Sequence[int], feminine: Sequence[float], seed: int = 0, makeup: bool | None = None
) -> Nuisance:
    """The circumstances of shot ``s`` of person ``i``, always the same for a seed.

    Args:
        indices: B people. shots: B numbers of photos of them.
        feminine: B times 0 or 1: whether a photo has make-up by chance is likelier for a woman.
        makeup: everybody wears it (True) or nobody (False); nothing else changes with it.
    """
    keys = [[seed, int(index), 1 + int(shot)] for index, shot in zip(indices, shots, strict=True)]
    chance = iter([0.55 if value else 0.12 for value in feminine])
    return rows(Nuisance, lambda random: _draw(random, next(chance), makeup), keys)


def neutral(count: int, seed: int = 0) -> Nuisance:
    """B frontal photos without expression, make-up, glasses, blur or noise in the same soft light."""
    table = nuisances([0] * count, [0] * count, [0] * count, seed, makeup=False)
    zero = ("yaw", "pitch", "roll", "shift_x", "shift_y", "smile", "open", "brow_raise", "squint", "gaze_x", "gaze_y")
    zero += ("glasses", "blur", "noise", "warmth", "collar", "bokeh")
    light = {"light_x": -0.3, "light_y": -0.45, "light_power": 1.0, "ambient": 0.5, "exposure": 1.0, "zoom": 1.0}
    return table.with_(**dict.fromkeys(zero, 0.0), **light)


def with_makeup(how: Nuisance, strength: float = 1.0, **colours: tuple[float, float, float]) -> Nuisance:
    """The same photos with this make-up and no other; without colours, with none.

    Args:
        strength: of all of it, 0..1.
        colours: sRGB in 0..1 of ``lipstick``, ``shadow`` and ``blush``; captions name the nearest of the palette.
    """
    columns: dict[str, float] = dict.fromkeys(PALETTES, 0.0)
    for part, colour in colours.items():
        palette = np.array(list(PALETTES[part].values()))
        columns[part] = strength
        columns[f"{part}_kind"] = float(np.square(palette - colour).sum(1).argmin())
        columns |= {f"{part}_{channel}": value for channel, value in zip("rgb", colour, strict=True)}
    return how.with_(**columns)


def _draw(random: np.random.Generator, chance: float, makeup: bool | None) -> dict[str, float]:
    def between(low: float, high: float) -> float:
        return low + (high - low) * random.random()

    def around(spread: float, limit: float) -> float:
        return float(np.clip(random.normal(0, spread), -limit, limit))

    row = {"yaw": around(0.2, 0.42), "pitch": around(0.08, 0.2), "roll": around(0.05, 0.14)}
    row |= {"zoom": between(0.95, 1.05), "shift_x": around(1.5, 4), "shift_y": around(1.2, 3)}
    smiling = random.random()
    row["smile"] = between(0.35, 1.0) if smiling < 0.45 else between(-0.08, 0.25)
    row["open"] = between(0.25, 1.0) if random.random() < 0.3 else 0.0
    row |= {"brow_raise": max(0.0, around(0.4, 1.0)), "squint": max(0.0, around(0.3, 0.7))}
    row |= {"gaze_x": around(0.3, 0.8), "gaze_y": around(0.2, 0.6)}
    row |= {"light_x": around(0.5, 1.1), "light_y": between(-0.9, -0.1), "light_power": between(0.9, 1.25)}
    row |= {"ambient": between(0.25, 0.5), "exposure": between(0.88, 1.1), "warmth": around(0.4, 1.0)}
    row |= {"blur": between(0.0, 0.6), "noise": between(0.0, 0.007), "noise_seed": float(random.integers(0, 10**6))}
    row |= {"glasses": float(random.random() < 0.16), "glasses_round": random.random()}
    row |= {"neckline": random.random(), "collar": float(random.random() < 0.4), "fabric": random.random()}
    row |= {"bokeh": between(0.0, 1.0), "bokeh_x": between(-50, 50), "bokeh_y": between(-50, 50)}
    light = (0.5 + 0.5 * np.tanh(row["warmth"])) * np.array([0.16, 0.03, -0.12]) + np.array([0.95, 0.97, 1.03])
    hue = random.random()
    back = colorsys.hsv_to_rgb(hue, between(0.03, 0.32), between(0.25, 0.85))
    back2 = colorsys.hsv_to_rgb((hue + around(0.1, 0.3)) % 1, between(0.03, 0.32), between(0.2, 0.8))
    clothes = colorsys.hsv_to_rgb(random.random(), between(0.04, 0.48), between(0.12, 0.75))
    clothes2 = colorsys.hsv_to_rgb(random.random(), between(0.0, 0.2), between(0.6, 0.95))
    frame = colorsys.hsv_to_rgb(between(0.0, 0.1), between(0.1, 0.5), between(0.06, 0.3))
    colours = {"light": light, "background": back, "background2": back2, "clothes": clothes, "clothes2": clothes2}
    colours["frame"] = frame
    row |= _draw_makeup(random, chance, makeup, colours)
    for name, colour in colours.items():
        row |= {f"{name}_{channel}": float(value) for channel, value in zip("rgb", colour, strict=True)}
    return row


def _draw_makeup(random: np.random.Generator, chance: float, makeup: bool | None, colours: dict) -> dict[str, float]:
    row = {}
    worn = random.random() < chance if makeup is None else makeup
    for part, palette in PALETTES.items():
        kind = int(random.integers(len(palette)))
        colours[part] = np.clip(np.array(list(palette.values())[kind]) + random.normal(0, 0.025, 3), 0.02, 0.98)
        row[f"{part}_kind"] = float(kind)
        strength = 0.75 + 0.25 * random.random()
        present = random.random() < 0.65 or part == "lipstick"
        row[part] = strength * present * worn
    return row
