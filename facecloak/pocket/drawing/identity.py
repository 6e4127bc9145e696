"""Who a portrait shows: the shape and the colours of a head, drawn from a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facecloak.pocket.drawing.table import Table, rows

# (lowest, highest) of what is drawn evenly; lengths in half face heights, angles in radians
RANGES = {
    # outline: the distance from the centre of the face, relative to a common shape
    "chin": (0.93, 1.06),
    "chin_width": (0.93, 1.06),
    "jaw": (0.935, 1.05),
    "cheek": (0.965, 1.012),
    "cheekbone": (0.985, 1.045),
    "temple": (0.99, 1.03),
    "forehead": (0.98, 1.045),
    "face_width": (0.94, 1.06),
    "cheekbone_relief": (0.3, 1.3),
    "cheek_hollow": (0.0, 1.0),
    "chin_relief": (0.4, 1.4),
    "chin_cleft": (-1.5, 1.0),
    # eyes
    "eye_x": (0.285, 0.345),
    "eye_y": (-0.1, -0.03),
    "eye_width": (0.148, 0.184),
    "eye_height": (0.87, 1.28),
    "eye_tilt": (-0.1, 0.16),
    "eye_depth": (0.5, 1.3),
    "eye_bags": (0.0, 1.0),
    "lid_crease": (0.0, 1.0),
    "iris_size": (0.92, 1.08),
    # brows
    "brow_y": (0.165, 0.235),
    "brow_arch": (0.0, 0.07),
    "brow_tilt": (-0.12, 0.2),
    "brow_thickness": (0.6, 1.45),
    "brow_length": (0.88, 1.12),
    "brow_gap": (0.09, 0.15),
    "brow_ridge": (0.1, 0.7),
    # nose
    "nose_length": (0.275, 0.375),
    "nose_width": (0.82, 1.28),
    "nose_bridge": (0.5, 1.2),
    "nose_bridge_width": (0.85, 1.25),
    "nose_hook": (-0.5, 1.0),
    "nose_tip": (0.6, 1.4),
    "nose_relief": (0.85, 1.25),
    "nostrils": (0.4, 1.2),
    # mouth
    "mouth_y": (0.59, 0.655),
    "mouth_width": (0.25, 0.325),
    "upper_lip": (0.045, 0.09),
    "lower_lip": (0.07, 0.12),
    "lip_bow": (0.05, 0.45),
    "lip_colour": (0.1, 0.9),
    "mouth_curve": (-0.002, 0.03),
    "philtrum": (0.2, 1.0),
    # ears, neck, asymmetry
    "ear_size": (0.85, 1.2),
    "ear_out": (-0.02, 0.05),
    "neck": (0.92, 1.08),
    "skew_x": (-0.02, 0.02),
    "skew_y": (-0.018, 0.018),
    # skin and hair
    "undertone": (-1.0, 1.0),
    "ruddy": (0.0, 1.0),
    "texture_x": (-50.0, 50.0),
    "texture_y": (-50.0, 50.0),
    "hairline": (-0.74, -0.58),
    "hairline_peak": (-0.02, 0.06),
    "hair_part": (-0.45, 0.45),
    "hair_gloss": (0.3, 1.0),
    "mole_x": (-0.5, 0.5),
    "mole_y": (0.05, 0.8),
}
CHOSEN = (
    *("feminine", "age", "melanin", "freckles", "mole", "lines"),
    *("hair_melanin", "hair_red", "grey", "eye_brown", "eye_green"),
    *("hair_cover", "hair_length", "hair_top", "hair_side", "hair_sweep", "fringe", "curl", "wave", "flow"),
    *("stubble", "moustache", "goatee", "beard", "ear_shown", "bun"),
)
# style → (top volume, side volume, length below the eyes, waves, curls, flow: 0 along the head .. 1 away from it)
STYLES = {
    "bald": (0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    "cropped": (0.035, 0.015, 0.0, 0.0, 0.2, 1.0),
    "short": (0.12, 0.03, 0.02, 0.15, 0.0, 0.8),
    "parted": (0.14, 0.035, 0.04, 0.1, 0.0, 0.3),
    "curly": (0.2, 0.11, 0.1, 0.2, 1.0, 0.6),
    "afro": (0.32, 0.34, 0.25, 0.0, 1.3, 0.8),
    "tied": (0.07, 0.02, 0.0, 0.0, 0.0, 0.5),
    "bob": (0.13, 0.14, 0.98, 0.2, 0.0, 0.0),
    "long": (0.12, 0.15, 2.2, 0.25, 0.0, 0.0),
    "wavy": (0.15, 0.22, 2.0, 1.0, 0.15, 0.0),
}
WOMEN = {"short": 0.08, "tied": 0.16, "bob": 0.2, "long": 0.26, "wavy": 0.2, "curly": 0.06, "afro": 0.04}
MEN = {"bald": 0.1, "cropped": 0.24, "short": 0.26, "parted": 0.22, "curly": 0.1, "afro": 0.04, "long": 0.04}


class Identity(Table):
    """Parameters of B heads: float32 B×P. Lengths in half face heights (about 41 pixels), the rest mostly in 0..1."""

    names = (*RANGES, *CHOSEN)


def identities(indices: Sequence[int], seed: int = 0) -> Identity:
    """The people of a generator by number: person ``i`` of a seed is always the same, whatever the batch."""
    return rows(Identity, _draw, [[seed, int(index)] for index in indices])


def _draw(random: np.random.Generator) -> dict[str, float]:
    drawn = dict(zip(RANGES, random.random(len(RANGES)), strict=True))
    row = {name: low + (high - low) * drawn[name] for name, (low, high) in RANGES.items()}
    even = random.random(24)
    feminine = float(even[0] < 0.5)
    age = 20 + 52 * even[1] ** 1.3
    melanin = even[2] ** 1.2
    row |= {"feminine": feminine, "age": age, "melanin": melanin, "mole": float(even[3] < 0.18)}
    row["freckles"] = max(0.0, even[4] * 2.2 - 1.2) * (melanin < 0.35)
    row["lines"] = max(0.0, (age - 32) / 40) * (0.6 + 0.6 * even[5])
    _bend_to_sex(row, feminine)
    row["nose_width"] *= 1 + 0.12 * (melanin - 0.4)
    row["upper_lip"] *= 1 + 0.3 * (melanin - 0.4)
    row["lower_lip"] *= 1 + 0.2 * (melanin - 0.4)
    # dark hair and eyes are the more likely the darker the skin
    fair = even[6] ** (0.7 + 9 * melanin)
    row["hair_melanin"] = 1 - 0.95 * fair
    row["hair_red"] = max(0.0, even[7] * 2.0 - 1.1) * (melanin < 0.5)
    row["grey"] = float(np.clip((age - 45) / 25 * (0.3 + 1.2 * even[8]) - 0.25, 0, 0.95))
    row["eye_brown"] = 1.0 if even[9] < 0.25 + 1.6 * melanin else even[10] * 0.6
    row["eye_green"] = even[11]
    _draw_hair(row, random, even)
    return row


def _bend_to_sex(row: dict[str, float], feminine: float) -> None:
    side = 1 - 2 * feminine  # 1: man, -1: woman
    row["jaw"] *= 1 + 0.025 * side
    row["chin_width"] *= 1 + 0.02 * side
    row["chin"] += 0.02 * side
    row["cheekbone"] *= 1 - 0.01 * side
    row["brow_ridge"] += 0.3 * side
    row["brow_thickness"] *= 1 + 0.22 * side
    row["brow_y"] -= 0.012 * side
    row["brow_arch"] *= 1 - 0.35 * side
    row["eye_height"] *= 1 - 0.07 * side
    row["nose_relief"] *= 1 + 0.06 * side
    row["upper_lip"] *= 1 - 0.12 * side
    row["lower_lip"] *= 1 - 0.1 * side
    row["neck"] *= 1 + 0.09 * side


def _draw_hair(row: dict[str, float], random: np.random.Generator, even: np.ndarray) -> None:
    styles = WOMEN if row["feminine"] else MEN
    style = list(styles)[int(random.choice(len(styles), p=np.array(list(styles.values())) / sum(styles.values())))]
    top, side, length, wave, curl, flow = STYLES[style]
    spread = 0.75 + 0.5 * random.random(5)
    row |= {"hair_top": top * spread[0], "hair_side": side * spread[1], "hair_length": length * spread[2]}
    row |= {"wave": wave * spread[3], "curl": curl * spread[4], "flow": flow, "hair_cover": float(style != "bald")}
    row["bun"] = float(style == "tied") * (0.8 + 0.4 * even[21])
    row["ear_shown"] = float(style not in ("bob", "long", "wavy", "afro"))
    row["hair_sweep"] = even[12] if style in ("short", "parted", "bob", "long", "wavy") else 0.2 * even[12]
    row["fringe"] = float(style in ("bob", "long", "short") and row["feminine"] and even[13] < 0.28) * (
        0.6 + 0.4 * even[14]
    )
    if not row["feminine"] and row["age"] > 38:
        row["hairline"] -= 0.16 * even[15]
    bearded = 0.0 if row["feminine"] else even[16]
    row["stubble"] = float(bearded > 0.3) * (0.25 + 0.6 * even[17]) * (not row["feminine"])
    row["beard"] = float(bearded > 0.78) * (0.7 + 0.3 * even[18])
    row["goatee"] = float(0.66 < bearded <= 0.78) * (0.7 + 0.3 * even[18])
    row["moustache"] = float(bearded > 0.58) * float(even[19] < 0.85) * (0.6 + 0.4 * even[20])
