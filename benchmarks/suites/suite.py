"""Suites: photos, targets, recognizers and thresholds, read from YAML and checked before anything runs."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.suites.albums import albums_in, read_album, refuse_judged
from benchmarks.suites.paths import FOLDER, suite_path
from benchmarks.suites.people import people_in
from benchmarks.suites.rules import CALIBRATE, check_suite
from benchmarks.suites.spec import (
    CalibrationSpec,
    ProtectSpec,
    SourcesSpec,
    TargetsSpec,
)
from facecloak.assets import is_here, provenance
from facecloak.assets.paths import asset_of, expand
from facecloak.config import parse_settings, read_yaml, to_yaml
from facecloak.data import Batch, Box, FindFace, Photo, list_images, read_photo, to_album, to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import AlignedCrop, FaceDetector, FivePointCrop, OncePerImage
from facecloak.io import cache_dir, file_name, sha256, sha256_json, write_bytes
from facecloak.objectives import Goal, Objective
from facecloak.recognizers import Recognizer
from facecloak.recognizers.calibration import load_thresholds, lookup
from facecloak.registry import unknown_name

CALIBRATION = "SUITE --out FILE` and name FILE as the suite's `thresholds"


@dataclass(frozen=True)
class Source:
    """A photo to protect: its name in results, its file, another photo of the person, the target's group."""

    name: str
    path: Path
    second: Path | None
    group: str | None

    def is_protected(self, objective: str, target: str) -> bool:
        """Whether it is protected towards a target: it is of its group, or the suite has none, or it is obfuscated."""
        return self.group in (None, target) or objective == "obfuscation"


@dataclass(frozen=True)
class Target:
    """An identity to impersonate. ``test`` is another photo of it, which is only used to judge."""

    name: str
    image: Path
    box: Box | None
    test: Path | None = None
    test_box: Box | None = None


