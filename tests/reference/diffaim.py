"""DiffAIM on one photo, as in its description: pairs [benign, adversarial], loops over copies and layers."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.reference import cloak
from tests.reference.every_attention import EveryAttention
from tests.reference.recognition import cut


@dataclass
class Attack:
    """The settings; the distance is a perceptual one, ``broadcast`` the released code's slip."""

    distance: nn.Module
    random: torch.Generator
    steps: int = 100
    skip: int = 80
    iterations: int = 10
    copies: int = 5
    size: float = 3.0
    radius: float = 0.05
    weights: tuple[float, float, float] = (2.0, 0.1, 8.0)
    tolerance: float = 0.01
    broadcast: bool = False


@dataclass
class Made:
    image: Tensor | None = None
    start: Tensor | None = None
    noises: list[Tensor] = field(default_factory=list)
    benign: list[Tensor] = field(default_factory=list)
    latents: list[Tensor] = field(default_factory=list)  # after each denoising step
    curves: dict[str, list[float]] = field(default_factory=dict)
    surrogates: list[list[float]] = field(default_factory=list)  # weights of each iteration


def mean_and_variance(models: cloak.Models, z: Tensor, noise: Tensor, t: int, before: int) -> tuple[Tensor, Tensor]:
    """Of DDIM with η = 1."""
    alphas = models.scheduler.alphas_cumprod
    a, a_before = alphas[t], alphas[before] if before >= 0 else alphas[0]
    variance = (1 - a_before) / (1 - a) * (1 - a / a_before)
    clean = (z - torch.sqrt(1 - a) * noise) / torch.sqrt(a)
    return torch.sqrt(a_before) * clean + torch.sqrt(1 - a_before - 1.0 * variance) * noise, variance


def invert(models: cloak.Models, attack: Attack, photo: Tensor, made: Made) -> list[int]:
    """Fill in the benign latents and the noises; returns the timesteps."""
    models.scheduler.set_timesteps(attack.steps)
    times = [int(t) for t in models.scheduler.timesteps][attack.skip :]
    stride = 1000 // attack.steps
    clean = models.vae.encode(photo).latent_dist.mean * models.vae.config.scaling_factor
    drawn = torch.randn(len(times), *clean.shape[1:], generator=attack.random).to(clean)
    for t, noise in zip(times, drawn, strict=True):
        a = models.scheduler.alphas_cumprod[t]
        made.benign.append(torch.sqrt(a) * clean + torch.sqrt(1 - a) * noise)
    for i, t in enumerate(times):
        noise = models.unet(made.benign[i], t, encoder_hidden_states=models.null_embedding).sample
        mean, variance = mean_and_variance(models, made.benign[i], noise, t, t - stride)
        goal = made.benign[i + 1] if i + 1 < len(times) else clean
        made.noises.append((goal - mean) / torch.sqrt(variance))
    made.noises[-1] = torch.zeros_like(clean)
    return times


def varied(face: Tensor, numbers: list[float], random: torch.Generator) -> Tensor:
    """One random copy of a face 1×3×S×S."""
    size = face.shape[-1]
    if numbers[0] < 0.5:
        noise = torch.randn(face.shape[1:], generator=random).to(face)
        face = face + numbers[1] * 0.1**0.5 * noise
    if numbers[2] < 0.5:
        sides = list(range(int(0.9 * size), size + 1))
        side = sides[int(numbers[3] * len(sides))]
        small = F.interpolate(face, (side, side), mode="bilinear")
        top, left = int(numbers[4] * (size - side + 1)), int(numbers[5] * (size - side + 1))
        face = torch.zeros_like(face)
        face[:, :, top : top + side, left : left + side] = small
    return face


def protect(models: cloak.Models, case: cloak.Case, attack: Attack) -> Made:
    """The whole attack; of the case only the image, the boxes and the target count."""
    photo, made, stride = case.image, Made(), 1000 // attack.steps
    with torch.no_grad():
        times = invert(models, attack, photo, made)
        target = [net(F.interpolate(case.target, (size, size), mode="bilinear"))[0] for net, size in models.recognizers]
        face = cut(photo, case.box)
        source = [net(F.interpolate(face, (size, size), mode="bilinear"))[0] for net, size in models.recognizers]
    count = len(models.recognizers)
    w = torch.full((count,), 1 / count, dtype=photo.dtype)
    made.curves = {name: [] for name in ("identity", "semantic", "structure", "perceptual", "score")}
    deepest: list[Tensor] = []
    hook = models.unet.down_blocks[-1].register_forward_hook(lambda block, inputs, output: deepest.append(output[0]))
    null = models.null_embedding
    both = (lambda output: torch.stack([output[1], output[1]])) if attack.broadcast else None
    made.start = z = made.benign[0]
    for i, t in enumerate(times):
        a = models.scheduler.alphas_cumprod[t]
        with torch.no_grad():
            mean, variance = mean_and_variance(
                models, z, models.unet(z, t, encoder_hidden_states=null).sample, t, t - stride
            )
            ahead = mean + torch.sqrt(variance) * made.noises[i]
        adv = z.clone()
        for _ in range(attack.iterations):
            adv = adv.detach().requires_grad_()
            deepest.clear()
            with EveryAttention(models.unet, both) as layers:
                noise = models.unet(torch.cat([made.benign[i], adv]), t, encoder_hidden_states=null.expand(2, -1, -1))
            image = cloak.decode(models, (adv - torch.sqrt(1 - a) * noise.sample[1:]) / torch.sqrt(a))
            numbers = torch.rand(attack.copies, 6, generator=attack.random).tolist()
            scores = []
            for k, (network, size) in enumerate(models.recognizers):
                total = 0.0
                for row in numbers:
                    small = F.interpolate(cut(image, case.box), (size, size), mode="bilinear")
                    mine = network(varied(small, row, attack.random))[0]
                    cosines = [F.cosine_similarity(mine, other, dim=0) for other in (target[k], source[k])]
                    total = total + cosines[0] - cosines[1] + 1
                scores.append(total / attack.copies)
            identity = sum(w[k] * scores[k] for k in range(count))
            channels = [
                (own * mine).sum() / (own.norm() * mine.norm())
                for own, mine in zip(deepest[0][0], deepest[0][1], strict=True)
            ]
            semantic = attack.weights[0] * (1 - sum(channels) / len(channels))
            structure = 0.0
            for name, rows in layers.scores.items():
                if name.endswith("attn1.processor") and rows[0][0].shape[0] <= 1024:
                    squares = [((own - mine) ** 2).mean() for own, mine in zip(rows[0], rows[1], strict=True)]
                    structure = structure - attack.weights[1] * sum(squares) / len(squares)
            far = attack.distance(image, photo)[0] - attack.tolerance
            perceptual = -attack.weights[2] * torch.clamp(far, min=0)
            score = identity + semantic + structure + perceptual
            made.surrogates.append(w.tolist())
            w = torch.softmax(1 - torch.stack(scores).detach(), dim=0)
            (gradient,) = torch.autograd.grad(score, adv)
            adv = torch.clamp(adv.detach() + attack.size * gradient, z - attack.radius, z + attack.radius)
            for name, value in zip(made.curves, (identity, semantic, structure, perceptual, score), strict=True):
                made.curves[name].append(value.item())
        z = ahead + (adv - z)
        made.latents.append(z)
    hook.remove()
    with torch.no_grad():
        made.image = cloak.decode(models, z).clamp(-1, 1)
    return made
