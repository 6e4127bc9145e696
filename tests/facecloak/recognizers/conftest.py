"""Stand-ins: seeded weights, and small ONNX recognizers whose output is known from plain torch."""

import json
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

from facecloak.io import sha256, shared_dir

SIDE, DIM = 24, 16


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = shared_dir()
    if not (folder / "golden").is_dir():
        pytest.skip(f"{folder} (FACECLOAK_SHARED) with golden files and weights is not there")
    return folder


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """An empty weight folder, and no other."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(folder))
    for name in ("SHARED", "POCKET"):
        monkeypatch.setenv(f"FACECLOAK_{name}", str(tmp_path / "nothing"))
    return folder


@pytest.fixture(scope="session")
def fill():
    """Fill a network's state in the same way as the networks of the golden files."""

    def fill(network: torch.nn.Module, seed: int = 7) -> torch.nn.Module:
        state = {}
        for name, tensor in network.state_dict().items():
            random = np.random.RandomState((zlib.crc32(name.encode()) ^ seed) & 0xFFFFFFFF)
            shape = tuple(tensor.shape)
            if name.endswith("num_batches_tracked"):
                value = np.zeros(shape)
            elif name.endswith("running_var"):
                value = random.uniform(0.5, 1.5, shape)
            elif name.endswith("running_mean"):
                value = random.normal(0, 0.1, shape)
            elif len(shape) >= 2:
                value = random.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
            elif name.endswith("weight"):
                value = random.uniform(0.2, 1.0, shape)
            else:
                value = random.normal(0, 0.05, shape)
            state[name] = torch.as_tensor(value).to(tensor.dtype)
        network.load_state_dict(state)
        return network

    return fill


@pytest.fixture
def make_onnx(weights):
    """Write an ONNX recognizer and its sidecar; returns its expected output for faces in [-1, 1].

    `decoy` names nodes so that insightface guesses mean 0 and std 1; otherwise it guesses 127.5 and 127.5.
    """

    def make(name, mean, std, inside=False, color="RGB", pool=True, one_face=False, decoy=False, sidecar=None):
        random = np.random.RandomState(zlib.crc32(name.encode()))
        features = 8 if pool else 8 * (SIDE // 2) ** 2
        arrays = {
            "kernel": random.normal(0, 0.3, (8, 3, 3, 3)),
            "offset": random.normal(0, 0.3, 8),
            "linear": random.normal(0, 1 / np.sqrt(features), (DIM, features)),
            "bias": random.normal(0, 0.3, DIM),
            "mean": np.array(mean),
            "gain": np.array(1 / std),
            "zero": np.array(0),
            "one": np.array(1),
        }
        arrays = {key: value.astype(np.float32) for key, value in arrays.items()}
        subtract, multiply = ("mean", "gain") if inside else ("zero", "one")
        title = "" if decoy else "norm_"
        nodes = [
            helper.make_node("Sub", ["faces", subtract], ["centred"], name=f"{title}Sub"),
            helper.make_node("Mul", ["centred", multiply], ["normal"], name=f"{title}Mul"),
            helper.make_node("Conv", ["normal", "kernel", "offset"], ["conv"], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["conv"], ["relu"]),
            helper.make_node("GlobalAveragePool", ["relu"], ["pooled"]),
            helper.make_node("Flatten", ["pooled" if pool else "relu"], ["flat"]),
            helper.make_node("Gemm", ["flat", "linear", "bias"], ["embedding"], transB=1),
        ]
        initial = [numpy_helper.from_array(value, key) for key, value in arrays.items()]
        if one_face:  # a batch of one baked into the graph, as many exporters do
            initial.append(numpy_helper.from_array(np.array([1, features]), "shape"))
            nodes[5] = helper.make_node("Reshape", [nodes[5].input[0], "shape"], ["flat"])
        batch = 1 if one_face else "n"
        graph = helper.make_graph(
            [node for node in nodes if pool or node.op_type != "GlobalAveragePool"],
            name,
            [helper.make_tensor_value_info("faces", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, DIM])],
            initial,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        file = weights / f"{name}.onnx"
        onnx.save(model, file)
        fields = {
            "name": name,
            "file": file.name,
            "sha256": sha256(file),
            "input_size": SIDE,
            "mean": 0.0 if inside else mean,
            "std": 1.0 if inside else std,
            "color": color,
            "embedding_dim": DIM,
            "licence": "none",
        }
        (weights / f"{name}.json").write_text(json.dumps(fields | (sidecar or {})))

        def expected(faces: torch.Tensor) -> torch.Tensor:
            kernel, offset, linear, bias = (
                torch.from_numpy(arrays[key]) for key in ("kernel", "offset", "linear", "bias")
            )
            bytes_ = (F.interpolate(faces, (SIDE, SIDE), mode="bilinear") + 1) * 127.5
            bytes_ = bytes_ if color == "RGB" else bytes_[:, [2, 1, 0]]
            x = torch.relu(F.conv2d((bytes_ - mean) / std, kernel, offset, stride=2, padding=1))
            x = x.mean((2, 3)) if pool else x.flatten(1)
            return F.normalize(x @ linear.T + bias, dim=1)

        return expected

    return make
