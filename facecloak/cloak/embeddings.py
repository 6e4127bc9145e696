"""Learned unconditional embeddings, which weaken the diffusion purification (Salar et al. 2025)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from facecloak.cloak.backbone import Backbone
from facecloak.cloak.inversion import Schedule, denoise


def learn_embeddings(
    backbone: Backbone,
    trajectory: list[Tensor],
    schedule: Schedule,
    iterations: int,
    lr: float,
    on_progress: Callable[[str, int, int], None],
) -> list[Tensor]:
    """Fit one embedding per generation step so that the steps retrace the inversion.

    One AdamW runs through all timesteps, its state carried along. The loss is summed over the images, each one's
    a mean over its latent, so that no image's result depends on the batch.

    Args:
        trajectory: the inversion's latents z⁰ … zⁿ, each B×C×h×w.

    Returns:
        n embeddings, B×L×d each; with 0 iterations all are the empty prompt's.
    """
    batch = len(trajectory[0])
    embedding = backbone.null_embedding(batch).clone().requires_grad_()
    if iterations == 0:
        return [embedding.detach()] * len(schedule.generation)
    optimizer = torch.optim.AdamW([embedding], lr=lr)
    learned = []
    z = trajectory[-1]
    for index, step in enumerate(schedule.generation):
        goal = trajectory[-2 - index]
        for iteration in range(iterations):
            loss = (denoise(backbone, z, step, embedding) - goal).pow(2).flatten(1).mean(1).sum()
            backbone.update(optimizer, embedding, loss)
            on_progress("embeddings", index * iterations + iteration + 1, len(schedule.generation) * iterations)
        learned.append(embedding.detach().clone())
        with torch.no_grad():
            z = denoise(backbone, z, step, learned[-1])
    return learned
