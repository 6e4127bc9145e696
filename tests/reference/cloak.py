"""FaceCloak as published (Salar et al., CVPR 2025): one image, nothing saved, nothing fused.

Independent of `facecloak`. It does all the work of the released code: every inversion step, two copies of
[source, adversarial] in every UNet pass, every self-attention map kept, the source path recomputed in every
iteration, and the gradients of the recognizers' weights.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.reference.attention import KeepMaps
from tests.reference.recognition import adversarial_loss, embed


@dataclass
class Models:
    """diffusers UNet, autoencoder and DDIM scheduler, "" as 1×L×d, and (network, input size) per surrogate."""

    unet: nn.Module
    vae: nn.Module
    scheduler: object
    null_embedding: Tensor
    recognizers: list[tuple[nn.Module, int]]


@dataclass
class Case:
    """One image (1×3×H×W in [-1, 1]), its box (x0, y0, x1, y1), the target's (None: the whole image), and settings."""

    image: Tensor
    box: tuple[float, ...] | None
    target: Tensor
    target_box: tuple[float, ...] | None = None
    goal: str = "impersonation"
    timesteps: str = "code"
    reduction: str = "sum"
    embedding_iterations: int = 20
    iterations: int = 30
    lambda_adv: float = 0.003
    lambda_attn: float = 1.0
    steps: int = 20
    start_step: int = 17
    seed: int = 8888


@dataclass
class Result:
    """z⁰ … z¹⁹, one embedding per step, curves (with the weights), z after the last update, and the image."""

    inversion: list[Tensor]
    embeddings: list[Tensor]
    latent: Tensor
    generated: Tensor
    image: Tensor
    curves: dict[str, list[float]] = field(default_factory=dict)


def protect(models: Models, case: Case, z0: Tensor | None = None) -> Result:
    """Run the whole method; ``z0`` replaces the autoencoder's sample."""
    with KeepMaps(models.unet) as maps:
        z0 = encode(models, case) if z0 is None else z0
        inversion = invert(models, case, z0)
        embeddings = learn_embeddings(models, case, inversion)
        latent, curves = optimise(models, case, maps, inversion[case.steps - case.start_step], embeddings)
        with torch.no_grad():
            pair = torch.cat([inversion[case.steps - case.start_step], latent])
            generated = generate(models, case, maps, pair, embeddings)[0][1:]
            image = decode(models, generated).clamp(-1, 1)
    return Result(inversion, embeddings, latent, generated, image, curves)


@torch.no_grad()
def encode(models: Models, case: Case) -> Tensor:
    """z⁰: the posterior sample, scaled."""
    encoded = models.vae.encode(case.image)
    if hasattr(encoded, "latents"):  # AutoencoderTiny has no posterior
        return encoded.latents * models.vae.config.scaling_factor
    mean, std = encoded.latent_dist.mean, encoded.latent_dist.std
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(case.seed), dtype=torch.float32)
    return (mean + std * noise.to(mean)) * models.vae.config.scaling_factor


def decode(models: Models, z: Tensor) -> Tensor:
    return models.vae.decode(z / models.vae.config.scaling_factor).sample


@torch.no_grad()
def invert(models: Models, case: Case, z: Tensor) -> list[Tensor]:
    """All steps of the DDIM inversion, t = 1, 51, …, 901 for 20 steps."""
    scheduler, alphas, trajectory = models.scheduler, models.scheduler.alphas_cumprod, [z]
    scheduler.set_timesteps(case.steps)
    upward = [int(t) for t in reversed(scheduler.timesteps)]
    for low, high in itertools.pairwise(upward):
        noise = models.unet(z, low, encoder_hidden_states=models.null_embedding).sample
        clean = (z - (1 - alphas[low]).sqrt() * noise) / alphas[low].sqrt()
        z = alphas[high].sqrt() * clean + (1 - alphas[high]).sqrt() * noise
        trajectory.append(z)
    return trajectory


def generation_timesteps(models: Models, case: Case) -> list[int]:
    """101, 51, 1 as released; 151, 101, 51 when aligned with the inversion."""
    models.scheduler.set_timesteps(case.steps)
    first = case.start_step - (1 if case.timesteps == "aligned" else 0)
    return [int(t) for t in models.scheduler.timesteps][first : first + case.steps - case.start_step]


def learn_embeddings(models: Models, case: Case, inversion: list[Tensor]) -> list[Tensor]:
    """Null-text optimisation: one AdamW for all steps."""
    embedding = models.null_embedding.clone().requires_grad_()
    optimizer = torch.optim.AdamW([embedding], lr=0.1)
    count, learned = case.steps - case.start_step, []
    y = inversion[count]
    for index, t in enumerate(generation_timesteps(models, case)):
        for _ in range(case.embedding_iterations):
            noise = models.unet(y, t, encoder_hidden_states=embedding).sample
            loss = F.mse_loss(models.scheduler.step(noise, t, y).prev_sample, inversion[count - 1 - index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        learned.append(embedding.detach().clone())
        with torch.no_grad():
            noise = models.unet(y, t, encoder_hidden_states=embedding).sample
            y = models.scheduler.step(noise, t, y).prev_sample
    return learned


def generate(
    models: Models, case: Case, maps: KeepMaps, pair: Tensor, embeddings: list[Tensor]
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Run [source, adversarial] through the steps, with classifier-free guidance of weight 0, as released.

    Returns:
        the pair's latents, and per step the maps of (2 copies × [source, adversarial])×heads×N×N by layer.
    """
    kept = []
    for t, embedding in zip(generation_timesteps(models, case), embeddings, strict=True):
        maps.taken = {}
        noise = models.unet(torch.cat([pair, pair]), t, encoder_hidden_states=embedding.expand(4, -1, -1)).sample
        unconditional, conditional = noise.chunk(2)
        noise = unconditional + 0.0 * (conditional - unconditional)
        pair = models.scheduler.step(noise, t, pair).prev_sample
        kept.append(maps.taken)
    return pair, kept


def optimise(
    models: Models, case: Case, maps: KeepMaps, start: Tensor, embeddings: list[Tensor]
) -> tuple[Tensor, dict[str, list[float]]]:
    """The adversarial loop: z after the last update, and the weighted loss curves."""
    for network, _ in models.recognizers:
        network.requires_grad_(True)
    with torch.no_grad():
        source = embed(models.recognizers, case.image, case.box)
        target = embed(models.recognizers, case.target, case.target_box)
    z = start.clone().requires_grad_()
    optimizer = torch.optim.AdamW([z], lr=0.01)
    curves: dict[str, list[float]] = {"adv": [], "attn": [], "loss": []}
    for _ in range(case.iterations):
        pair, kept = generate(models, case, maps, torch.cat([start, z]), embeddings)
        l_attn = sum(((taken[1] - taken[0]) ** 2).mean() for step in kept for taken in step.values())
        mine = embed(models.recognizers, decode(models, pair)[1:], case.box)
        l_adv = adversarial_loss(mine, target, source, case.goal, case.reduction)
        loss = case.lambda_adv * l_adv + case.lambda_attn * l_attn
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for name, value in (("adv", case.lambda_adv * l_adv), ("attn", case.lambda_attn * l_attn), ("loss", loss)):
            curves[name].append(value.item())
    return z.detach(), curves
