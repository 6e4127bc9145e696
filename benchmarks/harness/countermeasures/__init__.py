"""Countermeasures: what is done to a published photo, by accident or on purpose, before somebody tries to match it.

Each is deterministic, seeded by the photo's name, and applied to protected and unprotected pictures alike. A new
family is one file, or a function in one of these, and one line in `FAMILIES`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from facecloak.errors import FacecloakError
from facecloak.registry import import_entry, unknown_name

Alter = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Family(NamedTuple):
    """Countermeasures that differ in one whole number: ``jpeg90``, ``jpeg30`` …

    Attributes:
        make: module of this folder and function in it: number → function of a uint8 H×W×3 picture and a random
            generator, which returns the altered picture; it may have another size. Families that need a diffusion model
            get it as a second argument.
        low, high: the range of the number; None, None: the family has only one member, without a number.
        meaning: a phrase for readers; ``{}`` is the number.
        needs_diffusion: whether it needs the suite's diffusion model.
        step: between two possible numbers.
    """

    make: str
    low: int | None
    high: int | None
    meaning: str
    needs_diffusion: bool = False
    step: int = 1

    @property
    def numbers(self) -> range:
        """All possible numbers; none if its only member has no number."""
        return range(0) if self.low is None else range(self.low, self.high + 1, self.step)


VERSION = 1  # raised whenever a countermeasure changes pictures differently: older judgements are then made again
FAMILIES = {
    "jpeg": Family("codecs:jpeg", 1, 95, "saved as JPEG of quality {}"),
    "webp": Family("codecs:webp", 1, 100, "saved as WebP of quality {}"),
    "half": Family("geometry:half", None, None, "resized to half the side and back"),
    "phone": Family("geometry:phone", 16, 8192, "resized to at most {} pixels and saved as JPEG 80, as messengers do"),
    "blur": Family("filters:blur", 1, 50, "Gaussian blur of σ {}"),
    "median": Family("filters:median", 3, 51, "median of {}×{} pixels", step=2),
    "noise": Family("filters:noise", 1, 255, "Gaussian noise of σ {}"),
    "bits": Family("codecs:bits", 1, 8, "colours of {} bits per channel"),
    "crop": Family("geometry:crop", 1, 50, "{} % of width and height cut off, the rest enlarged"),
    "rotate": Family("geometry:rotate", 1, 45, "turned by {} degrees, the corners cut off, the rest enlarged"),
    "screenshot": Family("geometry:screenshot", None, None, "resized, sharpened and saved as JPEG 85"),
    "purify": Family("purification:purify", 0, 999, "purified by the diffusion model, from timestep {}", True),
    "learned": Family(
        "purification:learned", 1, 999, "purified under embeddings learned on the picture, from {}", True
    ),
}
# fmt: off
COMMON = ["jpeg90", "jpeg75", "jpeg50", "jpeg30", "webp75", "half", "phone1080", "blur1", "blur2", "median3", "median5",
          "noise8", "bits5", "crop5", "rotate5", "screenshot"]
# fmt: on
PURIFY = ["purify0", "purify51", "purify151", "purify301"]
SETS = {"common": COMMON, "purify": PURIFY, "all": [*COMMON, *PURIFY, "learned301"]}  # the last one takes minutes


class Countermeasure(NamedTuple):
    """A member of a family.

    Attributes:
        name: such as ``jpeg30``.
        family: see `FAMILIES`.
        numbers: the number in its name, or nothing.
    """

    name: str
    family: Family
    numbers: tuple[int, ...]

    @property
    def meaning(self) -> str:
        """A phrase for readers."""
        return self.family.meaning.format(*self.numbers * 2)

    def load(self, backbone=None) -> Alter:
        """The function of a picture; ``backbone`` is for families that need a diffusion model."""
        make = import_entry(f"{__name__}.{self.family.make}")
        return make(*self.numbers, *([backbone] if self.family.needs_diffusion else []))


def find_countermeasures(names: Iterable[str]) -> list[Countermeasure]:
    """The countermeasures of names and sets of names (`SETS`), each once, in order.

    Raises:
        FacecloakError: a name is unknown, or its number is out of range.

    Example:
        >>> [found.name for found in find_countermeasures(["jpeg30", "purify", "jpeg30"])]
        ['jpeg30', 'purify0', 'purify51', 'purify151', 'purify301']
        >>> find_countermeasures(["jpeg30"])[0].meaning
        'saved as JPEG of quality 30'
    """
    singles = dict.fromkeys(single for name in names for single in SETS.get(name, [name]))
    return [_find(name) for name in singles]


def _find(name: str) -> Countermeasure:
    parts = re.fullmatch(r"([a-z]+)(\d{,9})", name)
    if not parts or parts[1] not in FAMILIES:
        raise unknown_name("countermeasure", name, [*SETS, *SETS["all"]])
    family, number = FAMILIES[parts[1]], parts[2]
    if family.low is None:
        if number:
            raise FacecloakError(f"The countermeasure {parts[1]} has no number; got {name}.")
        return Countermeasure(name, family, ())
    if not number or number != str(int(number)) or int(number) not in family.numbers:
        odd = ", odd" if family.step == 2 else ""
        raise FacecloakError(
            f"The countermeasure {parts[1]} needs a number from {family.low} to {family.high}{odd}, such as "
            f"{parts[1]}{family.low}; got {name}."
        )
    return Countermeasure(name, family, (int(number),))


def generator(countermeasure: str, photo: str) -> np.random.Generator:
    """The random numbers of a countermeasure for a photo: the same for each picture that is made of the photo."""
    seed = hashlib.sha256(f"{countermeasure}/{photo}".encode()).digest()[:8]
    return np.random.default_rng(int.from_bytes(seed, "big"))
