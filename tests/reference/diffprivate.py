"""DiffPrivate's attack on one photo, as described: pairs [source, adversarial] under no words and under a caption."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.reference import cloak
from tests.reference.every_attention import EveryAttention
from tests.reference.recognition import cut, embed, resize


@dataclass
class Attack:
    """The settings, and what else is needed: the caption, 1×L×d, the number of its words' tokens, and a distance."""

    caption: Tensor
    tokens: int
    distance: nn.Module
    scale: float = 2.5
    embedding_iterations: int = 10
    lr: float = 0.01
    stop: float = 0.4
    weights: tuple[float, float, float] = (0.6, 1e4, 100.0)
    half_range: bool = False


@dataclass
class Made:
    """Image, mask; picture and first recognizer's angle at each iteration; curves (with weights); embeddings."""

    image: Tensor | None = None
    mask: Tensor | None = None
    pictures: list[Tensor] = field(default_factory=list)
    angles: list[float] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    embeddings: list[Tensor] = field(default_factory=list)


def angle(left: Tensor, right: Tensor) -> Tensor:
    return torch.arccos(left @ right / (left.norm() * right.norm())) / math.pi


def learn(models: cloak.Models, case: cloak.Case, attack: Attack, inversion: list[Tensor]) -> list[Tensor]:
    """Null-text optimisation with the caption's guidance, 10 + 2·i steps."""
    embedding = models.null_embedding.clone().requires_grad_()
    optimizer = torch.optim.AdamW([embedding], lr=0.1)
    count, learned = case.steps - case.start_step, []
    z = inversion[count]
    for index, t in enumerate(cloak.generation_timesteps(models, case)):

        def move(z, t=t):
            free = models.unet(z, t, encoder_hidden_states=embedding).sample
            told = models.unet(z, t, encoder_hidden_states=attack.caption).sample
            return models.scheduler.step((1 - attack.scale) * free + attack.scale * told, t, z).prev_sample

        for _ in range(attack.embedding_iterations + 2 * index):
            loss = ((move(z) - inversion[count - 1 - index]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        learned.append(embedding.detach().clone())
        with torch.no_grad():
            z = move(z)
    return learned


def protect(models: cloak.Models, case: cloak.Case, attack: Attack) -> Made:
    """The whole attack; the recognizers are those of the models."""
    photo, made, names = case.image, Made(), ("adv", "perceptual", "cross", "self", "loss")
    made.curves = {name: [] for name in names}
    inversion = cloak.invert(models, case, cloak.encode(models, case))
    made.embeddings = learn(models, case, attack, inversion)
    start = inversion[case.steps - case.start_step]
    with torch.no_grad():
        source = embed(models.recognizers, photo, case.box)
        target = embed(models.recognizers, case.target, case.target_box)
    z = start.clone().requires_grad_()
    optimizer = torch.optim.AdamW([z], lr=attack.lr)
    size = models.recognizers[0][1]

    with EveryAttention(models.unet) as layers:

        def picture() -> tuple[Tensor, Tensor, Tensor]:
            """The blended picture in [-1, 1], the variance, and the difference of the self-attention."""
            pair, crosses, difference = torch.cat([start, z]), [], 0.0
            for t, embedding in zip(cloak.generation_timesteps(models, case), made.embeddings, strict=True):
                context = torch.cat([embedding, embedding, attack.caption, attack.caption])
                free, told = models.unet(torch.cat([pair, pair]), t, encoder_hidden_states=context).sample.chunk(2)
                pair = models.scheduler.step(free + attack.scale * (told - free), t, pair).prev_sample
                for name, rows in layers.maps.items():  # rows 2 and 3 are those under the caption
                    if name.endswith("attn1.processor"):
                        squares = [((mine - own) ** 2).mean() for own, mine in zip(rows[2], rows[3], strict=True)]
                        difference = difference + sum(squares) / len(squares)
                    elif rows[2][0].shape[0] == 64:
                        crosses += list(zip(rows[2], rows[3], strict=True))
            words = slice(1, 1 + attack.tokens)
            mean_of_source = sum(pair[0] for pair in crosses) / len(crosses)
            mean_of_mine = sum(pair[1] for pair in crosses) / len(crosses)
            if made.mask is None:
                seen = mean_of_source[:, words].mean(1).detach()
                made.mask = (1.2 * resize((seen / seen.max()).reshape(1, 1, 8, 8), photo.shape[-1])).clamp(0, 1)
            decoded = cloak.decode(models, pair)[1:]
            blended = (made.mask * decoded + (1 - made.mask) * photo).clamp(-1, 1)
            values = mean_of_mine[:, words].reshape(-1)
            return blended, ((values - values.mean()) ** 2).sum() / (len(values) - 1), difference

        for _ in range(case.iterations):
            image, variance, difference = picture()
            shown = image / 2 + 0.5 if attack.half_range else image
            mine = embed(models.recognizers, shown, case.box)
            terms = []
            for k in range(len(mine)):
                term = -angle(mine[k], source[k])
                if case.goal == "impersonation":
                    term = term + angle(mine[k], target[k])
                terms.append(term)
            adv = sum(terms) / len(terms)
            faces = [F.interpolate(cut(each, case.box), (size, size), mode="bilinear") for each in (shown, photo)]
            perceptual = attack.weights[0] * attack.distance(*faces)[0]
            cross, same = attack.weights[1] * variance, attack.weights[2] * difference
            loss = adv + perceptual + cross + same
            for name, value in zip(names, (adv, perceptual, cross, same, loss), strict=True):
                made.curves[name].append(value.item())
            made.pictures.append(image.detach())
            made.angles.append(angle(embed(models.recognizers[:1], image, case.box)[0], source[0]).item())
            if made.angles[-1] > attack.stop:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            made.image = picture()[0]
    return made
