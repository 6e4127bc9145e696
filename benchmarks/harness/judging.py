"""Judges finished protections of a suite from their files, and measures what does not depend on the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch

import facecloak
from benchmarks.harness.countermeasures.altering import Altering
from benchmarks.harness.judge import Judge
from benchmarks.harness.needs import used, used_text
from benchmarks.harness.provenance import git_sha
from benchmarks.harness.quality import Quality
from benchmarks.results.distances import write_features
from benchmarks.results.forms import measured_problem
from benchmarks.results.records import Record
from benchmarks.results.schema import SCHEMA_VERSION, Row
from benchmarks.results.scoring import cost, score, surrogate_rise
from benchmarks.results.store import (
    NO_COUNTERMEASURE,
    judgement_folder,
    protection_of,
    read_judgement,
    read_outcomes,
    run_id,
    write_judgement,
)
from benchmarks.suites.suite import Source, Suite, file_sha256, manifest_sha256
from facecloak.config import ADAPTED
from facecloak.data import FindFace, Photo
from facecloak.errors import FacecloakError
from facecloak.io import read_json, sha256, sha256_json, write_json
from facecloak.recognizers import load_recognizer, weights_file


class Pictures(NamedTuple):
    """A protection's pictures as they are on disk, at the suite's size.

    Attributes:
        outcomes: source name → its outcome, for all finished images.
        protected: source name → picture, with the box of its face or None.
        errors: source name → why there is no picture.
    """

    outcomes: dict[str, dict[str, Any]]
    protected: dict[str, Photo]
    errors: dict[str, str]


class Judging:
    """A suite's photos, and the models that are loaded once to judge many protections of them.

    Args:
        sources: the photos that are protected.
        device: device of detectors, recognizers and feature networks.
        show: wraps the sources while they are read, to show the progress.
        find_face: the suite's face finder, if it is loaded already.

    Raises:
        FacecloakError: no photo is usable, or a target's test photo shows no face.
    """

    def __init__(
        self,
        suite: Suite,
        sources: list[Source],
        device: torch.device | str = "cpu",
        show: Callable[[Iterable[Source]], Iterable[Source]] = iter,
        find_face: FindFace | None = None,
    ) -> None:
        self.suite, self.sources, self.device = suite, sources, device
        self.find_face = find_face or suite.find_face(str(device))
        self.manifest = manifest_sha256(sources)
        self.hashes = {source.name: file_sha256(source.path) for source in sources}
        self.photos = {source.name: suite.read(source.path, self.find_face) for source in show(sources)}
        if all(photo.error for photo in self.photos.values()):
            first = next(iter(self.photos.values())).error
            raise FacecloakError(f"Suite {suite.name}: none of {len(self.photos)} photos is usable; {first}")
        self.tests = suite.read_tests(self.find_face)
        self._quality = Quality(suite.features, device)
        self._weights_sha256: dict[str, str] = {}  # hundreds of megabytes, asked for by every judgement

    def names(self, objective: str, target: str) -> list[str]:
        """The sources of a protection: those of the target's group, or all sources for obfuscation."""
        return [source.name for source in self.sources if source.is_protected(objective, target)]

    def usable(self, names: Iterable[str]) -> dict[str, Photo]:
        """The usable photos among these names."""
        return {name: self.photos[name] for name in names if not self.photos[name].error}

    @cached_property
    def judge(self) -> Judge:
        """The judge that compares pictures with the suite's references."""
        second = self.suite.read_second(self.find_face)
        return Judge(self._black_box, self.photos, second, self.tests, self.device, self.altering)

    @cached_property
    def altering(self) -> Altering:
        """What applies countermeasures to pictures of this suite."""
        return Altering(self.suite, self.find_face, self.device)

    def _black_box(self, name: str):
        return load_recognizer(name, differentiable=False, device=self.device)

    def is_judged(
        self, protection: Path, about: Mapping[str, Any], recognizer: str, thresholds: Any,
        countermeasure: str = NO_COUNTERMEASURE,
    ) -> bool:  # fmt: skip
        """Whether there is a judgement that is still valid."""
        judgement = read_judgement(judgement_folder(protection, recognizer, countermeasure))
        wanted = self._fingerprint(about, recognizer, thresholds, countermeasure)
        return judgement is not None and judgement.provenance.get("fingerprint") == wanted

    def judge_protection(
        self, protection: Path, about: Mapping[str, Any], recognizer: str, thresholds: Mapping[str, Any],
        countermeasure: str = NO_COUNTERMEASURE,
    ) -> Path:  # fmt: skip
        """Judge a protection's pictures with a recognizer; returns the judgement's folder.

        Args:
            about: content of protection.json.
            recognizer: name of the recognizer, which need not be in the suite.
            thresholds: the recognizer's entry in the thresholds.
            countermeasure: name of what is done to the pictures before.
        """
        folder = judgement_folder(protection, recognizer, countermeasure)
        names = self.names(about["objective"], about["target"])
        pictures = self.read_pictures(protection, names)
        measured = self.measure(protection, about, names, pictures)
        records, ranks = self.judge.judge(
            recognizer, names, pictures.protected, pictures.errors, about["target"], countermeasure
        )
        by_name = {image["id"]: image for image in measured["images"]}
        for record in records:
            own = {key: value for key, value in by_name.get(record["id"], {}).items() if key != "surrogates"}
            record |= own | {"seconds": pictures.outcomes.get(record["id"], {}).get("seconds")}
        weights = self._weights(recognizer)
        own = used(self.suite, [recognizer], self.altering.settings(countermeasure), judging=True)
        constant = self._describe(folder, about, names, recognizer, weights, thresholds, measured, pictures) | ranks
        constant["assets"] = used_text([*about.get("used", ()), *own])
        rows = [constant | row for row in score(records, about["objective"], thresholds, self.suite.fars)]
        write_judgement(folder, rows, records, {
            "fingerprint": self._fingerprint(about, recognizer, thresholds, countermeasure), "thresholds": thresholds,
            "used": own, "torch": torch.__version__,
        })  # fmt: skip
        return folder

    def read_pictures(self, protection: Path, names: list[str]) -> Pictures:
        """A protection's finished pictures of these sources."""
        outcomes = {name: each for name, each in read_outcomes(protection, self.hashes).items() if name in {*names}}
        errors = {name: outcome["error"] for name, outcome in outcomes.items() if outcome["error"]}
        made = [name for name in outcomes if name not in errors]
        protected = {
            name: self.suite.read(protection / "images" / f"{name}.png", self.find_face) for name in made
        }  # fmt: skip
        return Pictures(outcomes, protected, errors)

    def measure(
        self, protection: Path, about: Mapping[str, Any], names: list[str], pictures: Pictures
    ) -> dict[str, Any]:
        """Quality and the surrogates' cosines, which do not depend on the judge; measured once, in measured.json."""
        path = protection / "measured.json"
        fingerprint = self._measure_fingerprint(about)
        if path.is_file():
            measured = read_json(path)
            if not measured_problem(measured, about["surrogates"]) and measured.get("fingerprint") == fingerprint:
                return measured
        seen = {
            name: self.judge.rises(name, names, pictures.protected, about["target"]) for name in about["surrogates"]
        }
        images: list[Record] = []
        for name, photo in pictures.protected.items():
            by_surrogate = {surrogate: [*rises[name]] for surrogate, rises in seen.items() if name in rises}
            images.append({"id": name, **self._quality.measure(photo, self.photos[name]), "surrogates": by_surrogate})
        originals = [self.photos[name] for name in pictures.protected]
        features = self._quality.features([*pictures.protected.values()], originals)
        if features is not None:
            write_features(protection, features)
        measured = {"fingerprint": fingerprint, "note": self._quality.note, "images": images}
        write_json(path, measured)
        return measured

    def _describe(
        self, folder: Path, about: Mapping[str, Any], names: list[str], recognizer: str, weights: str,
        thresholds: Mapping[str, Any], measured: Mapping[str, Any], pictures: Pictures,
    ) -> Row:  # fmt: skip
        """The columns that are the same in all rows of a judgement."""
        protection = protection_of(folder)
        return {
            "schema_version": SCHEMA_VERSION,
            "suite": self.suite.name,
            "dataset": about["dataset"],
            "manifest_sha256": self.manifest,
            "n_images": len(names),
            "image_size": self.suite.image_size,
            "method": about["method"],
            "preset": about["preset"],
            "settings_hash": about["settings_hash"],
            "facecloak": facecloak.__version__,
            "git_sha": git_sha(),
            "made_by": "; ".join(sorted({outcome.get("made_by", "unknown") for outcome in pictures.outcomes.values()})),
            "seed": about["seed"],
            "date": datetime.now(UTC).date().isoformat(),
            "run_id": run_id(folder),
            "protection": protection.name,
            "objective": about["objective"],
            "target": about["target"],
            "black_box": recognizer,
            "white_box": recognizer.removesuffix(ADAPTED) in about["weights"] or weights in about["weights"].values(),
            "countermeasure": folder.parent.name,
            "weights_sha256": weights,
            "surrogates": "+".join(about["surrogates"]),
            "cosine_rise_surrogates": surrogate_rise(measured, about["surrogates"]),
            "threshold_source": thresholds.get("pairs"),
            "source": "measured",
            "note": "; ".join(filter(None, (self._tuned(about), measured["note"]))) or None,
            **cost(protection, pictures.outcomes.values()),
        }

    def _tuned(self, about: Mapping[str, Any]) -> str | None:
        """How the settings were found, where they are the suite's own."""
        own = self.suite.tuned.get(about["method"]) if about["preset"] == "default" else None
        return own and f"settings found by {own}"

    def _weights(self, recognizer: str) -> str:
        if recognizer not in self._weights_sha256:
            self._weights_sha256[recognizer] = sha256(weights_file(recognizer))
        return self._weights_sha256[recognizer]

    @cached_property
    def _gallery_sha256(self) -> str:
        return manifest_sha256(self.suite.load_sources())

    @cached_property
    def _references(self) -> list[Any]:
        """The photos that pictures are compared with, by content."""
        tests = [self.suite.load_target(name, "impersonation") for name in self.suite.target_names()]
        return [[test.name, file_sha256(test.test), test.test_box] for test in tests]

    def _fingerprint(
        self, about: Mapping[str, Any], recognizer: str, thresholds: Any, countermeasure: str
    ) -> str:  # fmt: skip
        """Hash of everything that a judgement depends on, except for its pictures."""
        return sha256_json([
            self._measure_fingerprint(about), self._gallery_sha256, thresholds, self._weights(recognizer),
            self.suite.fars, about["preset"], *self.altering.fingerprint(countermeasure),
        ])  # fmt: skip

    def _measure_fingerprint(self, about: Mapping[str, Any]) -> str:
        """Hash of everything that measured.json depends on, except for the pictures."""
        return sha256_json([
            SCHEMA_VERSION, self.manifest, self._references, self.suite.detect, self.suite.features,
            self._quality.available, about["weights"],
        ])  # fmt: skip
