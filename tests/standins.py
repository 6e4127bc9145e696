"""Stand-ins on this machine for what is fetched from the web: a file server, and the hub's."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

BIG = bytes(range(256)) * 8192  # 2 MB


def sha(data: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def archive(kind: str, files: dict[str, bytes]) -> bytes:
    """A zip or tar archive of these files."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as members:
            for name, data in files.items():
                members.writestr(name, data)
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as members:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                members.addfile(member, io.BytesIO(data))
    return out.getvalue()


def fails(*names: str) -> str:
    """The line that fetching these assets ends with."""
    from facecloak.assets import fetch
    from facecloak.errors import FacecloakError

    with pytest.raises(FacecloakError) as caught:
        fetch(names)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@dataclass
class Web:
    """What a server has and does.

    Attributes:
        files: path → content.
        cut: path → number of bytes after which its next answers end; a number is used up by an answer.
        hold: paths whose answers stop in the middle until `release` is set.
        asked: (path, Range header) of every GET that was answered.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    hold: set[str] = field(default_factory=set)
    release: threading.Event = field(default_factory=threading.Event)
    halfway: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def add_model(self, name: str, revision: str, files: dict[str, bytes]) -> None:
        """Serve a model as the hub does: what it holds, and each file at its revision."""
        siblings = [{"rfilename": path, "size": len(data)} for path, data in files.items()]
        about = json.dumps({"id": name, "modelId": name, "sha": revision, "siblings": siblings}).encode()
        for path in (f"/api/models/{name}", f"/api/models/{name}/revision/{revision}"):
            self.files[path] = about
        for path, data in files.items():
            self.files[f"/{name}/resolve/{revision}/{path}"] = data

    def count(self, path: str) -> int:
        """How often a file was asked for."""
        return sum(asked == path for asked, _ in self.asked)


@contextmanager
def serve(**options) -> Iterator[Web]:
    """A server on this machine, until the end of the block."""
    web = Web(**options)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(head=True)

        def do_GET(self) -> None:
            self.answer(head=False)

        def answer(self, head: bool) -> None:
            path, wanted = self.path.partition("?")[0], self.headers.get("Range")
            content = web.files.get(path)
            if content is None:
                self.send_error(404)
                return
            tag = f'"{hashlib.sha256(content).hexdigest()}"'
            if wanted and self.headers.get("If-Range", tag) != tag:
                wanted = None
            start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
            if not head:
                web.asked.append((path, wanted))
            if start >= len(content) > 0:
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", tag)
            if "/resolve/" in path:
                self.send_header("X-Repo-Commit", path.split("/resolve/")[1].split("/")[0])
            if path.startswith("/api/"):
                self.send_header("Content-Type", "application/json")
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if not head:
                self.send(path, content[start:])

        def send(self, path: str, content: bytes) -> None:
            if web.cut.get(path):
                self.wfile.write(content[: web.cut[path].pop(0)])
                self.close_connection = True
                return
            if path in web.hold:
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                web.halfway.set()
                web.release.wait(60)
                content = content[len(content) // 2 :]
            with suppress(BrokenPipeError, ConnectionResetError):  # the client has been killed
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield web
    finally:
        web.release.set()
        server.shutdown()
        server.server_close()


def frbench_release(names: list[str], **preprocessing) -> dict[str, bytes]:
    """What FRBench's release serves: the manifest, and for each recognizer an archive with random weights.

    Args:
        names: ``frbench:BACKBONE_LOSS_DATASET``; the network is the true one, seeded by its name.
        preprocessing: of the configuration's ``input``.
    """
    import os
    import zlib

    import torch
    import yaml

    os.environ["FRBENCH_UPDATE_CHECK"] = "0"
    from frbench.backbones import build_backbone

    manifest, files = {}, {}
    for name in names:
        key = name.removeprefix("frbench:")
        arguments = {"num_features": 512}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(key.encode()))
            network = build_backbone(key.split("_")[0], arguments, torch.device("cpu"))
        weights = io.BytesIO()
        torch.save(network.state_dict(), weights)
        config = {
            "backbone": {"name": key.split("_")[0], "kwargs": arguments},
            "input": {"size": [112, 112], **preprocessing},
        }
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as members:
            for path, data in {
                "config.yaml": yaml.safe_dump(config).encode(),
                "weights.pth": weights.getvalue(),
            }.items():
                member = tarfile.TarInfo(f"{key}/{path}")
                member.size = len(data)
                members.addfile(member, io.BytesIO(data))
        files[f"/{key}.tar.gz"] = out.getvalue()
        manifest[key] = {
            "asset_name": f"{key}.tar.gz", "target_name": key, "sha": hashlib.sha256(out.getvalue()).hexdigest(),
            "size": len(out.getvalue()), "contents": {"config": "config.yaml", "weight": "weights.pth"},
        }  # fmt: skip
    return {"/manifest.json": json.dumps(manifest).encode(), **files}


def insightface_pack(path: str) -> tuple[bytes, Callable]:
    """A zip of insightface's form with a small network, and the embeddings that it should give."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.RandomState(0)
    arrays = {"kernel": random.normal(0, 0.2, (8, 3, 16, 16)), "linear": random.normal(0, 0.3, (512, 8))}
    arrays = {name: values.astype(np.float32) for name, values in arrays.items()}
    nodes = [
        helper.make_node("Conv", ["faces", "kernel"], ["conv"], strides=[16, 16]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "linear"], ["embedding"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["n", 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 512])],
        [numpy_helper.from_array(values, name) for name, values in arrays.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as members:
        members.writestr(path, model.SerializeToString())
        members.writestr(f"{path.rpartition('/')[0]}/det_500m.onnx".lstrip("/"), b"a detector")

    def expected(images: torch.Tensor) -> torch.Tensor:
        kernel, linear = (torch.from_numpy(arrays[name]) for name in ("kernel", "linear"))
        return F.normalize(F.conv2d(images, kernel, stride=16).relu().mean((2, 3)) @ linear.T, dim=1)

    return out.getvalue(), expected
