"""`python -m benchmarks.studies.adapted`: recognizers that have learned from cloaked photos, an adaptive adversary.

Whoever wants to match cloaked photos can get the cloaking tools, cloak photos of other people, whose names are known,
and teach a recognizer to look through the cloaks (as Radiya-Dixit et al., ICLR 2022, did to Fawkes and LowKey). This
makes ``NAME+adapted`` of each recognizer NAME of pocket: it is fine-tuned so that a cloaked photo is embedded where the
unprotected photos of its person are. The people are in no suite, and no recognizer has learned from them before;
thresholds are measured again on unprotected photos. The results ship with the package; run it again to make them
again, or to continue.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.console import quietly, show
from benchmarks.harness.methods import Resolved, load_method, resolve_methods
from benchmarks.harness.protection import Protection
from benchmarks.suites.suite import Suite, load_suite
from facecloak.cli.guard import guarded
from facecloak.config import ADAPTED
from facecloak.data import Batch, batches_of, to_uint8
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.io import pocket_dir, read_json, sha256, sha256_json, write_bytes, write_json
from facecloak.pocket.train import RECOGNIZERS, reporter
from facecloak.pocket.training.assets import Assets, write_manifest
from facecloak.pocket.training.corpus import CROP, SHOTS, TEST, Corpus, render_corpus
from facecloak.pocket.training.loop import batch_indices, to_range, train
from facecloak.pocket.training.report import calibrate_on, trained_recognizer
from facecloak.recognizers import load_recognizer, weights_file

# DiffAM's made-up faces are of these people, too; nothing else is. Those of `CLOAKED` come first
PEOPLE = range(40_000, 40_320)
CLOAKED = {"pgd": 160, "mi_fgsm": 160, "ti_dim": 160, "tip_im": 160, "facecloak:fast": 160, "facecloak": 48}
TARGETS = ("1", "2", "3", "4")  # a tool's targets are known; each has an equal part of the people
STEPS, BATCH, LEARNING_RATE = 500, 32, 5e-4
SHARES = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]  # of the way to the fine-tuned weights; the largest that keeps enough
FARS = ("0.1", "0.01", "0.001")
SHIFT, NOISE = 3, 0.02  # of the training crops, as when the recognizers were trained


def cloak(method: str, count: int, images: Tensor, work: Path) -> Tensor:
    """The first shots of the first ``count`` people after a method, uint8 N×128×128×3; kept in ``work``.

    Args:
        images: uint8 P×128×128×3, the first shot of every person.
    """
    parts, suite = [], load_suite("pocket")
    (resolved,) = resolve_methods(suite, [method])
    method_weights = resolved.cls.weights_sha256(resolved.settings)
    photos = hashlib.sha256(images.contiguous().numpy()).hexdigest()
    for place, target in enumerate(TARGETS):
        own = range(place * count // len(TARGETS), (place + 1) * count // len(TARGETS))
        key = sha256_json([_protection(suite, resolved, target, method_weights).key, photos])[:8]
        file = work / f"{method.replace(':', '_')}_{count}_{target}_{key}.npz"
        if not file.is_file():
            made = _cloak_toward(method, target, images[own.start : own.stop])
            data = io.BytesIO()
            np.savez_compressed(data, images=made)
            write_bytes(file, data.getvalue())
        with np.load(file, allow_pickle=False) as stored:
            parts.append(torch.from_numpy(stored["images"]))
    return torch.cat(parts)


def _protection(suite: Suite, method: Resolved, target: str, method_weights: str | None) -> Protection:
    """What `_cloak_toward` makes; its key is of everything that the pictures depend on, except for the photos."""
    face = suite.load_target(target, suite.objective)
    names = method.cls.pick_surrogates(method.settings, suite.surrogates_for([]))
    others = suite.target_set(face)[1:] if method.cls.uses_target_set(method.settings) else []
    return Protection(
        suite, method.name, method.preset, method.settings, suite.objective, face, tuple(names),
        {name: sha256(weights_file(name)) for name in names}, method_weights, tuple(others),
    )  # fmt: skip


def _cloak_toward(method: str, target: str, images: Tensor) -> np.ndarray:
    loaded = load_method(method, "pocket", target=target, accelerator="cpu")
    made, report = [], reporter(f"{method}, target {target}")
    for names in batches_of([str(place) for place in range(len(images))], 4):
        rows = torch.tensor([int(name) for name in names])
        boxes = torch.tensor([CROP] * len(names), dtype=torch.float32)
        made.append(to_uint8(loaded.predict_step(Batch(names, to_range(images[rows]), boxes)).images))
        report(int(names[-1]) + 1, len(images))
    return np.concatenate(made)


class Adapting(nn.Module):
    """A network whose embeddings of cloaked photos are drawn to where unprotected ones of the person were before."""

    def __init__(self, network: nn.Module, centres: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("centres", centres)

    def forward(self, faces: Tensor, labels: Tensor) -> Tensor:
        """1 − cosine to the centre of the right person, and a softmax over all people; a mean over N faces."""
        embeddings = F.normalize(self.network(faces).float(), dim=1)
        cosines = embeddings @ self.centres.T
        own = cosines.gather(1, labels[:, None])[:, 0]
        return (1 - own).mean() + 0.2 * F.cross_entropy(20 * cosines, labels)


def adapt(name: str, images: Tensor, labels: Tensor, centres: Tensor, assets: Assets) -> nn.Module:
    """Fine-tune a recognizer of pocket on unprotected and cloaked photos, half of each batch from both.

    Args:
        images: uint8 N×128×128×3; the unprotected photos come first, `PEOPLE` × `SHOTS` of them.
        labels: N numbers of people.
        centres: P×D, see `Adapting`.
    """
    recognizer = load_recognizer(f"pocket_{name}", differentiable=True)
    clean, seed = len(PEOPLE) * SHOTS, 20 + RECOGNIZERS.index(name)

    def loss(model: Adapting, step: int) -> Tensor:
        unprotected, cloaked = (batch_indices(count, BATCH // 2, step, seed) for count in (clean, len(images) - clean))
        numbers = torch.cat([unprotected, clean + cloaked])
        shifts = torch.randint(-SHIFT, SHIFT + 1, (len(numbers), 1, 2)).repeat(1, 2, 1).flatten(1)
        faces = crop(to_range(images[numbers]), torch.tensor(CROP) + shifts, recognizer.input_size)
        faces = torch.where(torch.rand(len(faces), 1, 1, 1) < 0.5, faces, faces.flip(3))
        return model(faces + NOISE * torch.randn_like(faces), labels[numbers])

    model = Adapting(recognizer.network.requires_grad_(True).train(), centres)
    trained = train(
        model, loss, steps=STEPS, learning_rate=LEARNING_RATE, checkpoint=assets.checkpoint(f"{name}_adapted"),
        seed=seed, weight_decay=0.01, data=[images, labels, centres], average=0.99,
        on_step=reporter(f"{name}{ADAPTED}"),
    )  # fmt: skip
    return trained.network


@torch.no_grad()
def embeddings(name: str, images: Tensor) -> Tensor:
    """Unit embeddings N×D of uint8 N×128×128×3 portraits by a recognizer of pocket."""
    recognizer = load_recognizer(name)
    box = torch.tensor([CROP], dtype=torch.float32)
    cut = (crop(to_range(part), box.expand(len(part), 4), recognizer.input_size) for part in images.split(128))
    return torch.cat([recognizer(faces) for faces in cut])


def learning_photos(methods: dict[str, int], work: Path) -> tuple[Tensor, Tensor]:
    """What a recognizer is fine-tuned on: portraits of `PEOPLE`, then cloaked ones; kept in ``work``.

    Args:
        methods: name of a method → how many of the people have a photo that it cloaked.

    Returns:
        uint8 N×128×128×3, and N numbers of people, 0 for the first of them.
    """
    corpus = render_corpus(work / "corpus_adapted", PEOPLE, reporter("portraits", every=100))
    clean = torch.from_numpy(corpus.images)
    people = torch.arange(len(PEOPLE)).repeat_interleave(SHOTS)
    cloaked = [cloak(method, count, clean[::SHOTS], work / "cloaked") for method, count in methods.items()]
    return torch.cat([clean, *cloaked]), torch.cat([people, *(torch.arange(len(part)) for part in cloaked)])


def fine_tune(
    name: str, images: Tensor, labels: Tensor, known: dict[str, Any], test: Corpus, assets: Assets
) -> dict[str, Any]:
    """Make ``pocket_NAME+adapted`` in ``assets.out``: as much of the fine-tuning as leaves enough true accepts.

    Args:
        images, labels: see `learning_photos`.
        known: the recognizer's entry in the thresholds, before.
        test: the portraits of `TEST`.

    Returns:
        the new recognizer's entry in the thresholds.

    Raises:
        FacecloakError: the smallest of `SHARES` loses too many true accepts, too; ``assets.out`` is as before.
    """
    before, after = f"pocket_{name}", f"pocket_{name}{ADAPTED}"
    file, tried = f"recognizers/{after}.safetensors", replace(assets, out=assets.work / "tried")
    allowed = 0.015  # of the true accepts, since 2 points are too many; here, as it is not of the training's recipe
    embedded = embeddings(before, images[: len(PEOPLE) * SHOTS]).view(len(PEOPLE), SHOTS, -1)
    trained = adapt(name, images, labels, F.normalize(embedded.mean(1), dim=1), assets).state_dict()
    for share in SHARES:  # a list: it does not change the training's recipe
        network = load_recognizer(before).network
        network.load_state_dict(_between(network.state_dict(), trained, share))
        tried.save_weights(network, file)
        entry = calibrate_on(trained_recognizer(after, tried), test)
        lost = known["fars"]["0.01"]["tar"] - entry["fars"]["0.01"]["tar"]
        print(f"{after}: {share:.0%} of the way, true accepts {-100 * lost:+.1f} points", flush=True)
        if lost <= allowed:
            assets.save_weights(network, file)
            return entry
    raise FacecloakError(
        f"{after}: {share:.0%} of the way loses {100 * lost:.1f} points of the true accepts, and {100 * allowed:g} "
        "are allowed; train for fewer steps, or at a smaller learning rate."
    )


def make(assets: Assets) -> list[list[str]]:
    """Make all adapted recognizers and their thresholds; returns a line for each about what it kept and gained."""
    images, labels = learning_photos(CLOAKED, assets.work)
    thresholds, lines = read_json(assets.out / "thresholds.json"), []
    test = render_corpus(assets.work / "corpus_test", TEST, reporter("test portraits", every=100))
    for name in RECOGNIZERS:
        before, after = f"pocket_{name}", f"pocket_{name}{ADAPTED}"
        thresholds[after] = fine_tune(name, images, labels, thresholds[before], test, assets)
        write_json(assets.out / "thresholds.json", thresholds)
        lines.append([before, *_kept(thresholds[before], thresholds[after])])
    write_manifest(assets.out)
    return lines


def _between(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights on the way from one network to another (Wortsman et al., CVPR 2022); counters stay."""
    return {
        name: value + share * (after[name] - value) if value.is_floating_point() else value
        for name, value in before.items()
    }


def _kept(before: dict, after: dict) -> Iterator[str]:
    for entry in (before, after):
        yield from (f"{100 * entry['fars'][far]['tar']:.1f}" for far in FARS)


def main(arguments: list[str] | None = None) -> int:
    """Parse, make, print and write ``adapted.csv``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.adapted", description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("runs/adapted"), help="photos and checkpoints")
    options = parser.parse_args(arguments)

    def run() -> int:
        heads = ["true accepts, %", *(f"{when}, FAR {far}" for when in ("before", "adapted") for far in FARS)]
        table = pd.DataFrame(make(Assets(pocket_dir(), options.work, "cpu")), columns=heads)
        show(options.work, "adapted", table)
        return 0

    with quietly():
        return guarded(run, "Finished photos and checkpoints are kept: run the same command again to continue.")


if __name__ == "__main__":
    sys.exit(main())
