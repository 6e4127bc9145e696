"""Procedural portraits: pictures of people who do not exist, with captions, landmarks and region masks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from facecloak.io import write_png
from facecloak.pocket.drawing import eyes, face, hair, mouth, scene
from facecloak.pocket.drawing.canvas import REGIONS, Canvas, normals
from facecloak.pocket.drawing.captions import captions
from facecloak.pocket.drawing.geometry import SIZE, Frame, frame, landmarks, outline
from facecloak.pocket.drawing.identity import Identity, identities
from facecloak.pocket.drawing.nuisance import Nuisance, nuisances
from facecloak.pocket.drawing.shading import develop
from facecloak.pocket.drawing.surface import height

CHUNK = 4  # portraits at once on a CPU, whose cache holds no more
GAP = 4  # pixels between the portraits of a sheet


@dataclass
class Portraits:
    """A batch of portraits.

    Attributes:
        images: uint8 B×128×128×3, sRGB.
        captions: B sentences.
        landmarks: float32 B×5×2, pixels (x, y): eyes, nose tip, corners of the mouth, left of the picture first.
        labels: uint8 B×128×128, the number of each pixel's region in `REGIONS`.
    """

    images: torch.Tensor
    captions: list[str]
    landmarks: torch.Tensor
    labels: torch.Tensor

    @property
    def masks(self) -> dict[str, torch.Tensor]:
        """Region → bool B×128×128; no pixel belongs to two."""
        return {name: self.labels == number for number, name in enumerate(REGIONS)}


def render(who: Identity, how: Nuisance) -> Portraits:
    """Render B people in B circumstances, on the device of their parameters.

    A portrait does not depend on the others of its batch.
    """
    if len(who) != len(how):
        raise ValueError(f"{len(who)} identities and {len(how)} nuisances")
    with torch.no_grad():
        size = CHUNK if who.values.device.type == "cpu" else 128
        parts = [_render(who[k : k + size], how[k : k + size]) for k in range(0, len(who), size)]
        images, labels = (torch.cat(part) for part in zip(*parts, strict=True))
        return Portraits(images, captions(who, how), landmarks(who, how), labels)


def portraits(
    identity_indices: Sequence[int],
    shots: Sequence[int],
    seed: int = 0,
    makeup: bool | None = None,
    device: torch.device | str = "cpu",
) -> Portraits:
    """Portrait b shows person ``identity_indices[b]`` in circumstances ``shots[b]``: always the same for a seed.

    Args:
        identity_indices, shots: B numbers each.
        makeup: on everybody (True), nobody (False) or by chance (None); nothing else changes with it.
    """
    who = identities(identity_indices, seed)
    how = nuisances(identity_indices, shots, who.feminine.flatten().tolist(), seed, makeup)
    return render(who.to(device), how.to(device))


def _render(who: Identity, how: Nuisance) -> tuple[torch.Tensor, torch.Tensor]:
    series = outline(who, how)
    at = frame(who, how, series)
    background = scene.backdrop(how, at)
    canvas = Canvas(background)
    locks = hair.grow(who, at)
    hair.paint_bun(canvas, who, at)
    hair.paint_back(canvas, locks, who, at)
    scene.paint_body(canvas, who, how, at)
    scene.paint_ears(canvas, who, how, at)
    _paint_face(canvas, who, how, at)
    hair.paint_front(canvas, locks, who, at)
    image = develop(canvas, how, at, background)
    return (image * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous(), canvas.label


def _paint_face(canvas: Canvas, who: Identity, how: Nuisance, at: Frame) -> None:
    z = height(who, how, at)
    # seen from where the camera is: the turned head's far side recedes
    seen = z * torch.cos(how.yaw) * torch.cos(how.pitch) - at.x * torch.sin(how.yaw) - at.y * torch.sin(how.pitch)
    albedo, gloss = face.skin(who, how, at)
    normal = normals(seen, at.pixel)
    canvas.paint("skin", at.cover(at.distance, 1.3), albedo, normal=normal, z=z, gloss=gloss, flesh=1.0)
    hair.paint_scalp(canvas, who, at)
    eyes.paint_shadow(canvas, who, how, at)
    eyes.paint_eyes(canvas, who, how, at)
    cover, colour = face.brows(who, how, at)
    canvas.paint("brows", cover, colour, gloss=0.1)
    mouth.paint_nostrils(canvas, who, how, at)
    mouth.paint_mouth(canvas, who, how, at)
    scene.paint_glasses(canvas, who, how, at)


def sheet(rows: int, columns: int, seed: int = 0, first: int = 0) -> torch.Tensor:
    """One picture of ``rows`` people in ``columns`` shots each: uint8 H×W×3."""
    indices = [first + row for row in range(rows) for _ in range(columns)]
    images = portraits(indices, [column for _ in range(rows) for column in range(columns)], seed).images
    page = torch.full((rows, SIZE + GAP, columns, SIZE + GAP, 3), 255, dtype=torch.uint8)
    page[:, :SIZE, :, :SIZE] = images.reshape(rows, columns, SIZE, SIZE, 3).permute(0, 2, 1, 3, 4)
    return page.reshape(rows * (SIZE + GAP), columns * (SIZE + GAP), 3)[:-GAP, :-GAP]


def main() -> None:
    """Write a sheet of portraits as PNG."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--sheet", required=True, help="PNG to write: rows are people, columns their photos")
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, help="number of the first person")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_png(options.sheet, sheet(options.rows, options.columns, options.seed, options.first).numpy())


if __name__ == "__main__":
    main()
