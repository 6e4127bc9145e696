"""The judge: decides from pictures what succeeded. A method's own claim is not asked."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.results.schema import ALONE, none_if_nan
from facecloak.data import Photo, to_tensor
from facecloak.faces import crop
from facecloak.metrics import Identification
from facecloak.recognizers import Recognizer

Embeddings = dict[str, dict[str, Tensor]]  # recognizer → photo → unit embedding


class Judge:
    """Compares protected photos with the target's test photo and with another photo of their person.

    Args:
        recognizers: name → black box.
        photos: source name → the unprotected photo; one with an error is unusable and in no rate.
        second: source name → another photo of the person, with a face. Together they are the gallery.
        tests: target name → its test photo, with a face.
        device: of the recognizers.
    """

    def __init__(
        self,
        recognizers: dict[str, Recognizer],
        photos: dict[str, Photo],
        second: dict[str, Photo],
        tests: dict[str, Photo],
        device: str = "cpu",
    ) -> None:
        self.recognizers, self.photos, self.device = recognizers, photos, device
        self._clean = self._embed({name: photo for name, photo in photos.items() if not photo.error})
        self._second, self._tests = self._embed(second), self._embed(tests)

    def judge(
        self, protected: dict[str, Photo], errors: dict[str, str], target: str
    ) -> tuple[list[dict[str, Any]], Embeddings]:
        """Score protected photos.

        Args:
            protected: source name → protected photo; its box is None if no face is found in it any more.
            errors: source name → why the method made no protected photo.
            target: name of the target; one without a test photo has no cosines.

        Returns:
            a record for each source of ``photos``, in order, and the embeddings of the protected photos.
        """
        now = self._embed({name: photo for name, photo in protected.items() if photo.box is not None})
        records = []
        for name, clean in self.photos.items():
            photo = protected.get(name)
            record = {
                "id": name,
                "usable": clean.error is None,
                "error": clean.error or errors.get(name),
                "detected": photo is not None and photo.box is not None,
                "reference": [],
                "cosine": {"target": {}, "self": {}},
                "cosine_clean": {"target": {}, "self": {}},
            }
            for side, embeddings, key in (("target", self._tests, target), ("self", self._second, name)):
                self._compare(record, side, embeddings, key, now)
            records.append(record)
        return records, now

    def _compare(self, record: dict[str, Any], side: str, references: Embeddings, key: str, now: Embeddings) -> None:
        for recognizer, embeddings in references.items():
            if key in embeddings:
                record["reference"] = sorted({*record["reference"], side})
                for column, own in (("cosine", now), ("cosine_clean", self._clean)):
                    if record["id"] in own[recognizer]:
                        cosine = own[recognizer][record["id"]] @ embeddings[key]
                        record[column][side][recognizer] = float(cosine)

    def ranks(self, now: Embeddings, target: str, black_box: str) -> dict[str, float | None]:
        """Closed-set identification in a gallery of the second photos and all targets' test photos.

        Args:
            now: the embeddings that `judge` returned.
        """
        gallery = self._second[black_box] | {("target", name): e for name, e in self._tests[black_box].items()}
        if not now[black_box] or not self._second[black_box]:
            return {}
        place = {name: index for index, name in enumerate(gallery)}
        metric = Identification(**ALONE)
        similarities = torch.stack(list(now[black_box].values())) @ torch.stack(list(gallery.values())).T
        own = torch.tensor([place.get(name, -1) for name in now[black_box]])
        metric.update(similarities, own, place.get(("target", target)))
        return {name: none_if_nan(value) for name, value in metric.compute().items()}

    def _embed(self, photos: dict[str, Photo]) -> Embeddings:
        return {
            name: dict(zip(photos, embed(recognizer, list(photos.values()), self.device), strict=True))
            for name, recognizer in self.recognizers.items()
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
