"""Any ONNX recognizer, described by a JSON sidecar: a black box of insightface, or a differentiable copy."""

from __future__ import annotations

import logging
import re
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from facecloak.errors import FacecloakError
from facecloak.io import read_json, sha256
from facecloak.recognizers.base import Recognizer

if TYPE_CHECKING:
    import onnxruntime

TOLERANCE = 1e-4  # between the embeddings of a black box and of its surrogate

FIELDS = {
    "name": (str,),
    "file": (str,),
    "sha256": (str,),
    "input_size": (int,),
    "mean": (int, float),
    "std": (int, float),
    "color": (str,),
    "embedding_dim": (int,),
    "licence": (str,),
}


@dataclass(frozen=True)
class Sidecar:
    """The description of an ONNX file: N×3×S×S in, N×`embedding_dim` out.

    The graph is fed (v - mean) / std for v in 0..255, in BGR if `bgr`.
    """

    path: Path
    name: str
    sha256: str
    input_size: int
    mean: float
    std: float
    bgr: bool
    embedding_dim: int
    licence: str


def read_sidecar(path: Path) -> Sidecar:
    """Read and check a sidecar; the ONNX file, which may be missing, is expected beside it.

    Raises:
        FacecloakError: the JSON is damaged, or a field is missing or not what it should be.
    """
    values = read_json(path)
    if not isinstance(values, dict) or (missing := [field for field in FIELDS if field not in values]):
        what = f"the fields {', '.join(missing)} are missing" if isinstance(values, dict) else "not a mapping"
        raise FacecloakError(f"{path}: not a recognizer's sidecar: {what}.")
    for field, types in FIELDS.items():
        if type(values[field]) not in types:
            names = " or ".join(kind.__name__ for kind in types)
            raise FacecloakError(f"{path}: {field} must be {names}, got {values[field]!r}.")
    rules = {
        "name": (values["name"] == path.stem, f"the file's own name, {path.stem}"),
        "file": (Path(values["file"]).name == values["file"], "a file name without a folder"),
        "sha256": (re.fullmatch("[0-9a-f]{64}", values["sha256"]), "64 hexadecimal digits"),
        "input_size": (values["input_size"] > 0, "positive"),
        "std": (values["std"] > 0, "positive"),
        "color": (values["color"] in ("RGB", "BGR"), "RGB or BGR"),
        "embedding_dim": (values["embedding_dim"] > 0, "positive"),
    }
    for field, (holds, rule) in rules.items():
        if not holds:
            raise FacecloakError(f"{path}: {field} must be {rule}, got {values[field]!r}.")
    kept = {field: values[field] for field in FIELDS if field not in ("file", "color")}
    return Sidecar(path=path.parent / values["file"], bgr=values["color"] == "BGR", **kept)


def load_onnx(sidecar: Sidecar, differentiable: bool) -> Recognizer:
    """Load an ONNX recognizer, as a surrogate (onnx2torch) or as a black box (insightface, on the device of its input).

    Raises:
        FacecloakError: the file is not the one that the sidecar describes, or its surrogate differs from it.
    """
    found = sha256(sidecar.path)
    if found != sidecar.sha256:
        raise FacecloakError(f"{sidecar.path}: SHA-256 is {found}, expected {sidecar.sha256}; get the file again.")
    size = (2, 3, sidecar.input_size, sidecar.input_size)
    faces = torch.rand(size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    try:
        black_box = _recognizer(sidecar, differentiable=False)
        recognizer = _recognizer(sidecar, differentiable=True) if differentiable else black_box
        expected, embeddings = black_box(faces), recognizer(faces)
    except FacecloakError:
        raise
    except Exception as error:  # three libraries, each with exceptions of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FacecloakError(f"{sidecar.path}: cannot be run as its sidecar says: {reason}") from error
    if embeddings.shape != (2, sidecar.embedding_dim):
        raise FacecloakError(
            f"{sidecar.path}: two faces give an array of shape {tuple(embeddings.shape)}, "
            f"but the sidecar's embedding_dim is {sidecar.embedding_dim}."
        )
    difference = (embeddings - expected).abs().max().item()
    if not difference <= TOLERANCE:  # so that NaN fails too
        raise FacecloakError(
            f"{sidecar.path}: cannot be a surrogate: the copy by onnx2torch is off by {difference:.1e}."
        )
    return recognizer


def _recognizer(sidecar: Sidecar, differentiable: bool) -> Recognizer:
    import onnx

    graph = onnx.load(sidecar.path)
    if differentiable:
        from onnx2torch import convert  # takes seconds to import; a run without surrogates does without it

        network, norm = _Converted(convert(graph)), (sidecar.mean, sidecar.std)
    else:
        network, norm = _BlackBox(sidecar), (0.0, 1.0)  # it is fed 0..255
    if graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1:  # an open length reads as 0
        network = _OneByOne(network)
    return Recognizer(network, sidecar.name, sidecar.input_size, sidecar.sha256, *norm, sidecar.bgr, differentiable)


class _Converted(nn.Module):
    """onnx2torch's copy, without torch's warning about how it slices: load_onnx compares the results."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using a non-tuple sequence", module="onnx2torch")
            return self.network(pixels)


class _BlackBox(nn.Module):
    """insightface's model over an onnxruntime session: 0..255 in, which it normalises itself.

    It computes on the device of its input, like any module moved there, in a session for each kind of device.
    """

    def __init__(self, sidecar: Sidecar) -> None:
        super().__init__()
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX

        self.path, self.sessions = sidecar.path, {"cpu": _session(sidecar.path, "cpu")}
        session = self.sessions["cpu"]
        self.model = ArcFaceONNX(str(sidecar.path), session)
        # insightface guesses them from the names of the first nodes, and guesses wrong for a graph that
        # normalises its own input
        self.model.input_mean, self.model.input_std = sidecar.mean, sidecar.std
        probe = np.full((1, 3, sidecar.input_size, sidecar.input_size), 200, dtype=np.float32)
        normalised = (probe - sidecar.mean) / sidecar.std
        expected = session.run(None, {self.model.input_name: normalised})[0]
        if not np.array_equal(self.model.forward(probe), expected):
            raise FacecloakError(
                f"{sidecar.path}: insightface does not apply the sidecar's mean {sidecar.mean} and "
                f"std {sidecar.std}; this version of it is not supported."
            )

    def forward(self, pixels: Tensor) -> Tensor:
        kind = pixels.device.type
        if kind not in self.sessions:
            self.sessions[kind] = _session(self.path, kind)
        self.model.session = self.sessions[kind]
        return torch.from_numpy(self.model.forward(pixels.detach().cpu().numpy())).to(pixels)


def _session(path: Path, kind: str) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=_providers(kind))
    if kind == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        _say_once("onnxruntime cannot use CUDA here: ONNX black boxes run on the CPU. onnxruntime-gpu is faster.")
    return session


def _providers(kind: str) -> list[str | tuple[str, dict[str, str]]]:
    """What onnxruntime is to compute with for tensors of a kind of device (``cpu``, ``cuda``), best first."""
    import onnxruntime

    if kind == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        # tf32 would be off by 1e-3
        return [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]


@cache
def _say_once(text: str) -> None:
    logging.getLogger(__name__).warning(text)


class _OneByOne(nn.Module):
    """A graph exported for one face at a time, fed a batch."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.cat([self.network(face) for face in pixels.split(1)])
