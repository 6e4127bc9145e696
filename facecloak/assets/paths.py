"""Where a path of a suite or a setting leads: variables, assets, model folders, and the hash of a model."""

from __future__ import annotations

import os
import re
from pathlib import Path

from facecloak.assets.fetch import fetch
from facecloak.assets.store import asset_folder
from facecloak.assets.table import HUB
from facecloak.errors import FacecloakError
from facecloak.io import data_dir, pocket_dir, sha256, sha256_json, shared_dir

ASSET = "asset:"  # how a path in an asset begins


def expand(path: str | Path) -> Path:
    """Replace ``$FACECLOAK_SHARED``, ``_DATA`` and ``_POCKET`` (with their defaults), others, and ``~``.

    Variables may be in braces. The home of an unknown user (``~nobody``) is not replaced. ``asset:NAME/more`` is in the
    folder of an asset, which must be here.
    """
    if name := asset_of(path):
        return asset_folder(name) / str(path).removeprefix(f"{ASSET}{name}").lstrip("/")
    folders = {"SHARED": shared_dir, "DATA": data_dir, "POCKET": pocket_dir}
    names = "|".join(folders)
    text = re.sub(
        rf"\$(?:FACECLOAK_({names})(?![A-Za-z0-9_])|{{FACECLOAK_({names})}})",
        lambda found: str(folders[found[1] or found[2]]()),
        str(path),
    )
    return Path(os.path.expanduser(os.path.expandvars(text)))


def asset_of(path: str | Path) -> str | None:
    """The name of the asset that a path is in (``asset:NAME/more``), or None."""
    text = str(path)
    return text.removeprefix(ASSET).partition("/")[0] if text.startswith(ASSET) else None


def model_asset(name: str) -> str | None:
    """The asset that a setting names: ``asset:NAME``, or a hub id (``owner/name``); None if it is a folder.

    Example:
        >>> model_asset("owner/name")
        'hub:owner/name'
    """
    if asset := asset_of(name):
        return asset
    is_path = name.startswith((".", "/", "~", "$")) or name.count("/") != 1 or expand(name).is_dir()
    return None if is_path else f"{HUB}{name}"


def model_source(name: str, setting: str) -> str:
    """The folder that `from_pretrained` is to load; a model of an asset or of the hub is fetched if it is not here.

    Args:
        name: a folder, an asset (``asset:NAME``), or a hub id (``owner/name``).
        setting: the setting that names it, for the message.

    Raises:
        FacecloakError: the name is a path and there is no such folder, or the model cannot be fetched.
    """
    asset = model_asset(name)
    if asset is None:
        path = expand(name)
        if not path.is_dir():
            raise FacecloakError(f"{path}: no such folder. Set {setting!r} to a model folder, an asset or a hub id.")
        return str(path)
    fetch([asset])
    return str(asset_folder(asset))


def folder_sha256(folder: str | Path) -> str:
    """Hash of a model folder's weights, configurations and tokenizer."""
    folder = Path(folder)
    files = sorted(file for kind in ("safetensors", "json", "txt") for file in folder.rglob(f"*.{kind}"))
    return sha256_json([[str(file.relative_to(folder)), sha256(file)] for file in files])
