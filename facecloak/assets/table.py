"""The table of assets: what each one is, where it is fetched from, its licence, and who must be cited."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from facecloak.config import parse_settings, read_yaml
from facecloak.errors import FacecloakError
from facecloak.registry import unknown_name

FILE = Path(__file__).parent / "table.yaml"
HUB = "hub:"  # how the name of any model of the hub begins
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
BYTES = 4  # of a network's number, float32


@dataclass(frozen=True)
class RemoteFile:
    """A file of an asset.

    Attributes:
        addresses: where it is, in full or below the asset's ``base``; the others are tried if the first fails.
        name: its path in the asset's folder; by default the end of the first address.
        sha256: of the file; None if nobody has published it: then it is recorded at the first fetch, and later fetches
            must be equal.
        unpack: whether it is a zip or tar archive, of which only the content is kept.
    """

    addresses: list[str]
    name: str = ""
    sha256: str | None = None
    unpack: bool = False

    @property
    def path(self) -> str:
        """Its path in the asset's folder, or for an archive the name under which it is downloaded."""
        return self.name or PurePosixPath(self.addresses[0]).name


@dataclass(frozen=True)
class Asset:
    """Something that is fetched as a whole.

    One of ``files``, ``hub``, ``drive``, ``release``, ``package`` and ``by_hand`` says how.

    Attributes:
        about: what it is, in one phrase.
        licence: in one phrase; what is not for commercial use says so.
        cite: the paper to cite.
        size: bytes of the download; None if they are not known before.
        files: files of the web.
        base: addresses of folders, tried in turn, that an address without ``https:`` is below.
        hub: ids of a model on the Hugging Face hub; the first one that answers is used. All must have the same weights.
        drive: id of a Google Drive file, a zip archive.
        release: name of the asset whose ``manifest.json`` lists this one, under its own name.
        package: what to `pip install` for the Python module ``module``, which holds it.
        by_hand: where to get what no program can fetch.
        holds: patterns that must each match a file for the asset to be complete. Of a folder that was not fetched,
            only the files below the places that they name belong to the asset.
        elsewhere: folders in which other programs keep the same content; they are used as they are.

    Example:
        >>> find_asset("insightface:buffalo_sc").licence
        'non-commercial research'
    """

    name: str
    about: str
    licence: str
    cite: str = ""
    size: int | None = None
    files: list[RemoteFile] = field(default_factory=list)
    base: list[str] = field(default_factory=list)
    hub: list[str] = field(default_factory=list)
    drive: str | None = None
    release: str | None = None
    package: str | None = None
    module: str | None = None
    by_hand: str | None = None
    holds: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    @property
    def fetchable(self) -> bool:
        """Whether a program can fetch it."""
        return bool(self.files or self.hub or self.drive or self.release)

    def addresses(self, file: RemoteFile) -> list[str]:
        """Every full address of one of its files, in the order in which they are tried."""
        return [
            full
            for address in file.addresses
            for full in ([address] if "://" in address else [f"{base}/{address}" for base in self.base])
        ]

    @property
    def size_text(self) -> str:
        """The size for readers: ``14 MB``."""
        if self.size is None:
            return "size not known"
        if self.size >= 1e9:
            return f"{self.size / 1e9:.1f} GB"
        return f"{self.size / 1e6:.0f} MB" if self.size >= 1e7 else f"{max(self.size / 1e6, 0.1):.1f} MB"


def list_assets() -> list[str]:
    """The names of all assets in the table; any model of the hub is one more, by the name ``hub:OWNER/NAME``.

    Example:
        >>> "lfw_funneled" in list_assets()
        True
    """
    return [*_table()]


def find_asset(name: str) -> Asset:
    """The entry of an asset.

    Raises:
        FacecloakError: there is no such asset, or a table is damaged.
    """
    table = _table()
    if name in table:
        return table[name]
    if name.startswith(HUB) and HUB_ID.fullmatch(name.removeprefix(HUB)):
        model = name.removeprefix(HUB)
        return Asset(name, f"model {model}", f"see https://huggingface.co/{model}", hub=[model])
    raise unknown_name("asset", name, table, command="facecloak fetch --list")


def _table() -> dict[str, Asset]:
    own = os.environ.get("FACECLOAK_ASSETS")
    return _read(FILE) | (_read(Path(own).expanduser()) if own else {})


def _read(path: Path) -> dict[str, Asset]:
    if not path.is_file():
        raise FacecloakError(f"$FACECLOAK_ASSETS names {path}: no such file.")
    return _parse(path, path.stat().st_mtime_ns)


@cache
def _parse(path: Path, _changed: int) -> dict[str, Asset]:
    values = read_yaml(path)
    releases = values.pop("releases", {})
    table = {name: _entry(name, entry, path) for name, entry in values.items()}
    try:
        for name, group in releases.items():
            table |= {asset.name: asset for asset in _members(name, group, path)}
    except (AttributeError, KeyError, TypeError) as error:
        raise FacecloakError(
            f"{path}: each of `releases` needs prefix, parameters (name → number) and what an entry has ({error})."
        ) from None
    return table


def _entry(name: str, values: Any, path: Path) -> Asset:
    if not isinstance(values, dict):
        raise FacecloakError(f"{path}: {name} must be a mapping.")
    asset = parse_settings(Asset, {"name": name, **values}, name=f"{path}, {name}")
    ways = [asset.files, asset.hub, asset.drive, asset.release, asset.package, asset.by_hand]
    if sum(map(bool, ways)) != 1:
        raise FacecloakError(f"{path}: {name} needs one of files, hub, drive, release, package and by_hand.")
    for file in asset.files:
        if (
            not asset.addresses(file)
            or PurePosixPath(file.path).is_absolute()
            or ".." in PurePosixPath(file.path).parts
        ):
            raise FacecloakError(f"{path}: {name}: each file needs addresses, and a name inside of the asset's folder.")
        if file.sha256 and not re.fullmatch("[0-9a-f]{64}", file.sha256):
            raise FacecloakError(f"{path}: {name}: sha256 of {file.path} must be 64 hexadecimal digits.")
    return asset


def _members(release: str, group: Any, path: Path) -> Iterator[Asset]:
    """The entries of a release whose members differ only in name and number of parameters."""
    common = {key: value for key, value in group.items() if key not in ("prefix", "parameters")}
    for key, parameters in group["parameters"].items():
        entry = {**common, "about": common["about"].format(key), "size": BYTES * parameters, "release": release}
        entry["elsewhere"] = [folder.format(key) for folder in common.get("elsewhere", ())]
        yield _entry(f"{group['prefix']}{key}", entry, path)
