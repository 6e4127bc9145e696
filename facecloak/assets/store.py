"""Where fetched assets are kept, whether they are complete, and what they are: hash, revision, licence."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock

from facecloak.assets.table import Asset, find_asset
from facecloak.errors import FacecloakError
from facecloak.io import cache_dir, file_name, read_json, sha256, sha256_json, write_json

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)  # no other address helps against these
RECORD = ".asset.json"  # in the folder of a fetched asset: written last, so that a folder with it is complete
FORGED = "Delete the folder and fetch it again, if you do not know why it has changed."
_verified: set[tuple[str, str]] = set()  # of this process


def folder_of(asset: Asset) -> Path:
    """The folder that an asset is fetched to."""
    return cache_dir() / "assets" / file_name(re.sub("[:/]", "--", asset.name))


def find_folder(asset: Asset) -> Path | None:
    """The folder with the complete asset: fetched, put there by hand, or kept by another program; or None."""
    if asset.module:  # not imported, only found
        spec = find_spec(asset.module)
        return Path(spec.origin).parent if spec is not None and spec.origin else None
    own = folder_of(asset)
    if (own / RECORD).is_file() or (asset.by_hand and _holds(asset, own)):
        return own
    return next((folder for folder in _elsewhere(asset) if _holds(asset, folder)), None)


def is_here(name: str) -> bool:
    """Whether an asset is complete on this machine, or its package installed.

    Example:
        >>> is_here("celeba_hq_groups")
        False
    """
    return find_folder(find_asset(name)) is not None


def asset_folder(name: str) -> Path:
    """The folder of a complete asset, whose files are those that were there when it was fetched or first used.

    Raises:
        FacecloakError: it is not here, and how to get it; or a file has changed.
    """
    asset = find_asset(name)
    folder = find_folder(asset)
    if folder is None:
        raise FacecloakError(f"{how_to_get(asset)}.")
    _verify(asset, folder)
    return folder


def state(name: str) -> str:
    """Whether an asset is here, in words: ``here``, ``can be fetched (15 MB)``, or how to get it by hand.

    Example:
        >>> state("celeba_hq_groups")[:8]
        'by hand:'
    """
    asset = find_asset(name)
    if find_folder(asset) is not None:
        return "here"
    if asset.fetchable:
        return f"can be fetched ({asset.size_text})"
    return f"pip install '{asset.package}'" if asset.package else f"by hand: {asset.by_hand}, into {folder_of(asset)}"


def how_to_get(asset: Asset) -> str:
    """A sentence about an asset that is not here, without its full stop."""
    if asset.by_hand:
        return f"{asset.name}: get by hand {asset.by_hand}; put it into {folder_of(asset)}"
    if asset.package:
        return f"{asset.name} needs a package: pip install '{asset.package}'"
    return f"{asset.name} ({asset.size_text}) is not here: facecloak fetch {asset.name}"


def provenance(name: str) -> dict[str, Any]:
    """What results say about an asset that they used: name, revision, sha256 of its files, licence and cite.

    Raises:
        FacecloakError: it is not here, or has changed.
    """
    asset, folder = find_asset(name), asset_folder(name)
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    digest = None if asset.package else record.get("sha256") or _trusted(asset, folder)
    return {
        "name": name, "revision": record.get("revision"), "sha256": digest, "licence": asset.licence,
        "cite": asset.cite,
    }  # fmt: skip


def write_record(asset: Asset, folder: Path, address: str, revision: str | None) -> None:
    """Make a folder a complete asset: write down what is in it."""
    files = listing(folder)
    record = {"name": asset.name, "address": address, "revision": revision, "licence": asset.licence,
              "sha256": sha256_json(files), "files": files}  # fmt: skip
    write_json(folder / RECORD, record)


def listing(folder: Path, patterns: Sequence[str] = ("**/*",)) -> list[list[Any]]:
    """[path, bytes, SHA-256] of every file that the patterns mean, sorted by path."""
    # the time of the last change, not of the content, which an archive sets
    return [[path, file.stat().st_size, _hash(str(file), file.stat().st_size, file.stat().st_ctime_ns)]
            for path, file in _files(folder, patterns)]  # fmt: skip


def trusted() -> dict[str, Any]:
    """What was recorded at first use: asset → file → SHA-256, where nobody has published one."""
    return read_json(_ledger()) if _ledger().is_file() else {}


def trust(name: str, hashes: dict[str, str]) -> None:
    """Record hashes at first use."""
    try:
        _ledger().parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_ledger().with_suffix(".lock")):
            known = trusted()
            write_json(_ledger(), known | {name: known.get(name, {}) | hashes})
    except OSError as error:
        raise disk_error(error) from None


def disk_error(error: OSError) -> FacecloakError:
    """What to do when the cache cannot be written."""
    return FacecloakError(
        f"{error.filename or cache_dir()}: {error.strerror or error}. Assets are kept in {cache_dir()}; set "
        "$FACECLOAK_CACHE to a folder with space that can be written."
    )


def link_or_copy(file: Path, to: Path) -> None:
    """The file at another place too, without a second copy on the disk where that is possible."""
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


def _ledger() -> Path:
    return cache_dir() / "trusted.json"


def _elsewhere(asset: Asset) -> Iterator[Path]:
    """Folders of other programs that may hold an asset; a text with a variable that is not set names none."""
    for text in asset.elsewhere:
        folder = os.path.expanduser(os.path.expandvars(text))
        if "$" not in folder:
            yield Path(folder)


def _holds(asset: Asset, folder: Path) -> bool:
    return folder.is_dir() and all(next(folder.glob(pattern), None) for pattern in asset.holds or ["*"])


def _files(folder: Path, patterns: Sequence[str]) -> list[tuple[str, Path]]:
    """The files that patterns mean: ``data/*.png`` all that is in ``data``, ``**/net`` only what matches."""
    places = {pattern.partition("/")[0] for pattern in patterns if not set("*?[") & set(pattern.partition("/")[0])}
    globs = [pattern for pattern in patterns if pattern.partition("/")[0] not in places]
    found = {path for place in places for path in ((folder / place).rglob("*"))}
    found |= {folder / place for place in places} | {path for pattern in globs for path in folder.glob(pattern)}
    return sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in found
        if path.is_file() and not path.name.startswith(".")
    )


@cache
def _hash(file: str, _size: int, _changed: int) -> str:
    """A file's hash, computed once per process unless the file changes."""
    return sha256(file)


