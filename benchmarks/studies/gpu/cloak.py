"""The proposed method: how exact it is on a GPU, and how fast at the size of Stable Diffusion."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

import facecloak
from benchmarks.harness.devices import peak_mb, reset_peak
from benchmarks.studies.gpu.study import SIDE, VARIANTS, Study, Table, Variant, allow_tf32, pocket_iterations
from facecloak.cloak.backbone import DTYPES, Backbone
from facecloak.cloak.embeddings import learn_embeddings
from facecloak.cloak.fast import FastCloak, FastSettings
from facecloak.cloak.inversion import invert
from facecloak.cloak.method import FaceCloak
from facecloak.cloak.settings import CloakSettings
from facecloak.data import Batch, to_uint8
from facecloak.errors import FacecloakError
from facecloak.faces import whole_image
from facecloak.metrics.quality import psnr
from facecloak.objectives import Objective
from facecloak.recognizers import CHECKPOINTS, Recognizer

# how often a photo needs a stage with the released settings, as in reference_speed
STAGES = {"inversion step": 6, "embedding step": 60, "source maps": 1, "adversarial iteration": 30}
FAST_VARIANTS = VARIANTS[1:3]  # float32 as TF32, bf16
SURROGATES = {"ir152": 112, "irse50": 112, "facenet": 160}  # mobile_face judges


def exactness(study: Study) -> Table:
    """The method on two photos of pocket, on the device and on the CPU, from the same weights."""
    reference = _pocket_run(replace(study, device=torch.device("cpu")), VARIANTS[0])
    lines = []
    for variant in study.variants():
        if variant.tiny_decoder:  # pocket has none
            continue
        gradient, images = _pocket_run(study, variant)
        off = (images.int() - reference[1].int()).abs()
        lines.append([
            variant.name, f"{_relative(gradient, reference[0]):.1e}", f"{float((off > 1).float().mean()):.2%}",
            "identical" if not off.any() else f"{float(psnr(images, reference[1]).mean()):.1f}",
        ])  # fmt: skip
    heads = ["pocket, against the CPU's float32", "first gradient, relative", "pixels off by more than 1", "PSNR dB"]
    return Table(heads, lines)


def _pocket_run(study: Study, variant: Variant) -> tuple[Tensor, Tensor]:
    """The first gradient and the protected photos, uint8."""
    suite, settings = facecloak.load_suite("pocket"), pocket_iterations(study)
    method = facecloak.load_method(
        "facecloak", suite, target="2", black_box="pocket_dense", precision=variant.precision,
        decoder_precision=variant.precision, accelerator=study.accelerator, **settings,
    )  # fmt: skip
    batch = suite.batch(target="2", limit=2)
    with allow_tf32(variant.tf32), first_gradient() as kept:
        made = method.predict_step(Batch(batch.ids, batch.images.to(study.device), batch.boxes.to(study.device)))
    return kept[-1].cpu(), torch.from_numpy(to_uint8(made.images)).movedim(-1, 1)


@contextmanager
def first_gradient() -> Iterator[list[Tensor]]:
    """The last gradient that an optimiser is given for the first time: that of the latent, after the embedding's."""
    seen: set[torch.optim.Optimizer] = set()  # keeps them: another one could get the id of one that is gone

    def keep(optimizer: torch.optim.Optimizer, *ignored: Any) -> None:
        if optimizer not in seen:
            seen.add(optimizer)
            kept.append(optimizer.param_groups[0]["params"][0].grad.detach().clone())

    kept: list[Tensor] = []
    handle = register_optimizer_step_pre_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


def _relative(found: Tensor, wanted: Tensor) -> float:
    return float((found.float() - wanted.float()).abs().max() / wanted.float().abs().max())


def speed(study: Study) -> Table:
    """Seconds a photo and peak memory of the method at a diffusion model's full size, random weights.

    A photo's seconds are computed from the medians of the stages, with the released settings' numbers of steps.
    """
    base, lines = _models(study), []
    for variant in study.variants():
        if variant.tiny_decoder and study.size == "mini":
            continue
        method, cells = _method(study, base, variant), []
        for count in study.batches:
            try:
                with allow_tf32(variant.tf32):
                    cells.append(_measure(study, method, _photos(study, count)))
            except torch.OutOfMemoryError:
                break
        best = max(cells, key=lambda cell: cell.rate)
        shown = [f"{cell.photo:.2f} s, {cell.peak:.1f} GB" for cell in cells]
        shown += ["out of memory"] * (len(study.batches) - len(cells))
        lines.append([variant.name, *shown, f"{_flops(method, _photos(study, 1)) * best.rate / 1e12:.3g} TFLOP/s"])
        del method
    heads = [f"{study.size}, {SIDE[study.size]} pixels", *(f"{count} at once" for count in study.batches)]
    return Table([*heads, "best, in an iteration"], lines)


