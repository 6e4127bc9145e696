"""OPOM and Chameleon from their description: grey levels 0 to 255, one photo after the other, loops over pixels.

Independent of `facecloak` and `baselines`. The mask is spread over a photo by a matrix that is filled pixel by pixel,
and its gradient is that matrix's transpose times the gradient of the photo. Hulls are searched by brute force.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.reference.cloaks_lowkey_fawkes import dssim
from tests.reference.recognition import cut, resize

Networks = list[tuple[nn.Module, int]]
Box = tuple[float, ...]
Factors = list[tuple[list[Tensor], list[Tensor]]]


def spread(box: Box, height: int, width: int, grid: int) -> Tensor:
    """(height·width)×(grid·grid): the weight of each place of the mask in each pixel of a photo."""
    left, top, right, bottom = (round(float(value)) for value in box)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    matrix = torch.zeros(height * width, grid * grid, dtype=torch.float64)
    for row in range(top, bottom):
        for column in range(left, right):
            places = []
            for pixel, first, last in ((row, top, bottom), (column, left, right)):
                place = (pixel - first + 0.5) * grid / (last - first) - 0.5
                place = min(max(place, 0.0), grid - 1.0)
                low = min(math.floor(place), grid - 2)
                places.append([(low, 1 - (place - low)), (low + 1, place - low)])
            for y, weight_y in places[0]:
                for x, weight_x in places[1]:
                    matrix[row * width + column, y * grid + x] += weight_y * weight_x
    return matrix


def feature(network: Callable[[Tensor], Tensor], levels: Tensor, box: Box, size: int) -> Tensor:
    """The features of the face on a 1×3×H×W photo in grey levels, of length 1."""
    found = network(resize(cut(levels / 127.5 - 1, box), size))[0]
    return found / found.pow(2).sum().sqrt()


def dropping(network: nn.Sequential, factors: Tensor | None, i: int) -> Callable[[Tensor], Tensor]:
    """The network of which photo i's values behind the first layer are multiplied by its factors."""
    if factors is None:
        return network
    return lambda face: network[1:](network[0](face) * factors[i : i + 1])


def masked(photo: Tensor, matrix: Tensor, mask: Tensor) -> Tensor:
    """A 1×3×H×W photo with a 3×G×G mask, in grey levels."""
    return (photo + (mask.reshape(3, -1) @ matrix.T).reshape(photo.shape)).clamp(0, 255)


def affine(features: Tensor, point: Tensor) -> Tensor:
    """Weights of sum 1 of the nearest point: the Lagrange conditions, for features that are affinely independent."""
    count = len(features)
    system = torch.ones(count + 1, count + 1, dtype=torch.float64)
    system[:count, :count], system[count, count] = features @ features.T, 0
    right = torch.cat([features @ point, torch.ones(1, dtype=torch.float64)])
    return torch.linalg.solve(system, right)[:count]


def convex(features: Tensor, point: Tensor) -> Tensor:
    """The same with weights from 0 to 1: the best among the affine answers of all subsets that have such weights."""
    best, found = math.inf, None
    for size in range(1, len(features) + 1):
        for subset in itertools.combinations(range(len(features)), size):
            weights = torch.zeros(len(features), dtype=torch.float64)
            weights[list(subset)] = affine(features[list(subset)], point)
            distance = (point - weights @ features).pow(2).sum().item()
            if (weights >= 0).all() and (weights <= 1).all() and distance < best:
                best, found = distance, weights
    return found


