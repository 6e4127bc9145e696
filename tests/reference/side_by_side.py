"""The method and the plain reference on the same weights, stage by stage, in one process.

They must have the same gradient in the first iteration, relative to its largest entry, and in float64 also the same
latent. In float32 the latents cannot be compared: AdamW's first steps are about lr · sign(gradient), so that rounding
decides where the gradient is nearly 0.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from benchmarks.console import progress
from benchmarks.harness.devices import peak_mb, reset_peak
from facecloak.cloak.backbone import Backbone
from facecloak.cloak.embeddings import learn_embeddings
from facecloak.cloak.inversion import invert
from facecloak.cloak.method import FaceCloak
from facecloak.cloak.settings import CloakSettings
from facecloak.data import Batch
from facecloak.errors import FacecloakError
from facecloak.faces import whole_image
from facecloak.objectives import Objective
from tests.reference import cloak as reference
from tests.reference.attention import KeepMaps
from tests.reference.cloak import Case, Models
from tests.reference.models import surrogates

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}


@dataclass
class Side:
    """Measurements of one implementation: seconds by stage, one per repetition; peak memory; its results."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    peaks: list[float | None] = field(default_factory=list)
    latent: Tensor | None = None
    gradient: Tensor | None = None

    def time(self, stage: str, function: Callable[[], Any], per: int = 1, less: float = 0.0) -> Any:
        """Run the function and note (seconds − less) / per for the stage."""
        start = _now()
        result = function()
        self.seconds.setdefault(stage, []).append((_now() - start - less) / per)
        return result

    def last(self, stage: str) -> float:
        """Seconds of the stage in the latest repetition."""
        return self.seconds[stage][-1]

    def median(self, stage: str) -> float | None:
        """Seconds of the stage; None if this implementation has no such stage."""
        return statistics.median(self.seconds[stage]) if stage in self.seconds else None


def compare(models: Models, case: Case, repetitions: int, quiet: bool = False) -> dict[str, Side]:
    """Run both sides in turn, stage by stage.

    Args:
        models: the models that both sides use.
        case: impersonation with the whole image as the face.
        repetitions: number of repetitions of everything; the method goes first in each.
        quiet: show no progress.

    Returns:
        the measurements of "reference" and "method".

    Raises:
        FacecloakError: they differ by more than rounding.
    """
    sides = {"reference": Side(), "method": Side()}
    objective = Objective(case.goal, surrogates(models), case.target, whole_image(case.target))
    backbone = Backbone(models.unet, models.vae, models.scheduler, models.null_embedding)
    method = FaceCloak(CloakSettings(iterations=case.iterations), objective.to(case.image.device), backbone)
    trajectory = invert(backbone, backbone.encode(case.image, case.seed), method.schedule)
    embeddings = learn_embeddings(backbone, trajectory, method.schedule, 1, 0.1, method.on_progress)
    with progress(total=2 * repetitions, desc="measuring", disable=quiet) as bar:
        for _ in range(repetitions):
            bar.set_postfix_str("method")
            _measure_method(sides["method"], method, case, trajectory, embeddings)
            bar.update()
            bar.set_postfix_str("reference")
            _measure_reference(sides["reference"], models, case, trajectory, embeddings)
            bar.update()
            _check(sides)
    return sides


def _measure_method(
    side: Side, method: FaceCloak, case: Case, trajectory: list[Tensor], embeddings: list[Tensor]
) -> None:
    backbone, schedule, z = method.backbone, method.schedule, trajectory[-1]
    side.time("inversion step", lambda: invert(backbone, trajectory[0], schedule), per=3)
    side.time(
        "embedding step", lambda: learn_embeddings(backbone, trajectory, schedule, 1, 0.1, method.on_progress),
        per=3, less=3 * side.last("inversion step"),
    )  # fmt: skip
    with torch.no_grad():
        side.time("source maps", lambda: method.record_source_maps(z, embeddings))
    batch = Batch(["photo"], case.image, whole_image(case.image))
    with _first_gradient(side, case.image.device):
        side.latent, _ = side.time(
            "adversarial iteration", lambda: method.optimise_latent(batch, z, embeddings),
            per=case.iterations, less=side.last("source maps"),
        )  # fmt: skip


def _measure_reference(
    side: Side, models: Models, case: Case, trajectory: list[Tensor], embeddings: list[Tensor]
) -> None:
    with KeepMaps(models.unet) as maps:
        inversion = side.time(
            "inversion step", lambda: reference.invert(models, case, trajectory[0]), per=case.steps - 1
        )
        side.time(
            "embedding step", lambda: reference.learn_embeddings(models, case, inversion),
            per=3, less=3 * side.last("inversion step"),
        )  # fmt: skip
        with _first_gradient(side, case.image.device):
            side.latent, _ = side.time(
                "adversarial iteration", per=case.iterations,
                function=lambda: reference.optimise(models, case, maps, trajectory[-1], embeddings),
            )  # fmt: skip


@contextmanager
def _first_gradient(side: Side, device: torch.device) -> Iterator[None]:
    """Keep the gradient of the first optimiser step inside, and measure peak memory."""
    side.gradient = None

    def keep(optimizer: torch.optim.Optimizer, *ignored: Any) -> None:
        if side.gradient is None:
            side.gradient = optimizer.param_groups[0]["params"][0].grad.detach().clone()

    reset_peak(device)
    handle = register_optimizer_step_pre_hook(keep)
    try:
        yield
    finally:
        handle.remove()
    side.peaks.append(peak_mb(device))


def differences(sides: dict[str, Side]) -> dict[str, float]:
    """Largest differences: of the first gradients, relative to their largest entry, and of the latents."""
    plain, method = sides["reference"], sides["method"]
    gradient = (plain.gradient - method.gradient).abs().max() / plain.gradient.abs().max()
    return {"gradient": gradient.item(), "latent": (plain.latent - method.latent).abs().max().item()}


def _check(sides: dict[str, Side]) -> None:
    found, dtype = differences(sides), sides["method"].latent.dtype
    for name in ("gradient", "latent") if dtype == torch.float64 else ("gradient",):
        if not found[name] <= TOLERANCE[dtype]:  # NaN too
            raise FacecloakError(
                f"The method's {name} differs from the reference's by {found[name]:.1e}, more than "
                f"{TOLERANCE[dtype]:.0e}: their times cannot be compared."
            )


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