@dataclass(frozen=True)
class Suite:
    """A suite file. benchmarks/suites/README.md explains each key; paths may start with $FACECLOAK_SHARED or asset:."""

    name: str
    description: str
    image_size: int
    targets: TargetsSpec
    recognizers: list[str]
    thresholds: str
    methods: dict[str, dict[str, Any]]
    default_methods: list[str] = field(default_factory=list)
    tuned: dict[str, str] = field(default_factory=dict)
    sources: SourcesSpec = field(default_factory=SourcesSpec)
    calibration: CalibrationSpec | None = None
    protect: ProtectSpec = field(default_factory=ProtectSpec)
    crop: str | list[float] = "mtcnn"
    detect: bool = True
    objective: Goal = "impersonation"
    default_targets: list[str] = field(default_factory=list)
    default_limit: int | None = None
    surrogates: list[str] | None = None
    held_out: list[str] = field(default_factory=list)
    fars: list[float] = field(default_factory=lambda: [0.1, 0.01, 0.001])
    features: str = "mtcnn"
    batch_size: int = 1

    def method_names(self, asked: Sequence[str] | None = None) -> list[str]:
        """Which methods a run has: those that were asked for (``all``: every one of the suite), or the default ones."""
        if asked and [*asked] != ["all"]:
            return [*asked]
        return [*self.methods] if asked else self.default_methods or [*self.methods]

    def find_face(self, device: str = "cpu") -> FindFace:
        """A function that finds what recognizers see of a photo: MTCNN's box, ArcFace's square, or a fixed crop.

        It searches equal pictures once.
        """
        detector = FaceDetector(device) if self.detect else None
        if self.crop == "arcface":
            return OncePerImage(FivePointCrop(detector))
        find = detector if self.crop == "mtcnn" else AlignedCrop(self.crop, detector)
        return OncePerImage(find) if detector else find

    def load_sources(self, limit: int | None = None) -> list[Source]:
        """The first ``limit`` sources of each group, sorted by name.

        Raises:
            FacecloakError: a folder is missing or empty, a name is in two groups, or the suite has no photos.
        """
        self.require_sources()
        if self.sources.people:
            return self._people(limit)
        groups = self.sources.groups or {None: self.sources.folder}
        second: dict[str, Path] = {}
        if self.sources.second:
            second = {path.stem: path for path in list_images(self._folder(self.sources.second))}
        files = {group: list_images(self._folder(folder)) for group, folder in groups.items()}
        if second and second.keys().isdisjoint(path.stem for paths in files.values() for path in paths):
            raise FacecloakError(
                f"Suite {self.name}: no photo of `second` ({self.sources.second}) has the same name as a source."
            )
        sources = [
            Source(path.stem, path, second.get(path.stem), group)
            for group, paths in files.items()
            for path in paths[:limit]
        ]
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise FacecloakError(f"Suite {self.name}: the source {twice!r} is in two groups.")
        return sources

    def load_albums(self) -> dict[str, list[Path]]:
        """Source → the photos of its album, for all sources.

        Raises:
            FacecloakError: the suite has no albums, one is missing or too small, or a photo in one is judged.
        """
        self.require_albums()
        sources = self.load_sources()
        albums = albums_in(self._folder(self.sources.albums), [source.name for source in sources])
        judged = [path for source in sources for path in (source.path, source.second) if path]
        refuse_judged([path for paths in albums.values() for path in paths], judged)
        return albums

    def _people(self, limit: int | None) -> list[Source]:
        """The first two photos of each person who is neither a target nor one of those who set the thresholds."""
        people = self._without_targets(self._folder(self.sources.people))
        calibrating = self.calibration_people() if self.calibration else {}
        chosen = {name: paths for name, paths in people.items() if calibrating.get(name) != paths}
        return [Source(name, *chosen[name], None) for name in [*chosen][: self.sources.number][:limit]]

    def calibration_people(self) -> dict[str, tuple[Path, Path]]:
        """Person → two photos, of those who set the thresholds; no target is among them."""
        people = self._without_targets(self._folder(self.calibration.people))
        return {name: people[name] for name in [*people][-self.calibration.number :]}

    def _without_targets(self, folder: Path) -> dict[str, tuple[Path, Path]]:
        """Person → two photos, of a folder with a folder for each person."""
        home = self._folder(self.targets.folder)
        targets = {(home / file).parent for pair in self.targets.pairs for file in (pair.image, pair.test)}
        return {name: paths for name, paths in people_in(folder).items() if paths[0].parent not in targets}

    def assets(self, sources: bool = True) -> list[str]:
        """Names of the assets that the suite's photos are in.

        Args:
            sources: False: only those of the targets.
        """
        groups = (self.sources.groups or {}).values()
        own = (self.sources.folder, self.sources.people, self.sources.second, self.sources.albums, *groups)
        paths = [*own] if sources else []
        paths += [self.targets.folder, self.targets.synthetic]
        return [*dict.fromkeys(asset_of(path) for path in paths if path and asset_of(path))]

    def require_target(self, name: str | None, objective: str) -> None:
        """Raise `FacecloakError` if there is no such target; nothing needs to be here for that."""
        if objective == "obfuscation" and self.targets.synthetic is None:
            raise FacecloakError(f"Suite {self.name} has no synthetic target, which obfuscation needs.")
        if objective == "impersonation" and name not in (None, *self.target_names()):
            raise unknown_name(f"target of suite {self.name}", name, self.target_names())

    def require_sources(self) -> None:
        """Raise `FacecloakError` if the suite has no photos of its own."""
        if self.sources.is_empty:
            raise FacecloakError(
                f"Suite {self.name} has no photos of its own: it is for yours, with `facecloak protect` and `evaluate`."
            )

    def require_albums(self, method: str = "The method") -> None:
        """Raise `FacecloakError` if the suite has no albums; nothing needs to be here for that."""
        if not self.sources.albums:
            raise FacecloakError(
                f"{method} learns from albums, further photos of each person, and suite {self.name} has none: name "
                "their folder in its file (sources: albums), or use a suite that has them, such as pocket."
            )

    def load_target(self, name: str | None, objective: str) -> Target:
        """A target of an objective, by default the first; obfuscation has one synthetic target and no test photo.

        Raises:
            FacecloakError: there is no such target, or its file is missing.
        """
        self.require_target(name or None, objective)
        folder = self._folder(self.targets.folder)
        if objective == "obfuscation":
            target = Target("synthetic", folder / expand(self.targets.synthetic), None)
        else:
            names = self.target_names()
            name = name or next(iter(self.default_targets or names), None)
            if name not in names:
                raise unknown_name(f"target of suite {self.name}", name or "", names)
            pair = self.targets.pairs[names.index(name)]
            target = Target(name, folder / pair.image, pair.box, folder / pair.test, pair.test_box)
        for path in (target.image, target.test):
            if path is not None and not os.path.isfile(path):
                raise FacecloakError(f"Suite {self.name}: {path}: no such file.")
        return target

    def read_face(self, path: Path, find_face: FindFace, box: Box | None) -> Photo:
        """`read` a target's photo; raises `FacecloakError` if it is not usable."""
        photo = self.read(path, find_face, box)
        if photo.error:
            raise FacecloakError(f"Suite {self.name}, target: {photo.error}.")
        return photo

    def batch(self, target: str | None = None, limit: int | None = None, albums: bool = False) -> Batch:
        """Photos of the suite, as the input of a method.

        Args:
            target: only photos of this target's group, if the suite has groups; by default all.
            limit: number of photos of each group, from the first.
            albums: also each person's album, for methods that ask for it.

        Raises:
            FacecloakError: photos are missing, none of them can be used, or an album cannot.

        Example:
            >>> load_suite("pocket").batch(target="1", limit=2).images.shape
            torch.Size([2, 3, 128, 128])
        """
        find_face = self.find_face()
        sources = [source for source in self.load_sources(limit) if target is None or source.group in (None, target)]
        photos = {source.name: self.read(source.path, find_face) for source in sources}
        usable = {name: photo for name, photo in photos.items() if not photo.error}
        if not usable:
            raise FacecloakError(f"Suite {self.name}: no photo of target {target} can be used.")
        boxes = torch.tensor([photo.box for photo in usable.values()], dtype=torch.float32)
        batch = Batch([*usable], to_tensor(photo.image for photo in usable.values()), boxes)
        if albums:
            paths = self.load_albums()
            read = [read_album(paths[name], lambda path: self.read(path, find_face))[0] for name in usable]
            batch.albums = [to_album(photos) for photos in read]
        return batch

    def read_second(self, find_face: FindFace) -> dict[str, Photo]:
        """The second photos of the whole suite by source name, only those with a face: the gallery."""
        paths = {source.name: source.second for source in self.load_sources() if source.second}
        photos = {name: self.read(path, find_face) for name, path in paths.items()}
        return {name: photo for name, photo in photos.items() if not photo.error}

    def read_tests(self, find_face: FindFace) -> dict[str, Photo]:
        """The test photos of all targets by name; raises `FacecloakError` if one has no face."""
        targets = [self.load_target(name, "impersonation") for name in self.target_names()]
        return {target.name: self.read_face(target.test, find_face, target.test_box) for target in targets}

    @property
    def dataset(self) -> str:
        """The folder of the sources, or the folders of their groups."""
        return self.sources.folder or self.sources.people or "+".join((self.sources.groups or {}).values())

    def _folder(self, text: str) -> Path:
        folder, variable = expand(text), re.match(r"\$\{?(\w+)", text)
        if not os.path.isdir(folder):  # Path.is_dir would raise an error for a name that is too long
            hint = f" Set ${variable[1]} to the folder that contains it." if variable else ""
            raise FacecloakError(f"Suite {self.name} needs {folder}: no such folder.{hint}")
        return folder

    def target_names(self) -> list[str]:
        """The targets of the impersonation objective."""
        return [pair.name for pair in self.targets.pairs]

    def read(self, path: Path, find_face: FindFace, box: Box | None = None) -> Photo:
        """A photo at this suite's size, with the box of its face; ``box`` is MTCNN's in the file's pixels, if known."""
        return read_photo(path, self.image_size, find_face, box if self.crop == "mtcnn" else None)

    def surrogates_for(self, black_boxes: Collection[str]) -> list[str]:
        """The surrogates when ``black_boxes`` judge: the suite's, or all other recognizers that are not held out."""
        if self.surrogates:
            return self.surrogates
        return [name for name in self.recognizers if name not in (*black_boxes, *self.held_out)]

    def target_set(self, target: Target) -> list[Target]:
        """The targets that an attack on a set may choose from: the target itself, then all others with a test photo."""
        others = [self.load_target(name, "impersonation") for name in self.target_names() if name != target.name]
        return [target, *others]

    def build_objective(
        self, goal: Goal, targets: Sequence[Target], surrogates: list[Recognizer], find_face: FindFace
    ) -> Objective:
        """The objective that an attack minimises; raises `FacecloakError` if a target's photo shows no face."""
        photos = [self.read_face(target.image, find_face, target.box) for target in targets]
        boxes = torch.tensor([photo.box for photo in photos])
        return Objective(goal, surrogates, to_tensor(photo.image for photo in photos), boxes)

    def load_thresholds(self, recognizer: str, weights_sha256: str | None) -> dict[str, Any]:
        """The threshold entry of a recognizer, checked against its weights and this suite's crop."""
        entry = lookup(load_thresholds(self.thresholds_file()), recognizer, weights_sha256, self.fars, CALIBRATION)
        if entry.get("crop", self.crop) != self.crop:
            raise FacecloakError(
                f"{self.thresholds_file()}: {recognizer} was calibrated with the crop {entry['crop']}, but suite "
                f"{self.name} uses {self.crop}. Run `facecloak calibrate {CALIBRATION}`."
            )
        return entry

    def thresholds_file(self) -> Path:
        """The file of the thresholds: a path, a file of that name that ships with the suites, or one in the cache."""
        if self.thresholds == CALIBRATE:
            asset = asset_of(self.calibration.people)
            photos = provenance(asset)["sha256"] if asset and is_here(asset) else None
            targets = [self.targets.folder, [[pair.image, pair.test] for pair in self.targets.pairs]]  # are left out
            made_from = [self.crop, self.image_size, self.detect, dataclasses.asdict(self.calibration), self.fars]
            made_from += [targets, photos]
            return cache_dir() / "thresholds" / f"{sha256_json(made_from)[:16]}.json"
        path = expand(self.thresholds)
        return path if path.is_absolute() or os.path.isfile(path) else FOLDER / "thresholds" / path


