"""Learned unconditional embeddings, which weaken the diffusion purification (Salar et al. 2025)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from facecloak.cloak.backbone import Backbone
from facecloak.cloak.inversion import Guide, Schedule, denoise


def learn_embeddings(
    backbone: Backbone,
    trajectory: list[Tensor],
    schedule: Schedule,
    iterations: int,
    lr: float,
    on_progress: Callable[[str, int, int], None],
    growth: int = 0,
    guide_at: Callable[[Tensor, int], Guide] | None = None,
) -> list[Tensor]:
    """Fit one embedding per generation step so that the steps retrace the inversion.

    One AdamW runs through all timesteps, its state carried along. The loss is summed over the images, each one's
    a mean over its latent, so that no image's result depends on the batch.

    Args:
        trajectory: the inversion's latents z⁰ … zⁿ, each B×C×h×w.
        iterations: AdamW steps at the first timestep; each further timestep takes ``growth`` more than the one before.
        guide_at: makes the guidance at a latent and its timestep, see `denoise`; None for none.

    Returns:
        n embeddings, B×L×d each; with 0 iterations all are the empty prompt's.
    """
    batch = len(trajectory[0])
    embedding = backbone.null_embedding(batch).clone().requires_grad_()
    if iterations == 0:
        return [embedding.detach()] * len(schedule.generation)
    optimizer = torch.optim.AdamW([embedding], lr=lr)
    counts = [iterations + growth * index for index in range(len(schedule.generation))]
    learned, done = [], 0
    z = trajectory[-1]
    for index, step in enumerate(schedule.generation):
        goal = trajectory[-2 - index]
        with torch.no_grad():
            guide = None if guide_at is None else guide_at(z, step[0])
        for _ in range(counts[index]):
            loss = (denoise(backbone, z, step, embedding, guide) - goal).pow(2).flatten(1).mean(1).sum()
            backbone.update(optimizer, embedding, loss)
            done += 1
            on_progress("embeddings", done, sum(counts))
        learned.append(embedding.detach().clone())
        with torch.no_grad():
            z = denoise(backbone, z, step, learned[-1], guide)
    return learned
