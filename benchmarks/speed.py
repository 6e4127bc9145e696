"""`python -m benchmarks.speed`: the method next to the plain reference, on the same weights, in one process.

No time is shown unless both compute the same. What is compared is the gradient of the first iteration, relative to
its largest entry, and in float64 the final latent as well. In float32 the latent cannot tell: AdamW's first steps are
about lr · sign(gradient), so that rounding decides where the gradient is nearly 0.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from rich.table import Table
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from benchmarks.leaderboard import wide_console
from benchmarks.memory import peak_mb, reset_peak
from benchmarks.progress import progress
from facecloak.cloak.backbone import Backbone
from facecloak.cloak.embeddings import learn_embeddings
from facecloak.cloak.inversion import invert
from facecloak.cloak.method import CloakSettings, FaceCloak
from facecloak.data import Batch
from facecloak.errors import FacecloakError
from facecloak.faces import whole_image
from facecloak.objectives import Objective

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}
# how often one image needs a stage with the released settings; a timestep's last embedding is run once more
IMAGE = {
    "reference": {"inversion step": 19 + 3, "embedding step": 60, "adversarial iteration": 30},
    "method": {"inversion step": 3 + 3, "embedding step": 60, "source maps": 1, "adversarial iteration": 30},
}


@dataclass
class Side:
    """What was measured of one implementation: seconds by stage, a number a repetition; peak memory; its results."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    peaks: list[float | None] = field(default_factory=list)
    latent: Tensor | None = None
    gradient: Tensor | None = None

    def time(self, stage: str, function: Callable[[], Any], per: int = 1, less: float = 0.0) -> Any:
        """Run; note (seconds − less) / per under the stage."""
        start = _now()
        result = function()
        self.seconds.setdefault(stage, []).append((_now() - start - less) / per)
        return result

    def last(self, stage: str) -> float:
        """Seconds of the stage in the latest repetition."""
        return self.seconds[stage][-1]

    def image_seconds(self, name: str) -> float:
        """Estimate for a whole image, from the medians."""
        return sum(count * statistics.median(self.seconds[stage]) for stage, count in IMAGE[name].items())


def compare(models, case, repetitions: int, quiet: bool = False) -> dict[str, Side]:
    """Run both sides in turn, stage by stage.

    Args:
        models: `Models` of the reference, which both sides use.
        case: `Case` of the reference, of the goal impersonation.
        repetitions: of everything; the method goes first in each.

    Raises:
        FacecloakError: they differ by more than rounding.
    """
    sides = {"reference": Side(), "method": Side()}
    objective = Objective(case.goal, _reference().models.surrogates(models), case.target, whole_image(case.target))
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


def _measure_method(side: Side, method: FaceCloak, case, trajectory: list[Tensor], embeddings: list[Tensor]) -> None:
    backbone, schedule, z = method.backbone, method.schedule, trajectory[-1]
    side.time("inversion step", lambda: invert(backbone, trajectory[0], schedule), per=3)
    side.time(
        "embedding step", lambda: learn_embeddings(backbone, trajectory, schedule, 1, 0.1, method.on_progress),
        per=3, less=3 * side.last("inversion step"),
    )  # fmt: skip
    with torch.no_grad():
        side.time("source maps", lambda: method.record_source_maps(z, embeddings))
    batch = Batch(["photo"], case.image, whole_image(case.image))
    with _first_gradient(side):
        side.latent, _ = side.time(
            "adversarial iteration", lambda: method.optimise_latent(batch, z, embeddings),
            per=case.iterations, less=side.last("source maps"),
        )  # fmt: skip


def _measure_reference(side: Side, models, case, trajectory: list[Tensor], embeddings: list[Tensor]) -> None:
    reference = _reference()
    with reference.KeepMaps(models.unet) as maps:
        inversion = side.time(
            "inversion step", lambda: reference.cloak.invert(models, case, trajectory[0]), per=case.steps - 1
        )
        side.time(
            "embedding step", lambda: reference.cloak.learn_embeddings(models, case, inversion),
            per=3, less=3 * side.last("inversion step"),
        )  # fmt: skip
        with _first_gradient(side):
            side.latent, _ = side.time(
                "adversarial iteration", per=case.iterations,
                function=lambda: reference.cloak.optimise(models, case, maps, trajectory[-1], embeddings),
            )  # fmt: skip


