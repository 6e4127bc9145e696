"""Models of the Hugging Face hub: the files of a pipeline or a model, at one revision, by huggingface_hub."""

from __future__ import annotations

import os
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from facecloak.assets.store import DISK, link_or_copy, trust, trusted
from facecloak.assets.table import Asset
from facecloak.errors import FacecloakError
from facecloak.io import file_name, sha256

KEPT = ("*.json", "*.txt", "*.safetensors", "*.model")
LEFT = ("*.fp16.*", "*.bf16.*", "*non_ema*", "*.index.fp16.json", "safety_checker/*", "feature_extractor/*", "onnx/*")


def fetch_model(asset: Asset, downloads: Path, work: Path) -> tuple[str, str, Path]:
    """Fetch a model into ``work``, from the first of its ids that answers.

    The revision is recorded at the first fetch and asked for ever after. Weights must have the recorded hashes,
    whichever id they come from; a kill loses no file that has arrived.

    Returns:
        address, revision, and the folder of the downloads, which the caller removes once ``work`` is in its place.

    Raises:
        FacecloakError: no id has it, or its weights are not those that were recorded.
    """
    faults = []
    for model in asset.hub:
        try:
            folder = downloads / file_name(model)
            return f"https://huggingface.co/{model}", _fetch(asset, model, folder, work), folder
        except FacecloakError:
            raise
        except Exception as error:  # of huggingface_hub, its HTTP library and the file system's cache of it
            if isinstance(error, OSError) and error.errno in DISK:
                raise
            faults.append(f"{model}: {' '.join(str(error).split())[:160] or type(error).__name__}")
    raise FacecloakError(f"{asset.name} cannot be fetched from the hub: {'; '.join(faults)}.")


def _fetch(asset: Asset, model: str, folder: Path, work: Path) -> str:
    from huggingface_hub import HfApi, hf_hub_download

    endpoint = os.environ.get("HF_ENDPOINT")
    known = trusted().get(asset.name, {})
    info = HfApi(endpoint=endpoint).model_info(model, revision=known.get(model), files_metadata=True)
    hashes = {}
    for file in _chosen(info.siblings):
        path = hf_hub_download(model, file, revision=info.sha, local_dir=folder, endpoint=endpoint)
        (work / file).parent.mkdir(parents=True, exist_ok=True)
        if file.endswith(".safetensors"):
            hashes[file] = sha256(path)
            if known.get(file, hashes[file]) != hashes[file]:
                shutil.rmtree(folder)
                raise FacecloakError(f"{asset.name}: {file} of {model} is not the file that was recorded at the first "
                                     "fetch.")  # fmt: skip
        link_or_copy(Path(path), work / file)
    if not hashes:
        raise FacecloakError(f"{asset.name}: {model} has no safetensors weights, the only ones that are loaded.")
    trust(asset.name, {model: info.sha, **hashes})
    return info.sha


def _chosen(siblings: list[Any]) -> list[str]:
    """The files that are loaded: no second precision, no checkpoint beside a pipeline's parts."""
    names = [sibling.rfilename for sibling in siblings]
    kept = [
        name
        for name in names
        if any(fnmatch(name, pattern) for pattern in KEPT) and not any(fnmatch(name, pattern) for pattern in LEFT)
    ]
    if any("/" in name and name.endswith(".safetensors") for name in kept):  # a pipeline with a folder for each part
        kept = [name for name in kept if "/" in name or not name.endswith(".safetensors")]
    return kept
