"""Recognizers that are PyTorch checkpoints: the literature's, those of pocket, and those of other packages."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from facecloak.assets import asset_folder, is_here
from facecloak.config import ADAPTED
from facecloak.errors import FacecloakError
from facecloak.io import cache_dir, pocket_dir, sha256, shared_dir
from facecloak.recognizers.base import Recognizer
from facecloak.registry import Registry, import_entry


class Checkpoint(NamedTuple):
    """A PyTorch checkpoint or safetensors file; the network takes RGB, (v - 127.5) / `std` for v in 0..255.

    Attributes:
        network: the function that makes the network (N×3×S×S → N×D), or ``"package.module:function"``.
        file: name of the weights' file in a weight folder, or its absolute path.
        source: where the file comes from, for whoever lacks it.
        input_size: S, in pixels.
        sha256: of the file, where it is known.
        asset: name of the asset that the file is in, if it can be fetched (see `facecloak.assets`).
        licence: in one phrase; that of the asset, where there is one.
    """

    network: str | Callable[[], nn.Module]
    file: str
    source: str
    input_size: int
    std: float = 127.5
    sha256: str | None = None
    asset: str | None = None
    licence: str = "not stated"


AMT_GAN = "assets.zip on Google Drive, linked from https://github.com/CGCL-codes/AMT-GAN"
FACENET_PYTORCH = "https://github.com/timesler/facenet-pytorch/releases/tag/v2.2.9"
POCKET = "`python -m facecloak.pocket.train`"

_PACKAGE = "facecloak.recognizers"
POOL = {
    "ir152": Checkpoint(f"{_PACKAGE}.irse:ir152", "ir152.pth", AMT_GAN, 112, asset="amt_gan"),
    "irse50": Checkpoint(f"{_PACKAGE}.irse:irse50", "irse50.pth", AMT_GAN, 112, asset="amt_gan"),
    "facenet": Checkpoint(f"{_PACKAGE}.facenet:vggface2", "facenet.pth", AMT_GAN, 160, asset="amt_gan"),
    "mobile_face": Checkpoint(f"{_PACKAGE}.mobile_face:mobile_face", "mobile_face.pth", AMT_GAN, 112, asset="amt_gan"),
    "facenet_vggface2": Checkpoint(
        f"{_PACKAGE}.facenet:vggface2", "20180402-114759-vggface2.pt", FACENET_PYTORCH, 160, std=128.0,
        asset="facenet_vggface2",
    ),
    "facenet_casia": Checkpoint(
        f"{_PACKAGE}.facenet:casia", "20180408-102900-casia-webface.pt", FACENET_PYTORCH, 160, std=128.0,
        asset="facenet_casia",
    ),
} | {
    f"pocket_{name}{kind}": Checkpoint(
        f"facecloak.pocket.recognizers:{name}", f"pocket_{name}{kind}.safetensors", POCKET, 64,
        licence="Apache-2.0, part of this project",
    )
    for kind in ("", ADAPTED)
    for name in ("ir", "irse", "mobile", "inception", "dense")
}  # fmt: skip
CHECKPOINTS = Registry("recognizer", {name: str(checkpoint.network) for name, checkpoint in POOL.items()})


def register_recognizer(name: str, checkpoint: Checkpoint) -> None:
    """Make a network with its weights a recognizer by name, in this process.

    An installed package does it by the entry point group ``facecloak.recognizers``, whose entries are `Checkpoint`s.

    Raises:
        FacecloakError: the name is another recognizer's or is not a plain one, or it is not a checkpoint.

    Example:
        >>> from facecloak.pocket.recognizers import ir
        >>> from facecloak.recognizers import Checkpoint
        >>> register_recognizer("mine", Checkpoint(ir, "/weights/mine.safetensors", "example.org", input_size=64))
        >>> "mine" in Checkpoints().names()
        True
    """
    if not isinstance(checkpoint, Checkpoint):
        raise FacecloakError(f"recognizer {name!r}: {checkpoint!r:.80} is not a facecloak.recognizers.Checkpoint.")
    if POOL.get(name) == checkpoint:
        return
    if name in POOL:
        raise FacecloakError(f"There is a recognizer named {name!r} already: {POOL[name].network!r:.80}.")
    network = import_entry(checkpoint.network) if isinstance(checkpoint.network, str) else checkpoint.network
    CHECKPOINTS.register(name, network)
    POOL[name] = checkpoint


@cache
def _register_outside() -> None:
    """Register the recognizers of other packages, once, and only when recognizers are asked for."""
    for entry in entry_points(group="facecloak.recognizers"):
        try:
            checkpoint = entry.load()
        except (ImportError, AttributeError) as error:
            raise FacecloakError(f"Recognizer {entry.name!r}: cannot import {entry.value} ({error}).") from None
        register_recognizer(entry.name, checkpoint)


class Checkpoints:
    """The family of the recognizers that are PyTorch checkpoints."""

    kind = "checkpoint"

    def names(self) -> list[str]:
        """Names of the recognizers."""
        _register_outside()
        return [*POOL]

    def asset(self, name: str) -> str | None:
        """The asset that the weights are in, unless they are in a weight folder."""
        return None if self._in_folders(name) else POOL[name].asset

    def licence(self, name: str) -> str:
        """Licence of the weights, in one phrase."""
        return POOL[name].licence

    def file(self, name: str) -> Path:
        """The file of the weights; `FacecloakError` if it is missing: which one, from where, to which folder."""
        checkpoint = POOL[name]
        if found := self._in_folders(name):
            return found
        if checkpoint.asset and is_here(checkpoint.asset):
            return next(asset_folder(checkpoint.asset).rglob(checkpoint.file))
        folders = weight_folders()
        home = folders[-1] if checkpoint.source == POCKET else folders[0]
        fetch = f"run `facecloak fetch {checkpoint.asset}`, or " if checkpoint.asset else ""
        raise FacecloakError(
            f"Recognizer {name!r} needs {checkpoint.file}: {fetch}get it from {checkpoint.source}, and put it into "
            f"{home}."
        )

    def load(self, name: str, differentiable: bool) -> Recognizer:
        """The recognizer; as a black box and as a surrogate it is the same."""
        checkpoint, file = POOL[name], self.file(name)
        found = sha256(file)
        if checkpoint.sha256 not in (None, found):
            raise FacecloakError(
                f"{file}: SHA-256 is {found}, expected {checkpoint.sha256}; get it again from {checkpoint.source}."
            )
        with torch.random.fork_rng(devices=[]):  # the initial values drawn here must not move the run's seed
            network = CHECKPOINTS[name]()
        load_weights(network, file)
        return Recognizer(network, name, checkpoint.input_size, found, std=checkpoint.std)

    def _in_folders(self, name: str) -> Path | None:
        files = (folder / POOL[name].file for folder in weight_folders())
        return next((file for file in files if file.is_file()), None)


def weight_folders() -> list[Path]:
    """Where weights are looked for, in this order; the first is where the user puts them.

    $FACECLOAK_WEIGHTS (one folder, or several as in $PATH; default ``weights`` in the cache), then
    ``weights`` in the shared folder, then those of the pocket suite, which come with the package.
    """
    listed = os.environ.get("FACECLOAK_WEIGHTS") or str(cache_dir() / "weights")
    own = [Path(folder).expanduser() for folder in listed.split(os.pathsep) if folder]
    return [*own, shared_dir() / "weights", pocket_dir() / "recognizers"]


def load_weights(network: nn.Module, file: Path) -> None:
    """Fill a network from a checkpoint or safetensors file, which must fit it exactly; else `FacecloakError`."""
    state = _read_state(file)
    expected = network.state_dict()
    # counters that files written before PyTorch 0.4.1 lack, and that eval mode does not read
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in expected]
    misshapen = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    wrong = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    if any(wrong.values()):
        parts = [
            f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
            for what, keys in wrong.items()
            if keys
        ]
        raise FacecloakError(f"{file}: the weights of another network: {'; '.join(parts)}.")
    network.load_state_dict(state, strict=False)


def _read_state(file: Path) -> dict[str, torch.Tensor]:
    try:
        if file.suffix == ".safetensors":
            return {name: value.float() for name, value in load_file(file).items()}
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FacecloakError(f"{file}: damaged, or not a PyTorch checkpoint: {reason}") from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise FacecloakError(f"{file}: holds no state dict.")
    return {key.removeprefix("module."): value for key, value in state.items()}