@contextmanager
def _first_gradient(side: Side) -> Iterator[None]:
    """Keep the gradient that the first optimiser step inside is given, and measure peak memory."""
    side.gradient = None

    def keep(optimizer: torch.optim.Optimizer, *ignored: Any) -> None:
        if side.gradient is None:
            side.gradient = optimizer.param_groups[0]["params"][0].grad.detach().clone()

    reset_peak()
    handle = register_optimizer_step_pre_hook(keep)
    try:
        yield
    finally:
        handle.remove()
    side.peaks.append(peak_mb())


def differences(sides: dict[str, Side]) -> dict[str, float]:
    """Largest differences: of the first gradients, relative to their largest entry, and of the latents."""
    reference, method = sides["reference"], sides["method"]
    gradient = (reference.gradient - method.gradient).abs().max() / reference.gradient.abs().max()
    return {"gradient": gradient.item(), "latent": (reference.latent - method.latent).abs().max().item()}


def _check(sides: dict[str, Side]) -> None:
    found, dtype = differences(sides), sides["method"].latent.dtype
    for name in ("gradient", "latent") if dtype == torch.float64 else ("gradient",):
        if not found[name] <= TOLERANCE[dtype]:  # NaN too
            raise FacecloakError(
                f"The method's {name} differs from the reference's by {found[name]:.1e}, more than "
                f"{TOLERANCE[dtype]:.0e}: their times cannot be compared."
            )


def table(sides: dict[str, Side], title: str) -> Table:
    """Median seconds of each stage, the estimate for an image, peak memory, and the ratios."""
    view = Table("", "reference", "method", "ratio", title=title)
    reference, method = sides["reference"], sides["method"]
    for stage in IMAGE["method"]:
        both = [statistics.median(side.seconds[stage]) if stage in side.seconds else None for side in sides.values()]
        view.add_row(f"{stage} (s)", *_row(*both, "{:.3f}"))
    view.add_row(
        "whole image, estimated (s)",
        *_row(reference.image_seconds("reference"), method.image_seconds("method"), "{:.0f}"),
    )
    if None not in reference.peaks + method.peaks:  # later repetitions start with what the allocator kept
        view.add_row("peak memory of the loop (MB)", *_row(min(reference.peaks), min(method.peaks), "{:.0f}"))
    found = differences(sides)
    view.caption = f"largest difference: gradient {found['gradient']:.1e} (relative), latent {found['latent']:.1e}"
    return view


def _row(reference: float | None, method: float, form: str) -> list[str]:
    if reference is None:
        return ["–", form.format(method), "–"]
    return [form.format(reference), form.format(method), f"{reference / method:.2f}"]


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _reference() -> SimpleNamespace:
    try:
        from tests.reference import attention, cloak, models, prepare
    except ImportError:
        raise FacecloakError(
            "The plain reference lies in tests/reference, which is not installed: run this in the root of a clone."
        ) from None
    return SimpleNamespace(KeepMaps=attention.KeepMaps, cloak=cloak, models=models, prepare=prepare.prepare)


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["tiny", "sd2"], default="tiny", help="random weights of this size")
    parser.add_argument("--golden", action="store_true", help="the golden files' model, recognizers and images")
    parser.add_argument("--iterations", type=int, help="adversarial iterations a repetition (tiny 3, sd2 1)")
    parser.add_argument("--repetitions", type=int, help="tiny 3, sd2 1")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    small = options.size == "tiny"
    try:
        models, case = _reference().prepare(options.size, options.golden, getattr(torch, options.dtype))
        case.iterations = options.iterations or (3 if small else 1)
        sides = compare(models, case, options.repetitions or (3 if small else 1))
    except FacecloakError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    name = "golden" if options.golden else options.size
    wide_console().print(
        table(sides, f"{name}, {options.dtype}, {case.image.device}, {case.iterations} iterations, 1 CPU thread")
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
