"""Model folders: where a setting such as ``backbone`` leads, and the hash of what is there."""

from __future__ import annotations

from pathlib import Path

from facecloak.assets.fetch import fetch
from facecloak.assets.store import asset_folder
from facecloak.assets.table import HUB
from facecloak.errors import FacecloakError
from facecloak.io import asset_of, expand, sha256, sha256_json


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
