"""Where makeup goes: the skin around each eye, the lips, the face's skin."""

from __future__ import annotations

import torch
from torch import Tensor

from facecloak.pocket.portraits import Portraits

REGIONS = ("left_eye", "right_eye", "lips", "skin")  # left and right as seen in the picture
EYE_MARGIN = 10 / 256  # how far the eye regions reach beyond the eye, in units of the picture's side
# class numbers of face-parsing.PyTorch, whose 19 classes are those of CelebAMask-HQ
EYES, LIP_LABELS, SKIN_LABELS = (4, 5), (12, 13), (1, 10)
# ellipses around MTCNN's points: half width and half height in units of the distance between the eyes
EYE, LIPS, FACE = (0.24, 0.12), (0.50, 0.27), (1.0, 1.4)


def regions_of_masks(left_eye: Tensor, right_eye: Tensor, lips: Tensor, skin: Tensor) -> Tensor:
    """Regions from a face-parsing network's masks: the eye regions are boxes ± 10 pixels of 256, cut to the skin.

    Args:
        left_eye, right_eye, lips, skin: bool B×H×W each, left and right as seen in the picture; a part that cannot be
            seen has an empty mask and an empty region.

    Returns:
        bool B×4×H×W, in the order of `REGIONS`.
    """
    eyes = [torch.stack([_box(mask) for mask in eye]) & skin for eye in (left_eye, right_eye)]
    return torch.stack([*eyes, lips, skin], dim=1)


def regions_of_portraits(portraits: Portraits) -> Tensor:
    """Regions of drawn portraits, bool B×4×128×128, from their own masks; an eye has the pixels that are nearer to it
    than to the other eye."""
    masks, (columns, rows) = portraits.masks, _grid(portraits.labels)
    offsets = torch.stack([columns, rows], -1) - portraits.landmarks[:, :2, None, None]  # B×2×H×W×2
    nearer_left = offsets[:, 0].norm(dim=-1) < offsets[:, 1].norm(dim=-1)
    eyes = masks["eyes"]
    return regions_of_masks(eyes & nearer_left, eyes & ~nearer_left, masks["lips"], masks["skin"])


def regions_of_labels(labels: Tensor) -> Tensor:
    """Regions from a face-parsing network's label of each pixel, bool B×4×H×W, in the order of `REGIONS`.

    Args:
        labels: whole numbers B×H×W, 0..18 as in face-parsing.PyTorch: 1 skin, 4 and 5 eyes, 10 nose, 12 and 13 lips.
    """
    first, second = (labels == number for number in EYES)
    columns, _ = _grid(labels)
    places = [(eye * columns).sum((1, 2)) / eye.sum((1, 2)) for eye in (first, second)]
    swap = (places[0] > places[1])[:, None, None]  # left and right as seen in the picture
    left, right = torch.where(swap, second, first), torch.where(swap, first, second)
    lips, skin = (torch.isin(labels, torch.tensor(numbers)) for numbers in (LIP_LABELS, SKIN_LABELS))
    return regions_of_masks(left, right, lips, skin)


def regions_of_landmarks(landmarks: Tensor, side: int) -> Tensor:
    """Regions guessed from five points: ellipses along the line between the eyes, for photos without masks.

    Args:
        landmarks: B×5×2, (x, y) in pixels: eyes, nose tip, corners of the mouth, the left one in the picture first
            (`facecloak.faces.FaceDetector.landmarks`).
        side: side of the square picture in pixels.

    Returns:
        bool B×4×side×side, in the order of `REGIONS`.
    """
    left, right, _, *corners = landmarks.unbind(1)
    mouth, eyes = (corners[0] + corners[1]) / 2, (left + right) / 2
    axis = right - left
    picture = landmarks.new_empty(len(landmarks), side, side)
    left_eye, right_eye = (_ellipse(picture, centre, axis, EYE) for centre in (left, right))
    lips = _ellipse(picture, mouth, axis, LIPS)
    face = _ellipse(picture, (eyes + mouth) / 2, axis, FACE)
    return regions_of_masks(left_eye, right_eye, lips, face & ~(left_eye | right_eye | lips))


def _grid(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of every pixel of B×H×W, H×W each."""
    rows, columns = (torch.arange(size, device=pictures.device).float() for size in pictures.shape[-2:])
    return tuple(torch.meshgrid(columns, rows, indexing="xy"))


def _box(mask: Tensor) -> Tensor:
    """The box around a bool H×W mask, with the margin of eyes, as a mask; it is empty if the mask is empty."""
    box, margin = torch.zeros_like(mask), round(EYE_MARGIN * mask.shape[-1])
    rows, columns = (mask.any(dim).nonzero().flatten().tolist() for dim in (1, 0))
    if rows:
        top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
        box[top : rows[-1] + margin + 1, left : columns[-1] + margin + 1] = True
    return box


def _ellipse(picture: Tensor, centre: Tensor, axis: Tensor, halves: tuple[float, float]) -> Tensor:
    """bool B×H×W: ellipses at ``centre`` (B×2) along ``axis`` (B×2), with half axes in units of the axis' length."""
    columns, rows = _grid(picture)
    x, y = (places - place[:, None, None] for places, place in zip((columns, rows), centre.unbind(1), strict=True))
    unit_x, unit_y = (value[:, None, None] for value in (axis / axis.square().sum(1, keepdim=True)).unbind(1))
    along, across = x * unit_x + y * unit_y, y * unit_x - x * unit_y
    return (along / halves[0]).square() + (across / halves[1]).square() <= 1
