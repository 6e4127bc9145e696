"""Suites: which photos, targets, recognizers and thresholds; read from YAML and checked before anything runs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from facecloak.config import read_yaml
from facecloak.data import Box, FindFace, Photo, list_images, read_photo
from facecloak.errors import FacecloakError
from facecloak.faces import AlignedCrop, FaceDetector
from facecloak.io import expand, sha256, sha256_json
from facecloak.recognizers.calibration import load_thresholds, lookup
from facecloak.registry import unknown_name

FOLDER = Path(__file__).parent / "suites"


@dataclass(frozen=True)
class Source:
    """A photo to protect: its name in results, its file, another photo of the person, the target's group."""

    name: str
    path: Path
    second: Path | None
    group: str | None


@dataclass(frozen=True)
class Target:
    """An identity to impersonate. ``test`` is another photo of it, which alone is used to judge."""

    name: str
    image: Path
    box: Box | None
    test: Path | None = None
    test_box: Box | None = None


@dataclass(frozen=True)
class Suite:
    """A suite file. CONTRIBUTING.md says what each key means; paths may start with $FACECLOAK_SHARED."""

    name: str
    description: str
    image_size: int
    sources: dict[str, Any]
    targets: dict[str, Any]
    recognizers: list[str]
    thresholds: str
    methods: dict[str, dict[str, Any]]
    crop: str | list[float] = "mtcnn"
    detect: bool = True
    objective: str = "impersonation"
    default_targets: list[str] = field(default_factory=list)
    surrogates: list[str] | None = None
    fars: list[float] = field(default_factory=lambda: [0.1, 0.01, 0.001])
    features: str = "mtcnn"
    batch_size: int = 1

    def find_face(self, device: str = "cpu") -> FindFace:
        """What finds the part of a photo that recognizers see: MTCNN's box, or one crop for an aligned set."""
        detector = FaceDetector(device) if self.detect else None
        return detector if self.crop == "mtcnn" else AlignedCrop(self.crop, detector)

    def load_sources(self, limit: int | None = None) -> list[Source]:
        """The first ``limit`` sources of each group, sorted by name.

        Raises:
            FacecloakError: a folder is missing or empty, or a name stands twice.
        """
        groups = self.sources.get("groups") or {None: self.sources.get("folder")}
        second = self.sources.get("second")
        sources = []
        for group, folder in groups.items():
            for path in list_images(self._folder(folder))[:limit]:
                other = expand(second) / path.name if second else None
                other = other if other and other.is_file() else None
                sources.append(Source(path.stem, path, other, None if group is None else str(group)))
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise FacecloakError(f"Suite {self.name}: the source {twice!r} stands in two groups.")
        return sources

    def load_target(self, name: str, objective: str) -> Target:
        """The target of an objective; obfuscation has one synthetic target and no test photo.

        Raises:
            FacecloakError: no such target, or its file is missing.
        """
        folder = self._folder(self.targets["folder"])
        if objective == "obfuscation":
            if "synthetic" not in self.targets:
                raise FacecloakError(f"Suite {self.name} has no synthetic target, which obfuscation needs.")
            target = Target("synthetic", folder / self.targets["synthetic"], None)
        else:
            if name not in self.target_names():
                raise unknown_name(f"target of suite {self.name}", name, self.target_names())
            entry = next(pair for pair in self.targets["pairs"] if str(pair["name"]) == name)
            target = Target(
                name, folder / entry["image"], entry.get("box"), folder / entry["test"], entry.get("test_box")
            )
        for path in (target.image, target.test):
            if path is not None and not path.is_file():
                raise FacecloakError(f"Suite {self.name}: {path}: no such file.")
        return target

    def _folder(self, text: str) -> Path:
        folder, variable = expand(text), re.match(r"\$(\w+)", text)
        if not folder.is_dir():
            hint = f" Set ${variable[1]} to the folder that holds it." if variable else ""
            raise FacecloakError(f"Suite {self.name} needs {folder}: no such folder.{hint}")
        return folder

    def target_names(self) -> list[str]:
        """The targets of the impersonation objective."""
        return [str(pair["name"]) for pair in self.targets.get("pairs", [])]

    def read(self, path: Path, find_face: FindFace, box: Box | None = None) -> Photo:
        """A photo at this suite's size with its face; ``box`` is MTCNN's in the file's pixels, if known."""
        return read_photo(path, self.image_size, find_face, box if self.crop == "mtcnn" else None)

    def load_thresholds(self, recognizer: str, weights_sha256: str | None) -> dict[str, Any]:
        """The threshold entry of a recognizer, checked against its weights and this suite's crop."""
        entry = lookup(load_thresholds(self.thresholds_file()), recognizer, weights_sha256, self.fars, self.name)
        if entry.get("crop", self.crop) != self.crop:
            raise FacecloakError(
                f"{self.thresholds_file()}: {recognizer} was calibrated under the crop {entry['crop']}, but suite "
                f"{self.name} uses {self.crop}. Run `facecloak calibrate {self.name}`."
            )
        return entry

    def thresholds_file(self) -> Path:
        """Where the thresholds lie: a path, or the name of a file that ships with the suites."""
        path = expand(self.thresholds)
        return path if path.is_absolute() or path.is_file() else FOLDER / "thresholds" / path


def manifest_sha256(sources: list[Source]) -> str:
    """The hash of the sources and their second photos: names and contents, in order."""
    return sha256_json([
        [source.name, sha256(source.path), sha256(source.second) if source.second else None] for source in sources
    ])  # fmt: skip


def suite_names() -> list[str]:
    """The suites that ship with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_suite(name: str) -> Suite:
    """Load a suite by its name, or from the path of a YAML file.

    Raises:
        FacecloakError: no such suite, an unknown or missing key, a value that cannot be.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise (
            FacecloakError(f"{path}: no such file.")
            if path == Path(name)
            else unknown_name("suite", name, suite_names())
        )
    values = {"name": path.stem, **read_yaml(path)}
    known = {item.name for item in fields(Suite)}
    for key in values:
        if key not in known:
            raise unknown_name(f"key in {path}", key, known)
    try:
        suite = Suite(**values)
    except TypeError as error:
        raise FacecloakError(f"{path}: {str(error).split('() ')[-1]}.") from None
    _check(suite, path)
    return suite


def _check(suite: Suite, path: Path) -> None:
    rules = {
        "image_size must be a whole number of pixels above 0": isinstance(suite.image_size, int)
        and suite.image_size > 0,
        "objective must be impersonation or obfuscation": suite.objective in ("impersonation", "obfuscation"),
        "recognizers must name two at least, each once": len(set(suite.recognizers)) == len(suite.recognizers) > 1,
        "crop must be mtcnn or [x0, y0, x1, y1]": suite.crop == "mtcnn"
        or (isinstance(suite.crop, list) and len(suite.crop) == 4),
        "detect can be false with a fixed crop only": suite.detect is True or suite.crop != "mtcnn",
        "sources must have a folder or groups": bool({"folder", "groups"} & set(suite.sources)),
        "targets must have a folder": "folder" in suite.targets,
        "fars must be between 0 and 1": all(isinstance(far, float) and 0 < far < 1 for far in suite.fars),
        "batch_size must be 1 at least": isinstance(suite.batch_size, int) and suite.batch_size > 0,
    }
    for rule, holds in rules.items():
        if not holds:
            raise FacecloakError(f"{path}: {rule}.")
    for target in suite.default_targets:
        if str(target) not in suite.target_names():
            raise unknown_name(f"target in {path}", str(target), suite.target_names())
