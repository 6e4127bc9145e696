"""What the trained models can do, measured on people that none of them has seen; and the recognizers' thresholds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMPipeline
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from facecloak.cloak.backbone import Backbone
from facecloak.cloak.inversion import Schedule, denoise, invert
from facecloak.config import ADAPTED
from facecloak.faces import crop
from facecloak.io import sha256, write_json, write_png
from facecloak.pocket.training.assets import Assets
from facecloak.pocket.training.corpus import CROP, SHOTS, TEST, Corpus, render_corpus
from facecloak.pocket.training.language import makeup_accuracy
from facecloak.pocket.training.loop import to_range
from facecloak.pocket.training.pixels import FOLD
from facecloak.recognizers import CHECKPOINTS, Recognizer
from facecloak.recognizers.calibration import Side, calibrate
from facecloak.recognizers.checkpoints import POOL, load_weights

SAMPLED = 64  # portraits that are encoded, inverted, generated
GUIDANCE = 2.0
LEVELS = (50, 150, 300)  # timesteps of 1000: makeup is removed from the last
BLURS = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)  # σ in pixels


def measure(assets: Assets) -> None:
    """Write ``thresholds.json`` and ``report.json`` beside the models, and ``samples.png`` beside the checkpoints."""
    pixels = assets.needs("ddpm")
    corpus = render_corpus(assets.work / "corpus", TEST)
    pocket = [name for name in POOL if name.startswith("pocket_")]  # those that are adapted may not be there
    names = [
        name
        for name in pocket
        if not name.endswith(ADAPTED) or (assets.out / "recognizers" / POOL[name].file).is_file()
    ]
    thresholds = {name: calibrate_on(trained_recognizer(name, assets), corpus) for name in names}
    write_json(assets.out / "thresholds.json", thresholds)
    clip, words = assets.load_clip()
    backbone = Backbone.load(str(assets.out / "diffusion"), "float32", "float32", None)
    images = torch.from_numpy(corpus.images)
    report: dict[str, Any] = {
        "recognizers": {
            name: {"auc": entry["auc"], "tar": {far: point["tar"] for far, point in entry["fars"].items()}}
            for name, entry in thresholds.items()
        },
        "clip": {"makeup_accuracy": makeup_accuracy(clip, words, images, corpus.captions)},
        "diffusion": reconstruction(backbone, to_range(images[:: len(images) // SAMPLED][:SAMPLED])),
        "ddpm": denoising(pixels, to_range(images[:: len(images) // SAMPLED][:SAMPLED])),
    }
    told, samples = _samples(assets, corpus.captions[:: SHOTS + 1][:SAMPLED])
    report["diffusion"]["samples_with_the_makeup_of_their_captions"] = makeup_accuracy(clip, words, samples, told)
    write_png(assets.work / "samples.png", _sheet(samples))
    write_json(assets.out / "report.json", report)
    print(report)


def trained_recognizer(name: str, assets: Assets) -> Recognizer:
    """The recognizer that was trained here, whatever else of its name lies where weights are looked for."""
    file = assets.out / "recognizers" / POOL[name].file
    network = CHECKPOINTS[name]()
    load_weights(network, file)
    return Recognizer(network, name, POOL[name].input_size, sha256(file)).to(assets.device)


@torch.no_grad()
def calibrate_on(recognizer: Recognizer, corpus: Corpus) -> dict[str, Any]:
    """A recognizer's entry in the thresholds, from the portraits of `TEST`."""
    embeddings = []
    for block in torch.from_numpy(corpus.images).split(128):
        faces = to_range(block).to(next(recognizer.parameters()).device)
        boxes = torch.tensor([CROP] * len(block))
        embeddings.append(recognizer(crop(faces, boxes, recognizer.input_size)).cpu())
    embedded = torch.cat(embeddings).numpy()
    shots = np.arange(len(embedded)) % SHOTS
    sides = []
    for chosen in ((0, 1), (2, 3)):
        rows = np.flatnonzero(np.isin(shots, chosen))
        people = [str(corpus.people[row]) for row in rows]
        sides.append(Side(embedded[rows], people, [f"{corpus.people[row]}/{shots[row]}" for row in rows]))
    label = f"drawn people {TEST.start} to {TEST.stop - 1}, shots 0 and 1 × shots 2 and 3"
    crop_box, today = [float(value) for value in CROP], datetime.now(UTC).date().isoformat()
    return calibrate(recognizer, *sides, pairs=label, crop=crop_box, date=today)


@torch.no_grad()
def reconstruction(backbone: Backbone, images: Tensor) -> dict[str, float]:
    """Mean PSNR in dB after the autoencoder, and after 3 and 19 of 20 DDIM steps there and back."""
    z = backbone.encode(images, seed=8888)
    report = {"psnr_reconstruction": _psnr(backbone.decode(z), images)}
    for name, start in (("psnr_inversion_3_of_20", 17), ("psnr_inversion_19_of_20", 1)):
        schedule = Schedule.of(backbone, 20, start, "aligned")
        back = invert(backbone, z, schedule)[-1]
        for step in schedule.generation:
            back = denoise(backbone, back, step, backbone.null_embedding(len(z)))
        report[name] = _psnr(backbone.decode(back), images)
    return report


@torch.no_grad()
def denoising(folder: Path, images: Tensor) -> dict[str, dict[str, float]]:
    """Mean PSNR in dB of noisy images (N×3×128×128 in [-1, 1]), denoised by the pixel model in one step (``model``)
    and by that Gaussian blur of eight which is best for all of them (``blur``); by timestep.
    """
    pipeline, report = DDPMPipeline.from_pretrained(folder), {}
    net, schedule = pipeline.unet.float(), pipeline.scheduler
    schedule.set_timesteps(len(schedule))
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    for level in LEVELS:
        noisy = schedule.add_noise(images, noise, torch.tensor(level))
        folded = F.pixel_unshuffle(noisy, FOLD)
        clean = [schedule.step(net(part, level).sample, level, part).pred_original_sample for part in folded.split(8)]
        scaled = noisy / schedule.alphas_cumprod[level].sqrt()
        blurred = [_psnr(gaussian_blur(scaled, 8 * round(spread) + 1, spread), images) for spread in BLURS]
        report[str(level)] = {"model": _psnr(F.pixel_shuffle(torch.cat(clean), FOLD), images), "blur": max(blurred)}
    return report


def _psnr(images: Tensor, truth: Tensor) -> float:
    error = (images.clamp(-1, 1) - truth).square().mean((1, 2, 3))
    return float((10 * torch.log10(4 / error)).mean())


@torch.no_grad()
def _samples(assets: Assets, captions: list[str]) -> tuple[list[str], Tensor]:
    """Portraits generated from pure noise by caption: (captions, uint8 N×128×128×3)."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        assets.out / "diffusion", safety_checker=None, requires_safety_checker=False
    ).to(assets.device, torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(
        captions, num_inference_steps=50, guidance_scale=GUIDANCE, output_type="np",
        generator=torch.Generator().manual_seed(0),
    ).images  # fmt: skip
    return captions, torch.from_numpy((made * 255).round().astype(np.uint8))


def _sheet(images: Tensor, columns: int = 16) -> np.ndarray:
    rows = len(images) // columns
    size = images.shape[1]
    page = images[: rows * columns].reshape(rows, columns, size, size, 3).permute(0, 2, 1, 3, 4)
    return page.reshape(rows * size, columns * size, 3).contiguous().numpy()
