"""The pool: every family of recognizers, and how one of them is found and loaded by its name."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import torch

from facecloak.assets import Asset, fetch, find_asset
from facecloak.assets.store import find_folder, how_to_get
from facecloak.errors import FacecloakError
from facecloak.recognizers.base import Recognizer
from facecloak.recognizers.checkpoints import Checkpoints
from facecloak.recognizers.dlib_resnet import Dlib
from facecloak.recognizers.frbench import FRBench
from facecloak.recognizers.insightface import InsightFace
from facecloak.recognizers.sidecars import Sidecars
from facecloak.registry import unknown_name


class Family(Protocol):
    """Recognizers that are found and loaded in the same way. A new one is a file with such a class, and a line below.

    Attributes:
        kind: what they are, for `facecloak list`.
    """

    kind: str

    def names(self) -> list[str]:
        """Names of its recognizers, whether their weights are here or not."""

    def asset(self, name: str) -> str | None:
        """The asset that has the weights; None if they are not fetched, or are in a weight folder."""

    def licence(self, name: str) -> str:
        """Licence of the weights in one phrase, where no asset says it."""

    def file(self, name: str) -> Path:
        """The file of the weights; `FacecloakError` if it is not here."""

    def load(self, name: str, differentiable: bool) -> Recognizer:
        """The recognizer, on the CPU."""


FAMILIES: tuple[Family, ...] = (Checkpoints(), Dlib(), InsightFace(), FRBench(), Sidecars())


class Entry(NamedTuple):
    """A row of `facecloak list`.

    Attributes:
        kind: checkpoint, package, insightface, frbench or onnx.
        present: whether the weights are on this machine.
        where: their file or the folder of the asset with it, or how to get them.
        asset: what has to be fetched for it, if it can be.
        licence: of the weights, in one phrase.
    """

    name: str
    kind: str
    present: bool
    where: str
    asset: str | None
    licence: str


def load_recognizer(name: str, differentiable: bool = False, device: str | torch.device = "cpu") -> Recognizer:
    """Load a recognizer, as a surrogate or as a black box; weights that are not here are fetched.

    Args:
        name: see `list_recognizers`.
        differentiable: True for a surrogate, which an attack needs.
        device: where it computes.

    Raises:
        FacecloakError: an unknown name, or weights that are missing, damaged or not the expected ones.

    Example:
        >>> load_recognizer("pocket_ir").input_size
        64
    """
    family = _family(name)
    if asset := family.asset(name):
        fetch([asset])
    return family.load(name, differentiable).to(device)


def weights_file(name: str) -> Path:
    """The file with a recognizer's weights.

    Raises:
        FacecloakError: an unknown name, or a missing file: which one, and how to get it.
    """
    return _family(name).file(name)


def recognizer_asset(name: str) -> str | None:
    """The asset that has a recognizer's weights; None if they are not fetched, or are in a weight folder."""
    return _family(name).asset(name)


def recognizer_licence(name: str) -> tuple[str, str]:
    """Licence of a recognizer's weights in one phrase, and what a paper must cite ("" if nothing is known).

    Example:
        >>> recognizer_licence("pocket_ir")
        ('Apache-2.0, part of this project', '')
    """
    family = _family(name)
    asset: Asset | None = find_asset(family.asset(name)) if family.asset(name) else None
    return (asset.licence, asset.cite) if asset else (family.licence(name), "")


def list_recognizers() -> list[Entry]:
    """Every known recognizer, present or not. A broken sidecar is listed with a description of what is wrong.

    Example:
        >>> [entry.name for entry in list_recognizers() if entry.name.startswith("pocket")][:3]
        ['pocket_ir', 'pocket_irse', 'pocket_mobile']
    """
    return [_entry(family, name) for family in FAMILIES for name in family.names()]


def _entry(family: Family, name: str) -> Entry:
    asset = family.asset(name)
    if asset:  # only looked for: reading all of it takes long
        folder = find_folder(find_asset(asset))
        where = how_to_get(find_asset(asset)) if folder is None else str(folder)
        return Entry(name, family.kind, folder is not None, where, asset, find_asset(asset).licence)
    try:
        return Entry(name, family.kind, True, str(family.file(name)), None, family.licence(name))
    except FacecloakError as error:
        return Entry(name, family.kind, False, str(error), None, "not known")


def _family(name: str) -> Family:
    for family in FAMILIES:
        if name in family.names():
            return family
    raise unknown_name("recognizer", name, [name for family in FAMILIES for name in family.names()])
