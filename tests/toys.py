"""Toy data for tests of the harness: smooth random photos, small ONNX recognizers, a suite, thresholds."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import onnx
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper

from facecloak.io import sha256, write_png

SIZE, FACE, DIM = 64, 32, 16
RECOGNIZERS = ("ada", "bob", "cyd")


def write_photo(path: Path, person: int, shot: int = 0) -> None:
    """Write a smooth random pattern that depends on the person and a little on the shot."""
    random = np.random.default_rng(person)
    pattern = random.uniform(0, 1, (3, 5, 5)) + 0.1 * np.random.default_rng([person, shot]).uniform(0, 1, (3, 5, 5))
    smooth = torch.nn.functional.interpolate(torch.from_numpy(pattern)[None], (SIZE, SIZE), mode="bicubic")[0]
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    write_png(path, (smooth.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))


def write_recognizer(folder: Path, name: str, seed: int = 0) -> None:
    """Write an ONNX recognizer and its sidecar: strided convolution, ReLU, linear layer, seeded by the name."""
    random, flat = np.random.RandomState(zlib.crc32(name.encode()) + seed), 8 * (FACE // 4) ** 2
    arrays = {
        "kernel": random.normal(0, 0.2, (8, 3, 5, 5)),
        "linear": random.normal(0, flat**-0.5, (DIM, flat)),
        "mean": np.array(127.5),
        "gain": np.array(1 / 127.5),
    }
    nodes = [
        helper.make_node("Sub", ["faces", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "gain"], ["normal"]),
        helper.make_node("Conv", ["normal", "kernel"], ["conv"], strides=[4, 4], pads=[2, 2, 2, 2]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("Flatten", ["relu"], ["flat"]),
        helper.make_node("Gemm", ["flat", "linear"], ["embedding"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["n", 3, FACE, FACE])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIM])],
        [numpy_helper.from_array(value.astype(np.float32), key) for key, value in arrays.items()],
    )
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / f"{name}.onnx"
    )
    sidecar = {
        "name": name,
        "file": f"{name}.onnx",
        "sha256": sha256(folder / f"{name}.onnx"),
        "input_size": FACE,
        "mean": 0.0,
        "std": 1.0,
        "color": "RGB",
        "embedding_dim": DIM,
        "licence": "none",
    }
    (folder / f"{name}.json").write_text(json.dumps(sidecar))


def write_suite(root: Path, people: int = 4, albums: int = 0, **changes) -> Path:
    """Write photos, two targets, recognizers with made-up thresholds, and the YAML that names all; returns its path.

    Args:
        albums: photos of each person's album; 0: the suite has none.
    """
    for person in range(people):
        write_photo(root / "photos" / f"p{person}.png", person)
        write_photo(root / "seconds" / f"p{person}.png", person, shot=1)
        for shot in range(2, 2 + albums):
            write_photo(root / "albums" / f"p{person}" / f"{shot}.png", person, shot)
    for target in (100, 200):
        write_photo(root / "targets" / f"{target}.png", target)
        write_photo(root / "targets" / f"{target}_test.png", target, shot=1)
    write_photo(root / "targets" / "synthetic.png", 300)
    for name in RECOGNIZERS:
        write_recognizer(root / "weights", name)
    thresholds = {
        name: {
            "source": "measured",
            "weights_sha256": sha256(root / "weights" / f"{name}.onnx"),
            "pairs": "made up",
            "crop": [4, 4, 60, 60],
            "fars": {"0.1": {"threshold": 0.2}, "0.01": {"threshold": 0.4}},
        }
        for name in RECOGNIZERS
    }
    (root / "thresholds.json").write_text(json.dumps(thresholds))
    suite = {
        "description": "toys",
        "image_size": SIZE,
        "crop": [4, 4, 60, 60],
        "detect": False,
        "sources": {
            "folder": str(root / "photos"),
            "second": str(root / "seconds"),
            **({"albums": str(root / "albums")} if albums else {}),
        },
        "targets": {
            "folder": str(root / "targets"),
            "synthetic": "synthetic.png",
            "pairs": [
                {"name": "1", "image": "100.png", "test": "100_test.png"},
                {"name": "2", "image": "200.png", "test": "200_test.png"},
            ],
        },
        "default_targets": ["1"],
        "recognizers": list(RECOGNIZERS),
        "thresholds": str(root / "thresholds.json"),
        "fars": [0.1, 0.01],
        "methods": {"none": {}, "blur": {}},
        **changes,
    }
    (root / "toys.yaml").write_text(yaml.safe_dump(suite))
    return root / "toys.yaml"