def fast(study: Study) -> Table:
    """`facecloak:fast` beside the exact method at a diffusion model's full size, both with the tiny decoder.

    Fast: whole calls, with its default settings. Exact: computed from the medians of its stages, as in `speed`.
    """
    base, lines = _models(study), []
    for variant in study.variants():
        if variant not in FAST_VARIANTS:
            continue
        exact = _method(study, base, variant._replace(tiny_decoder=True))
        quick = FastCloak(FastSettings(), exact.objective, exact.backbone).to(study.device)
        cells: dict[str, list[str]] = {"exact": [], "fast": [], "ratio": []}
        for count in study.batches:
            batch = _photos(study, count)
            try:
                with allow_tf32(variant.tf32):
                    slow = _measure(study, exact, batch)
                    reset_peak(study.device)
                    seconds = study.seconds(lambda batch=batch, quick=quick: quick.predict_step(batch)) / count
            except torch.OutOfMemoryError:
                break
            cells["exact"].append(f"{slow.photo:.3f} s, {slow.peak:.1f} GB")
            cells["fast"].append(f"{seconds:.3f} s, {(peak_mb(study.device) or 0) / 1e3:.1f} GB")
            cells["ratio"].append(f"{slow.photo / seconds:.1f}")
        missing = ["out of memory"] * (len(study.batches) - len(cells["ratio"]))
        lines += [[f"{name}, {variant.name}", *shown, *missing] for name, shown in cells.items()]
    heads = [f"{study.size}, {SIDE[study.size]} pixels", *(f"{count} at once" for count in study.batches)]
    return Table(heads, lines)


def speed_mini(study: Study) -> Table:
    """`speed` at the size of celeba-mini, whose autoencoder is a tiny one already."""
    return speed(replace(study, size="mini"))


class Cell(NamedTuple):
    """Seconds of a photo, adversarial iterations × photos a second, peak GB."""

    photo: float
    rate: float
    peak: float


def _models(study: Study) -> Any:
    try:
        from tests.reference.models import random_models
    except ImportError:
        raise FacecloakError("The random models are in tests/reference: run this in the root of a clone.") from None
    return random_models(study.size, dtype=torch.float32)


def _method(study: Study, base: Any, variant: Variant) -> FaceCloak:
    from tests.reference.models import random_photos, surrogates

    real = study.size in ("sd2", "mini")
    recognizers = (
        [Recognizer(CHECKPOINTS[name](), name, size, None) for name, size in SURROGATES.items()]
        if real
        else surrogates(base)
    )
    target = random_photos(1, SIDE[study.size], torch.float32)[0]
    unet, vae = (copy.deepcopy(part).to(study.device, DTYPES[variant.precision]) for part in (base.unet, base.vae))
    for part in (vae.encoder, getattr(vae, "quant_conv", None)):
        if part is not None:
            part.float()
    tiny = _tiny_decoder().to(study.device, DTYPES[variant.precision]) if variant.tiny_decoder else None
    backbone = Backbone(unet, vae, base.scheduler, base.null_embedding, tiny)
    objective = Objective("impersonation", recognizers, target, whole_image(target))
    return FaceCloak(CloakSettings(), objective, backbone).to(study.device)


def _tiny_decoder() -> torch.nn.Module:
    """TAESD's size, random weights."""
    from diffusers import AutoencoderTiny

    return AutoencoderTiny().requires_grad_(False).eval()


def _photos(study: Study, count: int) -> Batch:
    from tests.reference.models import random_photos

    images = torch.cat(random_photos(count, SIDE[study.size], torch.float32)).to(study.device)
    return Batch([f"{number}" for number in range(count)], images, whole_image(images))


def _start(method: FaceCloak, batch: Batch, embedding_iterations: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    backbone = method.backbone
    trajectory = invert(backbone, backbone.encode(batch.images, 0), method.schedule)
    return trajectory, learn_embeddings(
        backbone, trajectory, method.schedule, embedding_iterations, 0.1, method.on_progress
    )


def _flops(method: FaceCloak, batch: Batch) -> float:
    """Floating-point operations of one adversarial iteration on one photo.

    Those of the way forward, twice: the weights take no gradient, so that a layer's way back costs what its way forward
    does (attention a little more).
    """
    from torch.utils.flop_counter import FlopCounterMode

    trajectory, embeddings = _start(method, batch)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        images = method.backbone.decode(method.generate(trajectory[-1], embeddings), for_gradient=True)
        method.objective.embed(images, batch.boxes)
    return 2.0 * counter.get_total_flops()


def _measure(study: Study, method: FaceCloak, batch: Batch) -> Cell:
    """Each stage's seconds, and what they come to for a photo."""
    backbone, schedule = method.backbone, method.schedule
    n = len(schedule.generation)
    trajectory, embeddings = _start(method, batch)
    z, seconds = trajectory[-1], {}
    reset_peak(study.device)
    with torch.no_grad():
        seconds["inversion step"] = study.seconds(lambda: invert(backbone, trajectory[0], schedule)) / n
        seconds["source maps"] = study.seconds(lambda: method.record_source_maps(z, embeddings))
    learn = study.seconds(lambda: learn_embeddings(backbone, trajectory, schedule, 1, 0.1, method.on_progress))
    seconds["embedding step"] = learn / n - seconds["inversion step"]
    method.settings = replace(method.settings, iterations=2)
    twice = study.seconds(lambda: method.optimise_latent(batch, z, embeddings))
    seconds["adversarial iteration"] = (twice - seconds["source maps"]) / 2
    photo = sum(times * seconds[stage] for stage, times in STAGES.items()) / len(batch.ids)
    return Cell(photo, len(batch.ids) / seconds["adversarial iteration"], (peak_mb(study.device) or 0) / 1e3)
