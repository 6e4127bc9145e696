"""The losses of DiffAM on embeddings and pixels, one number per image each (Sun et al. 2024, sections 3.2, 3.3).

The adversarial term, the mean of 1 − cos over the surrogates, is the mean of `facecloak.objectives.Objective`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# weights of the regions in the histogram loss, in the order of `baselines.diffam.regions.REGIONS`
REGION_WEIGHTS = (1.0, 1.0, 1.0, 0.15)


def directional(before: Tensor, after: Tensor, direction: Tensor) -> Tensor:
    """1 − cos(after − before, direction): whether an edit went the wanted way in CLIP's space (Gal et al. 2022).

    Args:
        before, after: B×D unit embeddings of the images before and after the edit.
        direction: 1×D or B×D, the difference of two texts' or two images' embeddings.

    Returns:
        B, from 0 (the same direction) to 2; 1 for an image that did not change and so has no direction.
    """
    return 1 - F.cosine_similarity(after - before, direction, dim=1)


def log_directional(before: Tensor, after: Tensor, direction: Tensor) -> Tensor:
    """−log((2 − L)/2) of the loss L of `directional`: 0 in the same direction, unbounded in the opposite one (released
    code)."""
    return -((2 - directional(before, after, direction)) / 2).log()


def identity(before: Tensor, after: Tensor) -> Tensor:
    """1 − cos of B×D unit embeddings of a recognizer, B."""
    return 1 - (before * after).sum(dim=1)


def l1(before: Tensor, after: Tensor) -> Tensor:
    """Mean absolute difference of each image of B×3×H×W, in the images' units, B."""
    return (after - before).abs().flatten(1).mean(dim=1)


def match_histogram(values: Tensor, template: Tensor) -> Tensor:
    """The values, changed so that their distribution is the template's (Gonzalez & Woods, section 3.3).

    Each value becomes the template's value of the same quantile, with linear interpolation between the template's
    quantiles, as in scikit-image's `match_histograms`. Exact for floats, because there are no bins.

    Args:
        values: n numbers. template: m numbers; n and m at least 1.
    """
    _, where, counts = values.unique(return_inverse=True, return_counts=True)
    levels, level_counts = template.unique(return_counts=True)
    quantiles = counts.cumsum(0).to(values.dtype) / len(values)
    level_quantiles = level_counts.cumsum(0).to(values.dtype) / len(template)
    above = torch.searchsorted(level_quantiles, quantiles).clamp(max=len(levels) - 1)
    below = (above - 1).clamp(min=0)
    gap = level_quantiles[above] - level_quantiles[below]
    share = (quantiles - level_quantiles[below]) / torch.where(gap > 0, gap, 1)
    return torch.lerp(levels[below], levels[above], share)[where]


def histogram(images: Tensor, regions: Tensor, reference: Tensor, reference_regions: Tensor) -> Tensor:
    """L1 between the images' pixels and the same pixels matched to the reference's histogram, per region and channel.

    Pixels are in 0..255. The sum over a region is divided by the number of all pixels, as in the released codes of
    makeup transfer (Li et al., BeautyGAN, 2018, whose loss this is), so a large region counts for more. The matched
    pixels are a goal: no gradient flows through them. A region that is empty in the image or reference adds nothing.

    Args:
        images: B×3×H×W in [-1, 1]. regions: bool B×R×H×W, R as in `REGION_WEIGHTS`.
        reference: 3×H'×W' in [-1, 1]. reference_regions: bool R×H'×W'.

    Returns:
        B, in grey levels.
    """
    pixels, goal_pixels = 127.5 * (images + 1), 127.5 * (reference + 1)
    losses = []
    for image, masks in zip(pixels, regions, strict=True):
        loss = image.new_zeros(())
        for weight, mask, goal_mask in zip(REGION_WEIGHTS, masks, reference_regions, strict=True):
            if mask.any() and goal_mask.any():
                own, goal = image[:, mask], goal_pixels[:, goal_mask]
                matched = torch.stack([match_histogram(*pair) for pair in zip(own, goal, strict=True)])
                loss = loss + weight * (own - matched).abs().sum()
        losses.append(loss / image.numel())
    return torch.stack(losses)