def manifest_sha256(sources: list[Source]) -> str:
    """The hash of the names and contents of the sources and their second photos, sorted by name."""
    found = sorted(sources, key=lambda source: source.name)
    return sha256_json([[source.name, file_sha256(source.path), file_sha256(source.second)] for source in found])


def file_sha256(path: Path | None) -> str | None:
    """Hex SHA-256; None if there is no file, which is reported later, when it is read."""
    return sha256(path) if path is not None and path.is_file() else None


def load_suite(name: str) -> Suite:
    """Load a suite by its name, or from the path of a YAML file.

    Args:
        name: see `list_suites`, or a path.

    Raises:
        FacecloakError: there is no such suite, a key is unknown or missing, or a value is not allowed.

    Example:
        >>> load_suite("pocket").target_names()
        ['1', '2', '3', '4']
    """
    path = suite_path(name)
    suite = parse_settings(Suite, {"name": path.stem, **read_yaml(path)}, name=str(path))
    if os.path.isfile(path.parent / suite.thresholds):  # the suite is elsewhere, with its thresholds beside it
        suite = replace(suite, thresholds=str((path.parent / suite.thresholds).resolve()))
    check_suite(suite, path)
    return suite


def keep_suite(suite: Suite, run: Path) -> None:
    """Store the suite in a run's folder as the run used it, so that its pictures can be judged later."""
    # it may overwrite an earlier one: results with other photos or thresholds are refused in one run anyway
    text = to_yaml(dataclasses.asdict(suite))
    write_bytes(run / "suites" / f"{file_name(suite.name)}.yaml", text.encode())


def kept_suite(name: str, run: Path) -> Suite:
    """A suite as a run used it; raises `FacecloakError` if the run does not have it."""
    return load_suite(str(run / "suites" / f"{file_name(name)}.yaml"))
