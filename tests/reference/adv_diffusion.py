"""Adv-Diffusion for one image, from its description: every number of the schedule and every cell of the mask alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tests.reference.cloak import Models
from tests.reference.recognition import embed


@dataclass
class Case:
    """An image (1×3×H×W in [-1, 1]), its box, the target (a whole image), and settings."""

    image: Tensor
    box: tuple[float, ...]
    target: Tensor
    goal: str
    steps: int
    scale: float
    face: float
    seed: int
    random: torch.Generator
    conditioned: bool = False  # the UNet is an inpainting model's


def inside(case: Case, x: float, y: float) -> bool:
    """Whether a point, in pixels, is in the kept ellipse."""
    x0, y0, x1, y1 = case.box
    half_width, half_height = case.face * (x1 - x0) / 2, case.face * (y1 - y0) / 2
    return ((x - (x0 + x1) / 2) / half_width) ** 2 + ((y - (y0 + y1) / 2) / half_height) ** 2 <= 1


def mask(case: Case, rows: int, columns: int) -> Tensor:
    """1 where the picture is repainted, 0 on the face, 1×1×rows×columns."""
    height, width = case.image.shape[2:]
    made = torch.ones(1, 1, rows, columns, dtype=torch.float64)
    for i in range(rows):
        for j in range(columns):
            if inside(case, (j + 0.5) * width / columns, (i + 0.5) * height / rows):
                made[0, 0, i, j] = 0
    return made


def encode(models: Models, image: Tensor, seed: int) -> Tensor:
    posterior = models.vae.encode(image).latent_dist
    drawn = torch.randn(1, *posterior.mean.shape[1:], generator=torch.Generator().manual_seed(seed))
    return (posterior.mean + posterior.std * drawn.double()) * models.vae.config.scaling_factor


def score(models: Models, case: Case, image: Tensor) -> Tensor:
    """The mean over the recognizers of the cosine to the target; for obfuscation, less that to the source."""
    total = 0.0
    mine, targets, own = (
        embed(models.recognizers, picture, box)
        for picture, box in ((image, case.box), (case.target, None), (case.image, case.box))
    )
    for now, target, source in zip(mine, targets, own, strict=True):
        total = total + torch.cosine_similarity(now, target, dim=0)
        if case.goal == "obfuscation":
            total = total - torch.cosine_similarity(now, source.detach(), dim=0)
    return total / len(mine)


def protect(models: Models, case: Case) -> tuple[Tensor, list[float], list[Tensor]]:
    """The image, the scores step by step, and the latents after each step."""
    alphas = [float(alpha) for alpha in models.scheduler.alphas_cumprod]

    def draw() -> Tensor:
        return torch.randn(clean.shape[1:], generator=case.random)[None].double()

    def decode(z: Tensor) -> Tensor:
        return models.vae.decode(z / models.vae.config.scaling_factor).sample

    with torch.no_grad():
        clean = encode(models, case.image, case.seed)
        repaint = mask(case, *clean.shape[2:])
        masked = encode(models, case.image * (1 - mask(case, *case.image.shape[2:])), case.seed)
        z = alphas[999] ** 0.5 * clean + (1 - alphas[999]) ** 0.5 * draw()
    stride = 998 // (case.steps - 1)
    timesteps = [1 + stride * index for index in range(case.steps)]
    scores, latents = [], []
    for index in reversed(range(case.steps)):
        t = timesteps[index]
        now, previous = alphas[t], alphas[timesteps[index - 1]] if index > 0 else alphas[0]
        with torch.no_grad():
            given = torch.cat([z, repaint, masked], dim=1) if case.conditioned else z
            noise = models.unet(given, t, encoder_hidden_states=models.null_embedding).sample
            predicted = (z - (1 - now) ** 0.5 * noise) / now**0.5
        predicted.requires_grad_()
        found = score(models, case, decode(predicted))
        (gradient,) = torch.autograd.grad(found, predicted)
        predicted = predicted.detach()
        sigma = ((1 - previous) / (1 - now)) ** 0.5 * (1 - now / previous) ** 0.5
        z = previous**0.5 * predicted + (1 - previous - sigma**2) ** 0.5 * noise
        z = z + sigma * draw() + sigma * case.scale * gradient
        if not case.conditioned:
            source = previous**0.5 * clean + (1 - previous) ** 0.5 * draw() if index > 0 else clean
            z = repaint * z + (1 - repaint) * source
        scores.append(found.item())
        latents.append(z)
    with torch.no_grad():
        return decode(z).clamp(-1, 1), scores, latents
