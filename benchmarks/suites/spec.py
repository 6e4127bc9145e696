"""The parts of a suite file about photos: where they are, and what each target is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

SMALLEST_ALBUM = 2  # photos; a single one does not tell a person from a picture
LONGEST_NAME = 100  # bytes; results are named after it, with more text, and file names are limited to 255


@dataclass(frozen=True)
class SourcesSpec:
    """The photos to protect; a suite without any is for other people's photos (`facecloak protect`, `evaluate`).

    Attributes:
        folder: folder of all photos; or
        groups: target → folder of the photos that attack it; or
        people: folder with a folder for each person: the first photo is protected, the second one is another photo of
            the person. Who has only one is left out, and so are the targets and those who set the thresholds.
        number: how many of these people, the first ones by name; None: all.
        second: folder with another photo of each person, with the same file name except for the suffix.
        albums: folder with a folder of further photos for each source, of its name: see `ProtectionMethod.uses_albums`.
    """

    folder: str | None = None
    groups: dict[str, str] | None = None
    people: str | None = None
    number: int | None = None
    second: str | None = None
    albums: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the suite has no photos of its own."""
        return self == SourcesSpec()

    def faults(self, place: str) -> Iterator[str]:
        """What cannot be, a sentence each; ``place`` is where this is in the suite."""
        if sum(map(bool, (self.folder, self.groups, self.people))) != 1 and not self.is_empty:
            yield f"{place} must have one of folder, groups and people"
        if self.number is not None and (self.number < 1 or not self.people):
            yield f"{place}.number must be at least 1, and is for people"
        if self.people and self.second:
            yield f"{place}.second is for a folder or groups: people have their second photos beside the first"
        if self.people and self.albums:
            yield f"{place}.albums is for a folder or groups: of people, only two photos each are used"
        for name in self.groups or ():
            if not is_plain_name(name):
                yield f"{place}.groups: {name!r} {NOT_PLAIN}"


@dataclass(frozen=True)
class Pair:
    """A target of impersonation.

    Attributes:
        name: name in results.
        image: file of the photo that is attacked.
        test: file of another photo of the person, which is only used to judge.
        box, test_box: MTCNN's face box (x0, y0, x1, y1) in the files' pixels, if it is known.
    """

    name: str
    image: str
    test: str
    box: list[int | float] | None = None  # whole numbers must not become floats: keys of results contain them
    test_box: list[int | float] | None = None

    def faults(self, place: str) -> Iterator[str]:
        """What cannot be, a sentence each; ``place`` is where this is in the suite."""
        if not is_plain_name(self.name):
            yield f"{place}.name: {self.name!r} {NOT_PLAIN}"
        for which in ("image", "test"):
            if not getattr(self, which):
                yield f"{place}.{which} must name a file"
        for which in ("box", "test_box"):
            box = getattr(self, which)
            if box is not None and not is_box(box):
                yield f"{place}.{which} must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1"


@dataclass(frozen=True)
class TargetsSpec:
    """The targets of attacks.

    Attributes:
        folder: folder of the files that ``pairs`` and ``synthetic`` name.
        pairs: the targets of impersonation.
        synthetic: file of the target of obfuscation, if there is one; it may be in an asset.
    """

    folder: str
    pairs: list[Pair] = field(default_factory=list)
    synthetic: str | None = None

    def faults(self, place: str) -> Iterator[str]:
        """What cannot be, a sentence each; ``place`` is where this is in the suite."""
        if not self.folder:
            yield f"{place} must have a folder"
        if self.synthetic == "":
            yield f"{place}.synthetic must name a file"
        for index, pair in enumerate(self.pairs):
            yield from pair.faults(f"{place}.pairs[{index}]")
        names = [pair.name for pair in self.pairs]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"{place}.pairs: two targets are named {name!r}"


@dataclass(frozen=True)
class CalibrationSpec:
    """Whose photos set the thresholds, where the suite says ``thresholds: calibrate``.

    Attributes:
        people: folder with a folder for each person.
        number: how many people, the last ones by name that have two photos. Impostor pairs are each one's first photo
            with each other one's second.
    """

    people: str
    number: int = 300

    def faults(self, place: str) -> Iterator[str]:
        """What cannot be, a sentence each; ``place`` is where this is in the suite."""
        if self.number < 2:
            yield f"{place}.number must be at least 2"


@dataclass(frozen=True)
class ProtectSpec:
    """The method of `facecloak protect` where none is typed: on the CPU and on a GPU."""

    cpu: str = "facecloak"
    gpu: str = "facecloak"


NOT_PLAIN = f"is not a plain name: files get it, so no slash, no control character, at most {LONGEST_NAME} bytes"


def is_plain_name(name: str) -> bool:
    """Whether the name can be part of a file name on any system, and is readable."""
    plain = name.isprintable() and name == name.strip() and not {"/", "\\"} & set(name)
    return plain and name not in ("", ".", "..") and len(name.encode()) <= LONGEST_NAME


def is_box(values: Sequence[float]) -> bool:
    """Whether these are (x0, y0, x1, y1), finite, with x0 < x1 and y0 < y1."""
    if len(values) != 4 or not all(map(math.isfinite, values)):
        return False
    x0, y0, x1, y1 = values
    return x0 < x1 and y0 < y1
