"""The judge: decides from the pictures what succeeded. A method's own claims are not used."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from benchmarks.results.records import Record
from benchmarks.results.schema import none_if_nan
from benchmarks.results.store import NO_COUNTERMEASURE
from facecloak.data import Photo, to_tensor
from facecloak.faces import crop
from facecloak.metrics import Identification
from facecloak.recognizers import Recognizer

Embeddings = dict[str, Tensor]  # photo → unit embedding


class Judge:
    """Compares protected photos with the target's test photo and with another photo of the same person.

    Args:
        load: returns a recognizer by its name, as a black box on ``device``; each is loaded once.
        photos: source name → the unprotected photo; a photo with an error is unusable and does not count in any rate.
        second: source name → another photo of the person, with a face. Together they are the gallery.
        tests: target name → its test photo, with a face.
        device: device of the recognizers.
        alter: applies a countermeasure, by its name, to photos; without it there is none.
    """

    def __init__(
        self,
        load: Callable[[str], Recognizer],
        photos: dict[str, Photo],
        second: dict[str, Photo],
        tests: dict[str, Photo],
        device: torch.device | str = "cpu",
        alter: Callable[[str, dict[str, Photo]], dict[str, Photo]] = lambda countermeasure, photos: photos,
    ) -> None:
        self.photos, self.device, self._alter = photos, device, alter
        self._load, self._second_photos, self._test_photos = load, second, tests
        self._recognizers: dict[str, Recognizer] = {}
        self._references: dict[str, tuple[Embeddings, Embeddings]] = {}
        self._clean: dict[tuple[str, str, tuple[str, ...]], Embeddings] = {}

    def judge(
        self,
        recognizer: str,
        names: Iterable[str],
        protected: dict[str, Photo],
        errors: dict[str, str],
        target: str,
        countermeasure: str = NO_COUNTERMEASURE,
    ) -> tuple[list[Record], dict[str, float | None]]:
        """Score protected photos with one recognizer.

        Args:
            names: names of the sources that were to be protected.
            protected: source name → protected photo; its box is None if a face is no longer found in it.
            errors: source name → why the method made no protected photo.
            target: name of the target; if it has no test photo, there is no cosine to it.
            countermeasure: what is done to protected and unprotected photos before, but not to those that they are
                compared with.

        Returns:
            a record for each of ``names``, in order, and the columns of closed-set identification.
        """
        names, protected = [*names], self._alter(countermeasure, protected)
        now, clean = self.embed_found(recognizer, protected), self.clean(recognizer, names, countermeasure)
        second, tests = self.references(recognizer)
        records = []
        for name in names:
            photo, reference = protected.get(name), {}
            if target in tests:
                reference["target"] = tests[target]
            if name in second:
                reference["self"] = second[name]
            records.append({
                "id": name, "usable": self.photos[name].error is None,
                "error": self.photos[name].error or errors.get(name),
                "detected": photo is not None and photo.box is not None,
                "reference": sorted(reference),
                "cosine": _cosines(now.get(name), reference), "cosine_clean": _cosines(clean.get(name), reference),
            })  # fmt: skip
        return records, self._ranks(recognizer, now, target)

    def rises(
        self, recognizer: str, names: Iterable[str], protected: dict[str, Photo], target: str
    ) -> dict[str, tuple[float, float]]:
        """Source name → cosines to the target's test photo before and after protection, where both exist."""
        _, tests = self.references(recognizer)
        if target not in tests:
            return {}
        now, clean = self.embed_found(recognizer, protected), self.clean(recognizer, [*names])
        return {name: (float(clean[name] @ tests[target]), float(now[name] @ tests[target])) for name in now}

    def references(self, recognizer: str) -> tuple[Embeddings, Embeddings]:
        """Embeddings of the second photos by source name, and of the test photos by target name."""
        if recognizer not in self._references:
            self._references[recognizer] = tuple(
                self._embed(recognizer, photos) for photos in (self._second_photos, self._test_photos)
            )
        return self._references[recognizer]

    def clean(self, recognizer: str, names: list[str], countermeasure: str = NO_COUNTERMEASURE) -> Embeddings:
        """Embeddings of the usable unprotected photos among ``names`` that show a face after the countermeasure."""
        key = (recognizer, countermeasure, tuple(names))
        if key not in self._clean:
            usable = {name: self.photos[name] for name in names if not self.photos[name].error}
            self._clean[key] = self.embed_found(recognizer, self._alter(countermeasure, usable))
        return self._clean[key]

    def embed_found(self, recognizer: str, photos: dict[str, Photo]) -> Embeddings:
        """Embeddings of the photos in which a face was found."""
        return self._embed(recognizer, {name: photo for name, photo in photos.items() if photo.box is not None})

    def _ranks(self, recognizer: str, now: Embeddings, target: str) -> dict[str, float | None]:
        """Closed-set identification in a gallery of the second photos and the test photos of all targets."""
        second, tests = self.references(recognizer)
        if not now or not second:
            return {}
        gallery = second | {("target", name): embedding for name, embedding in tests.items()}
        place = {name: index for index, name in enumerate(gallery)}
        metric = Identification(sync_on_compute=False)  # only the first process judges
        similarities = torch.stack(list(now.values())) @ torch.stack(list(gallery.values())).T
        metric.update(similarities, torch.tensor([place.get(name, -1) for name in now]), place.get(("target", target)))
        return {name: none_if_nan(value) for name, value in metric.compute().items()}

    def _embed(self, recognizer: str, photos: dict[str, Photo]) -> Embeddings:
        if recognizer not in self._recognizers:
            self._recognizers[recognizer] = self._load(recognizer)
        embeddings = embed(self._recognizers[recognizer], list(photos.values()), self.device)
        return dict(zip(photos, embeddings, strict=True)) if photos else {}


def _cosines(own: Tensor | None, reference: dict[str, Tensor]) -> dict[str, float]:
    return {} if own is None else {side: float(own @ embedding) for side, embedding in reference.items()}


@torch.no_grad()
def embed(recognizer: Recognizer, photos: list[Photo], device: torch.device | str = "cpu") -> Tensor:
    """Unit embeddings N×D, on the CPU, of the faces in photos; each photo must have a face."""
    rows = []
    for start in range(0, len(photos), 32):
        part = photos[start : start + 32]
        images = to_tensor(photo.image for photo in part).to(device)
        boxes = torch.tensor([photo.box for photo in part])
        rows.append(recognizer(crop(images, boxes, recognizer.input_size)).cpu())
    return torch.cat(rows) if rows else torch.zeros(0, 1)
