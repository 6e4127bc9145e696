"""LowKey and Fawkes from their description: one photo, one view after the other, nothing batched.

Independent of `facecloak` and `baselines`: resizing, windows and Adadelta are written by hand, and gradients are of
every term as the papers have it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from tests.reference.recognition import cut, resize

Networks = list[tuple[nn.Module, int]]
Box = tuple[float, ...]


@cache
def window(length: int, reach: int, sigma: float) -> Tensor:
    """length×length: the weight of each pixel in each smoothed pixel; mirrored at the ends, which are not repeated."""
    weights = [math.exp(-(offset**2) / (2 * sigma**2)) for offset in range(-reach, reach + 1)]
    matrix = torch.zeros(length, length, dtype=torch.float64)
    for row in range(length):
        for offset in range(-reach, reach + 1):
            place = row + offset
            if place < 0:
                place = -place
            if place >= length:
                place = 2 * (length - 1) - place
            matrix[row, place] += weights[offset + reach] / sum(weights)
    return matrix


def smoothed(image: Tensor, reach: int, sigma: float) -> Tensor:
    """…×H×W under a Gaussian."""
    rows, columns = (window(length, reach, sigma) for length in image.shape[-2:])
    return rows @ image @ columns.T


def dssim(image: Tensor, source: Tensor) -> Tensor:
    """(1 − SSIM)/2 of two 1×3×H×W images in [0, 1]; 11×11 windows, σ 1.5."""
    mean, own = smoothed(image, 5, 1.5), smoothed(source, 5, 1.5)
    variance = smoothed(image**2, 5, 1.5) - mean**2
    own_variance = smoothed(source**2, 5, 1.5) - own**2
    covariance = smoothed(image * source, 5, 1.5) - mean * own
    values = ((2 * mean * own + 0.0001) * (2 * covariance + 0.0009)) / (
        (mean**2 + own**2 + 0.0001) * (variance + own_variance + 0.0009)
    )
    return (1 - values.sum() / values.numel()) / 2


def feature(network: nn.Module, face: Tensor) -> Tensor:
    """The features of one face in [0, 1], of length 1."""
    found = network(2 * face - 1)[0]
    return found / found.pow(2).sum().sqrt()


def lowkey_feature(network: nn.Module, face: Tensor) -> Tensor:
    """Of a face and its mirror image."""
    both = feature(network, face) + feature(network, torch.flip(face, [3]))
    return both / both.pow(2).sum().sqrt()


def lowkey(
    networks: Networks,
    lpips: Callable[[Tensor, Tensor], Tensor],
    image: Tensor,
    box: Box,
    noise: Tensor,
    steps: int,
    step: float = 0.0025,
    start: float = 0.005,
    weight: float = 0.05,
) -> tuple[Tensor, list[float]]:
    """The protected image and what was maximised, before each step.

    Args:
        lpips: of two 1×3×H×W images in [-1, 1].
        image: 1×3×H×W in [0, 1].
        noise: the same shape, uniform in [0, 1].
    """
    original = [lowkey_feature(network, resize(cut(image, box), size)) for network, size in networks]
    current, gains = image + start * (2 * noise - 1), []
    for _ in range(steps):
        current = current.detach().requires_grad_()
        moved = 0
        for (network, size), own in zip(networks, original, strict=True):
            face = resize(cut(current, box), size)
            for seen in (face, smoothed(face, 3, 3.0)):
                moved = moved + ((lowkey_feature(network, seen) - own) ** 2).sum() / (own**2).sum().sqrt()
        now, before = (resize(cut(each, box), 112) for each in (current, image))
        looks = 0.5 * lpips(2 * before - 1, 2 * now - 1) + 0.5 * lpips(2 * image - 1, 2 * current - 1)
        gain = moved / (2 * len(networks)) - weight * looks.sum()
        (gradient,) = torch.autograd.grad(gain, current)
        current = current.detach() + step * gradient.sign()
        gains.append(gain.item())
    return current.clamp(0, 1), gains


def next_weight(c: float, last: str, value: float, budget: float) -> tuple[float, str]:
    """Fawkes' c after a DSSIM was seen, and what was asked for: more, less, or nothing."""
    if value <= 0.9 * budget:
        wish = "more"
    elif value >= 1.1 * budget:
        wish = "less"
    else:
        return 1.0, "nothing"
    if {wish, last} == {"more", "less"}:
        return 1.0, wish
    return (min(c * 2, 129.0), wish) if wish == "more" else (max(c / 2, 1 / 129), wish)


def fawkes(
    networks: Networks,
    image: Tensor,
    box: Box,
    noise: Tensor,
    steps: int,
    budget: float,
    lr: float,
    targets: list[Tensor] | None = None,
    side: int = 112,
) -> tuple[Tensor, list[float], list[float], list[float]]:
    """The protected image; of each iteration the loss, c and DSSIM, one more of the last than steps.

    Args:
        image: 1×3×H×W in [0, 1].
        noise: the same shape, uniform in [0, 1].
        targets: one feature vector per network, for the targeted form.
        side: pixels, of the face of which DSSIM is taken.
    """
    own = [feature(network, resize(cut(image, box), size)) for network, size in networks]
    source_face = resize(cut(image, box), side)
    inner = (2 * image - 1) * (1 - 1e-6)
    hidden = 0.5 * torch.log((1 + inner) / (1 - inner))
    modifier = 1e-4 * (2 * noise - 1)
    squares, updates = torch.zeros_like(modifier), torch.zeros_like(modifier)
    c, wish, best, kept = 1.0, "nothing", None, None
    losses, weights, values = [], [], []
    for index in range(steps + 1):
        modifier = modifier.detach().requires_grad_()
        wanted = (torch.tanh(hidden + modifier) + 1) / 2
        current = image + (wanted - image).clamp(-15 / 255, 15 / 255)
        value = dssim(resize(cut(current, box), side), source_face)
        distance = 0
        for number, (network, size) in enumerate(networks):
            found = feature(network, resize(cut(current, box), size))
            anchor = own[number] if targets is None else targets[number]
            distance = distance + ((found - anchor) ** 2).sum() / (own[number] ** 2).sum()
        score = distance.item() if targets is None else -distance.item()
        values.append(value.item())
        if value.item() <= 1.1 * budget and (best is None or score > best):
            best, kept = score, current.detach()
        if index == steps:
            break
        over = max(0.0, value.item() - budget)
        penalty = 1e6 * (value - budget) ** 2 if over else 0.0
        loss = penalty - c * distance if targets is None else penalty + c * distance
        (gradient,) = torch.autograd.grad(loss, modifier)
        losses.append(loss.item())
        weights.append(c)
        squares = 0.95 * squares + 0.05 * gradient**2
        update = (updates + 1e-7).sqrt() / (squares + 1e-7).sqrt() * gradient
        updates = 0.95 * updates + 0.05 * update**2
        modifier = modifier.detach() - lr * update
        if index == 0:
            modifier = modifier - 0.01 * gradient.sign()
        c, wish = next_weight(c, wish, value.item(), budget)
    return kept, losses, weights, values