def opom(
    networks: Networks, photos: Tensor, boxes: list[Box], hull: str, start: Tensor,
    epsilon: float = 8, step: float = 1, steps: int = 16, decay: float = 0.0, factors: Factors | None = None,
) -> tuple[list[Tensor], list[float]]:  # fmt: skip
    """The mask after each step, and the mean squared distance before it.

    Args:
        photos: N×3×H×W, grey levels.
        boxes: N.
        hull: own, centroid, affine or convex.
        start: 3×G×G, grey levels.
        factors: with DFANet's dropout, what values behind the first convolution are multiplied by in each step: of
            the photos as they are and with the mask, a tensor N×C×h×w for each network.
    """
    count, (height, width), grid = len(photos), photos.shape[2:], start.shape[-1]
    matrices = [spread(box, height, width, grid) for box in boxes]
    plain = [[None] * len(networks)] * 2
    mask, momentum, masks, distances = start, torch.zeros_like(start), [], []
    for index in range(steps):
        gradient, total = torch.zeros(3, grid * grid, dtype=torch.float64), 0.0
        before, after = plain if factors is None else factors[index]
        own = [
            torch.stack([
                feature(dropping(network, factor, i), photos[i : i + 1], boxes[i], size) for i in range(count)
            ]).detach()
            for (network, size), factor in zip(networks, before, strict=True)
        ]  # fmt: skip
        for i in range(count):
            photo = masked(photos[i : i + 1], matrices[i], mask).requires_grad_()
            distance = 0
            for (network, size), features, factor in zip(networks, own, after, strict=True):
                now = feature(dropping(network, factor, i), photo, boxes[i], size)
                if hull == "own":
                    there = features[i]
                elif hull == "centroid" or index < 5:
                    there = sum(features) / count
                else:
                    there = {"affine": affine, "convex": convex}[hull](features, now.detach()) @ features
                distance = distance + (now - there).pow(2).sum() / len(networks)
            (of_photo,) = torch.autograd.grad(distance, photo)
            unclipped = photos[i : i + 1] + (mask.reshape(3, -1) @ matrices[i].T).reshape(1, 3, height, width)
            of_photo = of_photo * ((unclipped >= 0) & (unclipped <= 255))
            gradient += of_photo.reshape(3, -1) @ matrices[i] / count
            total += distance.item() / count
        gradient = gradient.reshape(start.shape)
        momentum = decay * momentum + gradient / gradient.abs().mean()
        mask = (mask + step * torch.sign(momentum)).clamp(-epsilon, epsilon)
        masks.append(mask)
        distances.append(total)
    return masks, distances


def chameleon(
    networks: Networks, photos: Tensor, boxes: list[Box], start: Tensor, order: list[list[list[int]]],
    epsilon: float = 16, step: float = 0.255, budget: float = 0.03,
) -> tuple[list[Tensor], list[float], list[float]]:  # fmt: skip
    """The mask and the loss, divided by the number of photos, after each epoch; λ after each step.

    Args:
        order: for each epoch the batches, lists of photos' numbers.
    """
    (height, width), grid = photos.shape[2:], start.shape[-1]
    matrices = [spread(box, height, width, grid) for box in boxes]
    clean = [
        [feature(network, photos[i : i + 1], boxes[i], size).detach() for network, size in networks]
        for i in range(len(photos))
    ]
    mask, weight, last, masks, losses, weights = start, 1.0, "", [], [], []
    for epoch in order:
        total = 0.0
        for batch in epoch:
            mask = mask.detach().requires_grad_()
            angles, looks = 0, 0
            for i in batch:
                photo = masked(photos[i : i + 1], matrices[i], mask)
                for (network, size), before in zip(networks, clean[i], strict=True):
                    angles = angles + torch.arccos(feature(network, photo, boxes[i], size) @ before)
                now, then = (resize(cut(each / 255, boxes[i]), grid) for each in (photo, photos[i : i + 1]))
                looks = looks + dssim(now, then) / len(batch)
            loss = -angles + weight * max(looks - budget, 0 * looks)
            (gradient,) = torch.autograd.grad(loss, mask)
            mask = (mask.detach() - step * torch.sign(gradient)).clamp(-epsilon, epsilon)
            total += loss.item()
            wish = "shrink" if looks >= 1.1 * budget else "grow" if looks <= 0.9 * budget else ""
            if not wish or {wish, last} == {"shrink", "grow"}:
                weight = 1.0
            else:
                weight = min(weight * 2, 129.0) if wish == "shrink" else max(weight / 2, 1 / 129)
            last = wish
            weights.append(weight)
        masks.append(mask)
        losses.append(total / len(photos))
    return masks, losses, weights
