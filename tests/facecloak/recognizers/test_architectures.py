"""The literature's networks: names, shapes and embeddings of the published files; saved and loaded again."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from facecloak.io import sha256
from facecloak.recognizers import CHECKPOINTS, load_recognizer
from facecloak.recognizers.checkpoints import POOL
from facecloak.recognizers.irse import ir152, irse50
from facecloak.recognizers.mobile_face import mobile_face

LITERATURE = ("ir152", "irse50", "facenet", "mobile_face")


def probe(size: int) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(7).uniform(-1, 1, (2, 3, size, size)).astype(np.float32))


@pytest.fixture(scope="module", params=list(CHECKPOINTS))
def loaded(request, tmp_path_factory, fill):
    """(name, the output of the filled network itself, the recognizer loaded from its file)."""
    name = request.param
    network = fill(CHECKPOINTS[name]()).eval()
    file = tmp_path_factory.mktemp(name) / POOL[name].file
    (save_file if file.suffix == ".safetensors" else torch.save)(network.state_dict(), file)
    x = probe(POOL[name].input_size) * (127.5 / POOL[name].std)
    with torch.no_grad():
        direct = torch.nn.functional.normalize(network(x))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACECLOAK_WEIGHTS", str(file.parent))
        recognizer = load_recognizer(name, differentiable=True)
    assert recognizer.weights_sha256 == sha256(file)
    file.unlink()  # ir152 alone is 283 MB
    return name, direct, recognizer


def test_loaded_equals_saved(loaded):
    name, direct, recognizer = loaded
    assert recognizer.name == name
    embeddings = recognizer(probe(POOL[name].input_size))
    torch.testing.assert_close(embeddings, direct, rtol=0, atol=1e-6)


@pytest.mark.parametrize("loaded", LITERATURE, indirect=True)
def test_names_shapes_and_embeddings_of_the_published_files(loaded, shared):
    name, _, recognizer = loaded
    golden = json.loads((shared / "golden/recognizers.json").read_text())[name]
    shapes = {key: list(value.shape) for key, value in recognizer.network.state_dict().items()}
    assert shapes == golden["state_dict"]
    assert sum(parameter.numel() for parameter in recognizer.parameters()) == golden["params"]
    embeddings = recognizer(probe(golden["input_size"])).numpy()
    expected = np.load(shared / "golden/recognizers.npz")[name]
    np.testing.assert_allclose(embeddings, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("build", [ir152, irse50, mobile_face])
@pytest.mark.parametrize("input_size", [64, 56])
def test_narrow_versions_of_the_same_networks(build, input_size, fill):
    network = fill(build(width=0.25, embedding_dim=32, input_size=input_size)).eval()
    with torch.no_grad():
        assert network(probe(input_size)).shape == (2, 32)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    # all but the last layers shrink with the square of the width
    assert parameters < {"ir152": 5e6, "irse50": 3e6, "mobile_face": 1.5e5}[build.__name__]
