"""Fetches assets: says what, how large and under which licence, downloads each once, checks and unpacks it."""

from __future__ import annotations

import logging
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock, Timeout

from facecloak.assets.download import download
from facecloak.assets.hub import fetch_model
from facecloak.assets.store import (
    DISK,
    RECORD,
    asset_folder,
    cache_dir,
    disk_error,
    find_folder,
    folder_of,
    how_to_get,
    link_or_copy,
    trust,
    trusted,
    write_record,
)
from facecloak.assets.table import Asset, RemoteFile, find_asset
from facecloak.errors import FacecloakError
from facecloak.io import printable, read_json, sha256

log = logging.getLogger("facecloak.assets")
DRIVE = "https://drive.google.com/file/d/"
OFFLINE = ("FACECLOAK_OFFLINE", "HF_HUB_OFFLINE")


def fetch(names: Iterable[str]) -> None:
    """Fetch the assets that are not here yet, and check those that are.

    Before the first download a line for each (a warning of the logger ``facecloak.assets``) says how large it is and
    under which licence. Several processes fetch each asset once. What a killed one has downloaded is kept.

    Args:
        names: see `list_assets`; ``hub:OWNER/NAME`` for a model of the hub.

    Raises:
        FacecloakError: an asset must be got by hand, the machine is offline, a file cannot be fetched or has another
            hash than the published or recorded one, or the disk is full.

    Example:
        >>> fetch(["lfw_funneled"])  # doctest: +SKIP
    """
    assets = [find_asset(name) for name in dict.fromkeys(names)]
    lists = [find_asset(asset.release) for asset in assets if asset.release and not find_folder(asset)]
    assets = list({asset.name: asset for asset in [*lists, *assets]}.values())
    if any(find_folder(asset) is None for asset in assets):
        _fetch_missing(assets)
    for asset in assets:
        asset_folder(asset.name)


def is_offline() -> bool:
    """Whether the user forbids connections: $FACECLOAK_OFFLINE or $HF_HUB_OFFLINE is 1."""
    return any(os.environ.get(variable, "").lower() in ("1", "true", "yes", "on") for variable in OFFLINE)


def _fetch_missing(assets: list[Asset]) -> None:
    _refuse([asset for asset in assets if find_folder(asset) is None])
    lock = FileLock(cache_dir() / ".lock")
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("Waiting for another process, which fetches to %s", printable(cache_dir()))
            lock.acquire()
        missing = [asset for asset in assets if find_folder(asset) is None]  # another process may have fetched some
        for asset in missing:
            log.warning(
                "Fetching %s: %s (%s; licence: %s) to %s",
                asset.name, asset.about, asset.size_text, asset.licence, printable(folder_of(asset)),
            )  # fmt: skip
        for asset in missing:
            _fetch_one(asset)
    except OSError as error:
        raise disk_error(error) from None
    finally:
        lock.release()  # nothing, if it was not acquired


def _refuse(missing: list[Asset]) -> None:
    faults = [how_to_get(asset) for asset in missing if not asset.fetchable]
    if is_offline() and (wanted := [asset for asset in missing if asset.fetchable]):
        names, sizes = " ".join(asset.name for asset in wanted), ", ".join(asset.size_text for asset in wanted)
        faults.append(
            f"Not here: {names} ({sizes}), and connections are forbidden (${' or $'.join(OFFLINE)}). Run `facecloak "
            f"fetch {names}` on a machine with network, and copy the folder `assets` of its cache to {cache_dir()}"
        )
    if faults:
        raise FacecloakError(f"{'. '.join(faults)}.")


def _fetch_one(asset: Asset) -> None:
    downloads, work, folder = cache_dir() / "downloads", cache_dir() / "unpacking", folder_of(asset)
    for parent in (downloads, folder.parent):
        parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        raise FacecloakError(f"{folder} is there, but was not fetched as a whole ({RECORD} is missing): move it away.")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    if asset.hub:
        address, revision, used = fetch_model(asset, downloads, work)
    else:
        (address, used), revision = _fetch_files(asset, downloads, work), None
    if missing := [pattern for pattern in asset.holds if not next(work.glob(pattern), None)]:
        raise FacecloakError(f"{asset.name} from {address} lacks {', '.join(missing)}: is it another archive?")
    write_record(asset, work, address, revision)
    os.replace(work, folder)
    for path in [used] if isinstance(used, Path) else used:  # only now: a kill must not lose what has arrived
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _fetch_files(asset: Asset, downloads: Path, work: Path) -> tuple[str, list[Path]]:
    """Fetch an asset's files into ``work``; returns the address of the last one, and the downloads."""
    known, new, used, address = trusted().get(asset.name, {}), {}, [], ""
    for file in _files_of(asset):
        expected = file.sha256 or known.get(file.path)
        if asset.drive:
            path, address = _from_drive(asset, downloads), f"{DRIVE}{asset.drive}"
            if expected not in (None, sha256(path)):
                raise FacecloakError(f"{path}: its SHA-256 is not the one recorded at the first fetch; delete it.")
        else:
            path, address = download(asset.addresses(file), downloads, expected, f"{asset.name} ({file.path})")
        if expected is None:
            new[file.path] = sha256(path)
        if file.unpack:
            _unpack(path, work, asset)
        else:
            (work / file.path).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(path, work / file.path)
        used.append(path)
    if asset.release:
        _flatten(work)
    if new:
        trust(asset.name, new)
    return address, used


def _files_of(asset: Asset) -> list[RemoteFile]:
    if asset.drive:
        return [RemoteFile([DRIVE + asset.drive], name=f"{asset.name}.zip", unpack=True)]
    if not asset.release:
        return asset.files
    release, key = find_asset(asset.release), asset.name.partition(":")[2]
    entries = read_json(asset_folder(asset.release) / "manifest.json")
    try:
        addresses = [f"{base}/{entries[key]['asset_name']}" for base in release.base]
        return [RemoteFile(addresses, sha256=entries[key]["sha"], unpack=True)]
    except (KeyError, TypeError):
        raise FacecloakError(f"{asset.name} is not in the manifest of {asset.release}.") from None


def _from_drive(asset: Asset, downloads: Path) -> Path:
    """The archive from Google Drive, or the one that the user has put there."""
    import gdown

    path = downloads / f"{asset.name}.zip"
    if not path.is_file():
        half = path.with_suffix(".part")
        try:
            gdown.download(id=asset.drive, output=str(half), quiet=True, resume=True)
            os.replace(half, path)
        except Exception as error:  # of gdown, requests, or a page that is not the file
            if isinstance(error, OSError) and error.errno in DISK:
                raise
            reason = " ".join(str(error).split())[:200]
            raise FacecloakError(
                f"{asset.name}: Google Drive does not give it to programs ({reason}). Download {DRIVE}{asset.drive} "
                f"with a browser, save it as {path}, and run the command again."
            ) from None
    return path


def _unpack(archive: Path, work: Path, asset: Asset) -> None:
    """Unpack a zip or tar archive; a member that would leave the folder is refused by the library."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as members:
                members.extractall(work)
        else:
            with tarfile.open(archive) as members:
                members.extractall(work, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        archive.unlink()
        reason = str(error).partition("\n")[0]
        raise FacecloakError(f"{asset.name}: the download is not a whole archive ({reason}); it was deleted.") from None


def _flatten(work: Path) -> None:
    """If all is in a single folder, move it up."""
    inside = [*work.iterdir()]
    if len(inside) == 1 and inside[0].is_dir():
        for path in inside[0].iterdir():
            path.rename(work / path.name)
        inside[0].rmdir()
