"""The judge: reads protected PNGs back from disk and decides what succeeded. A method's own claim is not asked."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.records import none_if_nan
from benchmarks.suite import Source, Suite, Target
from facecloak.data import FindFace, Photo, to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.metrics import FEATURES, PSNR, SSIM, FrechetDistance, Identification, KernelDistance
from facecloak.metrics.quality import lpips, lpips_metric
from facecloak.recognizers import Recognizer, load_recognizer

# The first process judges alone: a metric that waited for the others would wait for ever
ALONE = {"sync_on_compute": False}


class Judge:
    """Scores images of one suite's sources.

    Args:
        sources: the sources, in order.
        photos: name → clean photo of each source.
        recognizers: the names of those that judge; each is loaded as a black box, once.
    """

    def __init__(
        self, suite: Suite, sources: list[Source], photos: dict[str, Photo], find_face: FindFace,
        recognizers: list[str], device: str = "cpu",
    ) -> None:  # fmt: skip
        self.suite, self.sources, self.photos, self.find_face = suite, sources, photos, find_face
        self.device = device
        self.recognizers = {name: load_recognizer(name, False, device) for name in recognizers}
        self._lpips = lpips_metric()

    @cached_property
    def second(self) -> dict[str, Photo]:
        """Another photo of each person of the whole suite, where there is one with a face: the gallery."""
        read = {
            source.name: self.suite.read(source.second, self.find_face)
            for source in self.suite.load_sources()
            if source.second
        }
        return {name: photo for name, photo in read.items() if not photo.error}

    @cached_property
    def second_embeddings(self) -> dict[str, Tensor]:
        """Recognizer → embeddings of the gallery, in its order."""
        return {name: self.embed(name, list(self.second.values())) for name in self.recognizers}

    @cached_property
    def clean_embeddings(self) -> dict[str, dict[str, Tensor]]:
        """Recognizer → source → embedding of the unprotected photo, where it has a face."""
        usable = {source.name: self.photos[source.name] for source in self.sources}
        usable = {name: photo for name, photo in usable.items() if not photo.error}
        return {
            recognizer: dict(zip(usable, self.embed(recognizer, list(usable.values())), strict=True))
            for recognizer in self.recognizers
        }

    @cached_property
    def features(self) -> torch.nn.Module:
        """The suite's feature network for Fréchet distances."""
        return FEATURES[self.suite.features]()

    def embed(self, recognizer: str, photos: list[Photo]) -> Tensor:
        """`embed` with one of the judge's recognizers."""
        return embed(self.recognizers[recognizer], photos, self.device)

    def judge(
        self, images: dict[str, Path], errors: dict[str, str | None], target: Target, black_box: str
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Score protected images against this judge's sources.

        Args:
            images: source name → file of its protected image.
            errors: source name → None, or why it has no protected image.

        Returns:
            one record an image, and the columns that only the whole set has (quality, distances, ranks).
        """
        protected = {source.name: self._read(images, source, errors) for source in self.sources}
        cosines = self._cosines(protected, target)
        psnr, ssim, records = PSNR(**ALONE), SSIM(**ALONE), []
        for source in self.sources:
            photo, clean = protected[source.name], self.photos[source.name]
            record = {"id": source.name, "error": errors.get(source.name), "detected": photo.box is not None}
            record |= cosines[source.name]
            if photo.image is not None:
                pair = [
                    torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] for image in (photo.image, clean.image)
                ]
                record["psnr"] = none_if_nan(psnr(*pair)["psnr"])
                record["identical"] = bool((pair[0] == pair[1]).all())
                record["ssim"] = float(ssim(*pair))
                record["lpips"] = float(lpips(self._lpips, *pair)) if self._lpips else None
            records.append(record)
        made = [record for record in records if "ssim" in record]
        quality = {name: none_if_nan(value) for name, value in psnr.compute().items()} if made else {}
        quality["ssim"] = none_if_nan(ssim.compute()) if made else None
        if self._lpips and made:
            quality["lpips"] = sum(record["lpips"] for record in made) / len(made)
        return records, quality | self._distances(protected) | self._ranks(protected, target, black_box)

    def _read(self, images: dict[str, Path], source: Source, errors: dict[str, str | None]) -> Photo:
        if errors.get(source.name) is not None:
            return Photo(None, None, errors[source.name])
        return self.suite.read(images[source.name], self.find_face)

    def _cosines(self, protected: dict[str, Photo], target: Target) -> dict[str, dict[str, Any]]:
        found = {name: photo for name, photo in protected.items() if photo.box is not None}
        order = {name: index for index, name in enumerate(self.second)}
        results: dict[str, dict[str, Any]] = {
            name: {
                "cosine": {"target": {}, "self": {}},
                "cosine_clean": {"target": {}, "self": {}},
                "reference": [*(["target"] if target.test else []), *(["self"] if name in order else [])],
            }
            for name in protected
        }
        for recognizer in self.recognizers:
            now = dict(zip(found, self.embed(recognizer, list(found.values())), strict=True))
            to_target = self._test_embedding(recognizer, target)
            for name, result in results.items():
                own = self.second_embeddings[recognizer][order[name]] if name in order else None
                for column, embeddings in (
                    ("cosine", now),
                    ("cosine_clean", self.clean_embeddings[recognizer]),
                ):
                    for side, reference in (("target", to_target), ("self", own)):
                        if name in embeddings and reference is not None:
                            result[column][side][recognizer] = float(embeddings[name] @ reference)
        return results

    def _test_embedding(self, recognizer: str, target: Target) -> Tensor | None:
        if target.test is None:
            return None
        photo = self.suite.read(target.test, self.find_face, target.test_box)
        if photo.error:
            raise FacecloakError(f"Suite {self.suite.name}, test photo of target {target.name}: {photo.error}.")
        return self.embed(recognizer, [photo])[0]

    def _ranks(self, protected: dict[str, Photo], target: Target, black_box: str) -> dict[str, Any]:
        """Closed-set identification in the gallery of second photos, the target's test photo among them."""
        found = {name: photo for name, photo in protected.items() if photo.box is not None}
        if not found or not self.second:
            return {}
        gallery, index = self.second_embeddings[black_box], None
        test = self._test_embedding(black_box, target)
        if test is not None:
            gallery, index = torch.cat([gallery, test[None]]), len(gallery)
        similarities = self.embed(black_box, list(found.values())) @ gallery.T
        order = {name: position for position, name in enumerate(self.second)}
        metric = Identification(**ALONE)
        metric.update(similarities, torch.tensor([order.get(name, -1) for name in found]), index)
        return {name: none_if_nan(value) for name, value in metric.compute().items()}

    @torch.no_grad()
    def _distances(self, protected: dict[str, Photo]) -> dict[str, Any]:
        """Fréchet and kernel distance between the protected images and their sources."""
        pairs = [(photo.image, self.photos[name].image) for name, photo in protected.items() if photo.image is not None]
        if len(pairs) < 2:
            return {}
        try:
            network = self.features
        except FacecloakError as error:
            return {"note": f"distances not measured: {error}"}
        frechet, kernel = FrechetDistance(**ALONE), KernelDistance(**ALONE)
        for side, real in ((0, False), (1, True)):
            images = torch.from_numpy(np.stack([pair[side] for pair in pairs])).permute(0, 3, 1, 2)
            features = torch.cat([network(part) for part in images.split(64)])
            frechet.update(features, real)
            kernel.update(features, real)
        names = ("fid", "kid") if network.is_fid else ("fd", "kd")
        values = (none_if_nan(float(metric.compute())) for metric in (frechet, kernel))
        return {
            **dict(zip(names, values, strict=True)),
            "n_fid": len(pairs),
            "fid_convention": network.convention,
        }


@torch.no_grad()
def embed(recognizer: Recognizer, photos: list[Photo], device: str = "cpu") -> Tensor:
    """Unit embeddings N×D, on the CPU, of the faces in photos that all have one."""
    rows = []
    for start in range(0, len(photos), 32):
        part = photos[start : start + 32]
        images = to_tensor(photo.image for photo in part).to(device)
        boxes = torch.tensor([photo.box for photo in part])
        rows.append(recognizer(crop(images, boxes, recognizer.input_size)).cpu())
    return torch.cat(rows) if rows else torch.zeros(0, 1)
