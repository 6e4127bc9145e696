"""The pool: which recognizers there are, where their weights are, and how one is loaded."""

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

from facecloak.errors import FacecloakError
from facecloak.io import pocket_dir, sha256, shared_dir
from facecloak.recognizers.base import Recognizer
from facecloak.recognizers.dlib_resnet import DLIB, dlib_file, load_dlib
from facecloak.recognizers.onnx import load_onnx, read_sidecar
from facecloak.registry import Registry, import_entry, unknown_name


class Checkpoint(NamedTuple):
    """A PyTorch checkpoint or safetensors file; the network takes RGB, (v - 127.5) / `std` for v in 0..255.

    Attributes:
        network: the function that makes the network (N×3×S×S → N×D), or ``"package.module:function"``.
        file: name of the weights' file in a weight folder, or its absolute path.
        source: where the file comes from, for whoever lacks it.
        input_size: S, in pixels.
        sha256: of the file, where it is known.
    """

    network: str | Callable[[], nn.Module]
    file: str
    source: str
    input_size: int
    std: float = 127.5
    sha256: str | None = None


AMT_GAN = "assets.zip on Google Drive, linked from https://github.com/CGCL-codes/AMT-GAN"
FACENET_PYTORCH = "https://github.com/timesler/facenet-pytorch/releases/tag/v2.2.9"

POCKET = "`python -m facecloak.pocket.train`"

_PACKAGE = "facecloak.recognizers"
POOL = {
    "ir152": Checkpoint(f"{_PACKAGE}.irse:ir152", "ir152.pth", AMT_GAN, 112),
    "irse50": Checkpoint(f"{_PACKAGE}.irse:irse50", "irse50.pth", AMT_GAN, 112),
    "facenet": Checkpoint(f"{_PACKAGE}.facenet:vggface2", "facenet.pth", AMT_GAN, 160),
    "mobile_face": Checkpoint(f"{_PACKAGE}.mobile_face:mobile_face", "mobile_face.pth", AMT_GAN, 112),
    "facenet_vggface2": Checkpoint(
        f"{_PACKAGE}.facenet:vggface2", "20180402-114759-vggface2.pt", FACENET_PYTORCH, 160, std=128.0
    ),
    "facenet_casia": Checkpoint(
        f"{_PACKAGE}.facenet:casia", "20180408-102900-casia-webface.pt", FACENET_PYTORCH, 160, std=128.0
    ),
} | {
    f"pocket_{name}": Checkpoint(f"facecloak.pocket.recognizers:{name}", f"pocket_{name}.safetensors", POCKET, 64)
    for name in ("ir", "irse", "mobile", "inception", "dense")
}
CHECKPOINTS = Registry("recognizer", {name: str(checkpoint.network) for name, checkpoint in POOL.items()})


class Entry(NamedTuple):
    """A row of `facecloak list`: `kind` is checkpoint, package or onnx, `where` the file or how to get it."""

    name: str
    kind: str
    present: bool
    where: str


def register_recognizer(name: str, checkpoint: Checkpoint) -> None:
    """Make a network with its weights a recognizer by name, in this process.

    An installed package does it by the entry point group ``facecloak.recognizers``, whose entries are `Checkpoint`s.

    Raises:
        FacecloakError: the name is another recognizer's or is not a plain one, or it is not a checkpoint.

    Example:
        >>> from facecloak.pocket.recognizers import ir
        >>> from facecloak.recognizers import Checkpoint
        >>> register_recognizer("mine", Checkpoint(ir, "/weights/mine.safetensors", "example.org", input_size=64))
        >>> "mine" in [entry.name for entry in list_recognizers()]
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


def weight_folders() -> list[Path]:
    """Where weights are looked for, in this order; the first is where the user puts them.

    $FACECLOAK_WEIGHTS (one folder, or several as in $PATH; default ``~/.cache/facecloak/weights``), then
    ``weights`` in the shared folder, then those of the pocket suite, which come with the package.
    """
    listed = os.environ.get("FACECLOAK_WEIGHTS") or "~/.cache/facecloak/weights"
    own = [Path(folder).expanduser() for folder in listed.split(os.pathsep) if folder]
    return [*own, shared_dir() / "weights", pocket_dir() / "recognizers"]


def weights_file(name: str) -> Path:
    """The file with a recognizer's weights.

    Raises:
        FacecloakError: an unknown name, or a missing file: which one, from where, to which folder.
    """
    _register_outside()
    if name == DLIB:
        return dlib_file()
    if name in POOL:
        file, source, folders = POOL[name].file, POOL[name].source, weight_folders()
    else:
        sidecar = _sidecar_file(name)
        file, folders = read_sidecar(sidecar).path.name, [sidecar.parent]
        source = f"where {sidecar} came from"
    for folder in folders:
        if (folder / file).is_file():
            return folder / file
    home = folders[-1] if source == POCKET else folders[0]
    raise FacecloakError(f"Recognizer {name!r} needs {file}: get it from {source}, and put it into {home}.")


def load_recognizer(name: str, differentiable: bool = False, device: str | torch.device = "cpu") -> Recognizer:
    """Load a recognizer, as a surrogate or as a black box (for a PyTorch checkpoint both are the same).

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
    file = weights_file(name)
    if name == DLIB:
        return load_dlib(differentiable).to(device)
    if name not in POOL:
        return load_onnx(read_sidecar(_sidecar_file(name)), differentiable).to(device)
    checkpoint, found = POOL[name], sha256(file)
    if checkpoint.sha256 not in (None, found):
        raise FacecloakError(
            f"{file}: SHA-256 is {found}, expected {checkpoint.sha256}; get it again from {checkpoint.source}."
        )
    with torch.random.fork_rng(devices=[]):  # the initial values drawn here must not move the run's seed
        network = CHECKPOINTS[name]()
    load_weights(network, file)
    return Recognizer(network, name, checkpoint.input_size, found, std=checkpoint.std).to(device)


def list_recognizers() -> list[Entry]:
    """Every known recognizer, present or not. A broken sidecar is listed with a description of what is wrong.

    Example:
        >>> [entry.name for entry in list_recognizers() if entry.name.startswith("pocket")]
        ['pocket_ir', 'pocket_irse', 'pocket_mobile', 'pocket_inception', 'pocket_dense']
    """
    _register_outside()
    kinds = {**dict.fromkeys(POOL, "checkpoint"), DLIB: "package", **dict.fromkeys(_sidecar_files(), "onnx")}
    entries = []
    for name, kind in kinds.items():
        try:
            entries.append(Entry(name, kind, True, str(weights_file(name))))
        except FacecloakError as error:
            entries.append(Entry(name, kind, False, str(error)))
    return entries


def _sidecar_files() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in weight_folders():
        for file in sorted(folder.glob("*.json")):
            if file.stem in (*POOL, DLIB):
                raise FacecloakError(f"{file}: {file.stem!r} is a built-in recognizer; rename the sidecar.")
            found.setdefault(file.stem, file)
    return found


def _sidecar_file(name: str) -> Path:
    files = _sidecar_files()
    if name not in files:
        raise unknown_name("recognizer", name, [*POOL, DLIB, *files])
    return files[name]


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
