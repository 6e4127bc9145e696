"""OPOM: Zhong & Deng, "OPOM: Customized Invisible Cloak towards Face Privacy Protection", TPAMI 2022."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from baselines.cloaks.hulls import affine_weights, convex_weights
from baselines.cloaks.person import MASK, PersonMask, PersonSettings, put_on
from baselines.common.gradients import accumulate, signs
from baselines.common.randomness import generators
from facecloak.data import Album
from facecloak.errors import FacecloakError
from facecloak.method import Origin

CENTROID_STEPS = 5  # at the start, where the features still lie almost inside of any hull

WEIGHTS = {"affine": affine_weights, "convex": convex_weights}

PUBLISHED = {
    "epsilon": 8, "step": 1.0, "iterations": 16, "grid": 112, "hull": "convex", "momentum": 0.0, "dropout": 0.0,
    "surrogates": "single",
}  # fmt: skip


@dataclass(frozen=True)
class OPOMSettings(PersonSettings):
    """Settings of OPOM; the defaults are the released code's, on all surrogates instead of one.

    Attributes:
        iterations: number of steps.
        hull: from what the features of the protected photos are moved away. ``own``: those of the same photo without
            a mask (the paper's FI-UAP). ``centroid``: the mean of the features of all photos in the album.
            ``affine``, ``convex``: the nearest point of the hull of these features, which is found in each step; the
            first 5 steps leave from the centroid.
        momentum: μ, the decay factor of the earlier gradients (Dong et al. 2018); 0 for no momentum.
        dropout: rate at which values behind each convolution of the surrogates are dropped, others in each step
            (DFANet, Zhong and Deng, TIFS 2021): each step attacks slightly other surrogates; 0 for none. Layers of
            other kinds, such as a transformer's, drop nothing. ``seed`` draws what is dropped.
    """

    name: ClassVar[str] = "opom"
    iterations: int = 16
    hull: Literal["own", "centroid", "affine", "convex"] = "convex"
    momentum: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("iterations must be at least 1", self.iterations >= 1)
        self.check("momentum must be between 0 and 1", 0 <= self.momentum <= 1)
        self.check("dropout must be at least 0 and below 1", 0 <= self.dropout < 1)


class OPOM(PersonMask):
    """One-person-one-mask: moves all photos of a person out of the hull of their features (Zhong and Deng 2022).

    It maximises the squared distance of unit features from the hull, averaged over the album's photos and the
    surrogates, by signs of the gradient. It only leaves the source, under both objectives: the paper has no form for
    impersonation. The presets ``paper`` and ``dfanet`` attack a single surrogate; the latter has 100 steps with
    momentum and dropout, with which the paper's masks transfer better. ``own`` is FI-UAP.
    """

    Settings: ClassVar[type[Any]] = OPOMSettings
    origin = Origin("cloak", "Zhong and Deng, TPAMI", 2022, ("obfuscation",), MASK)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        **PersonMask.presets,
        "own": {"hull": "own"},
        "paper": PUBLISHED,
        "dfanet": {**PUBLISHED, "iterations": 100, "momentum": 1.0, "dropout": 0.1},
    }

    def learn(self, album: Album) -> tuple[Tensor, list[float]]:
        settings, mask, losses = self.settings, self.start(album), []
        momentum, (random,) = torch.zeros_like(mask), generators(settings.seed, ["dropout"])
        for iteration in range(settings.iterations):
            mask.requires_grad_()
            photos = put_on(album.images, album.boxes, mask.expand(len(album.images), -1, -1, -1))
            with self.dropping(random):
                if (
                    iteration == 0 or settings.dropout
                ):  # the released code drops values for the photos without a mask, too
                    own = self.embed_album(album)
                now = self.objective.embed(photos, album.boxes)
            terms = [
                (here - self.leave(iteration, features, here)).square().sum(1)
                for here, features in zip(now, own, strict=True)
            ]
            loss = -torch.stack(terms).mean()
            (gradient,) = torch.autograd.grad(loss, mask)
            momentum = accumulate(momentum, gradient, settings.momentum)
            mask = self.move(mask.detach(), signs(momentum))
            losses.append(loss.item())
            self.on_progress("mask", iteration + 1, settings.iterations)
        return mask, losses

    @contextmanager
    def dropping(self, random: torch.Generator) -> Iterator[None]:
        """Drop values behind the surrogates' convolutions meanwhile; those that stay are divided by 1 − rate.

        Raises:
            FacecloakError: a surrogate has no convolutions.
        """
        rate, hooks = self.settings.dropout, []

        def drop(_: nn.Module, __: tuple, values: Tensor) -> Tensor:
            # drawn on the CPU, so that a GPU drops the same
            kept = torch.rand(values.shape, generator=random) >= rate
            return values * kept.to(values) / (1 - rate)

        try:
            for surrogate in self.objective.surrogates if rate else ():
                layers = [each for each in surrogate.network.modules() if isinstance(each, nn.Conv2d)]
                if not layers:
                    raise FacecloakError(f"opom: {surrogate.name} has no convolutions, so 'dropout' must be 0.")
                hooks += [layer.register_forward_hook(drop) for layer in layers]
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def leave(self, iteration: int, own: Tensor, now: Tensor) -> Tensor:
        """From where a step moves each photo away: N×D, or 1×D for all; without gradient.

        Args:
            iteration: from 0.
            own: N×D, features of the album's photos without a mask.
            now: N×D, with the mask.
        """
        hull = self.settings.hull
        if hull == "own":
            return own
        if hull == "centroid" or iteration < CENTROID_STEPS:
            return own.mean(0, keepdim=True)
        return WEIGHTS[hull](own, now).to(own) @ own