def _verify(asset: Asset, folder: Path) -> None:
    """Raise an error if the files are not those that were recorded; once per process, since it reads all of them."""
    if (asset.name, str(folder)) in _verified or asset.package:  # files of a package change with its version
        return
    if (folder / RECORD).is_file():
        found = {path: rest for path, *rest in listing(folder)}
        for path, *rest in read_json(folder / RECORD)["files"]:
            if found.get(path) != rest:
                what = "is missing" if path not in found else "is not the file that was fetched"
                raise FacecloakError(f"{folder / path} {what} (asset {asset.name}). {FORGED}")
    else:
        _trusted(asset, folder)
    _verified.add((asset.name, str(folder)))


def _trusted(asset: Asset, folder: Path) -> str:
    """The hash of a folder that was not fetched by this program; the first time, it is recorded.

    Only of what the asset should hold: other programs keep more in their folders.
    """
    found = sha256_json(listing(folder, asset.holds or ["**/*"]))
    known = trusted().get(asset.name, {}).get(str(folder))
    if known is None:
        trust(asset.name, {str(folder): found})
    elif found != known:
        raise FacecloakError(
            f"{folder} has changed since its first use (asset {asset.name}). To trust it again, remove {asset.name!r} "
            f"from {_ledger()}."
        )
    return found
