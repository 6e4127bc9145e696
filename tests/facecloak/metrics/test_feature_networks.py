import subprocess
import sys

import pytest
import torch
from facenet_pytorch.models.mtcnn import ONet
from metric_cases import random_images

from facecloak.errors import FacecloakError
from facecloak.metrics import FEATURES, FrechetDistance
from facecloak.metrics import features as module


@pytest.fixture(scope="module")
def mtcnn():
    return FEATURES["mtcnn"]()


def test_mtcnn_gives_what_its_own_network_computes_after_prelu5(mtcnn):
    images = random_images(3, 0, size=48)  # the network's own input size: nothing is resized
    seen, onet = [], ONet().eval()
    onet.prelu5.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    onet((images.float() - 127.5) / 128)
    found = mtcnn(images)
    assert found.shape == (3, mtcnn.num_features) and found.dtype == torch.float32
    torch.testing.assert_close(found, seen[0])
    assert not found.requires_grad


def test_mtcnn_resizes_with_antialias(mtcnn):
    # a checkerboard of single pixels is grey from afar; without antialias it would stay black or white
    board = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8).repeat(72, 72).expand(1, 3, 144, 144)
    inside = []
    handle = mtcnn.onet.register_forward_pre_hook(lambda _module, inputs: inside.append(inputs[0]))
    mtcnn(board)
    handle.remove()
    assert inside[0].shape == (1, 3, 48, 48)
    assert inside[0][..., 2:-2, 2:-2].abs().max() < 0.1


def test_network_says_what_it_is(mtcnn):
    inception = FEATURES["inception"]
    assert (mtcnn.name, mtcnn.num_features, mtcnn.is_fid) == ("mtcnn", 256, False)
    assert (inception.name, inception.num_features, inception.is_fid) == ("inception", 2048, True)
    assert "48×48" in mtcnn.convention and "299×299" in inception.convention


def test_distance_grows_with_the_disturbance(mtcnn):
    smooth = torch.nn.functional.interpolate(random_images(24, 0, size=6).float(), size=64, mode="bicubic")
    images = smooth.clamp(0, 255).to(torch.uint8)
    found = []
    for strength in (0, 20, 80):
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1)) * strength
        metric = FrechetDistance(mtcnn)
        metric.update(images, real=True)
        metric.update((images + noise).clamp(0, 255).round().to(torch.uint8), real=False)
        found.append(metric.compute())
    assert found[0] == pytest.approx(0.0, abs=1e-6) and found[0] < found[1] < found[2]


@pytest.mark.parametrize("wrong", [torch.rand(2, 3, 8, 8), random_images(2, 0)[:, :1], random_images(2, 0)[0]])
def test_wrong_images_are_named(mtcnn, wrong):
    with pytest.raises(FacecloakError, match="uint8 N×3×H×W"):
        mtcnn(wrong)


def test_missing_inception_says_what_to_do_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(tmp_path))
    with pytest.raises(FacecloakError) as caught:
        FEATURES["inception"]()
    message = str(caught.value)
    for part in (
        *module.INCEPTION_FILES,
        "https://github.com/toshas/torch-fidelity/releases",
        str(tmp_path),
        "pip install torch-fidelity",
    ):
        assert part in message
    assert "\n" not in message and "lacks its weights" in message


@pytest.mark.parametrize("name", module.INCEPTION_FILES)
def test_inception_file_is_judged_before_it_is_loaded(tmp_path, monkeypatch, name):
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(tmp_path))
    (tmp_path / name).write_bytes(b"half a download")
    monkeypatch.setattr(module, "find_spec", lambda _package: None)
    with pytest.raises(FacecloakError, match="lacks the package torch-fidelity"):
        FEATURES["inception"]()
    monkeypatch.setattr(module, "find_spec", lambda _package: object())
    with pytest.raises(FacecloakError, match="SHA-256"):
        FEATURES["inception"]()


def test_weights_folder_defaults_to_the_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("FACECLOAK_WEIGHTS", raising=False)
    monkeypatch.delenv("FACECLOAK_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FacecloakError, match=str(tmp_path / ".cache" / "facecloak" / "weights")):
        FEATURES["inception"]()


def test_unknown_network_is_suggested():
    with pytest.raises(FacecloakError, match="Did you mean 'inception'"):
        FEATURES["inceptoin"]


def test_importing_the_package_is_light():
    code = "import sys, facecloak.metrics; print(sorted({'torch', 'torchmetrics'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_exported_name_is_there():
    import facecloak.metrics

    assert all(getattr(facecloak.metrics, name) is not None for name in facecloak.metrics.__all__)
    with pytest.raises(AttributeError, match="no attribute 'PNSR'"):
        facecloak.metrics.PNSR  # noqa: B018
