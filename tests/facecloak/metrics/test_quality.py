import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from metric_cases import random_images
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from facecloak.errors import FacecloakError
from facecloak.metrics import PSNR, SSIM, lpips_network, perceptual_distance, psnr, ssim
from facecloak.metrics.perceptual import LPIPS_FILE


@pytest.fixture(scope="module")
def pairs():
    """Three pairs, far and near, of smooth pictures that are not square; the last is identical."""
    rough = random_images(3, 0, size=9).float()
    source = torch.nn.functional.interpolate(rough, size=(40, 57), mode="bicubic").clamp(0, 255)
    noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(1))
    protected = (source + noise * torch.tensor([25.0, 2.0, 0.0])[:, None, None, None]).clamp(0, 255)
    return protected.round().to(torch.uint8), source.round().to(torch.uint8)


def as_numpy(images):
    return images.permute(0, 2, 3, 1).numpy()


def skimage_ssim(protected, source):
    # scikit-image leaves out a border of 5 pixels; torchmetrics counts every pixel of the mirrored image.
    # Mirrored by 5 beforehand, as torchmetrics does it, scikit-image keeps exactly the same windows
    border = ((5, 5), (5, 5), (0, 0))
    return structural_similarity(
        np.pad(protected, border, mode="reflect"),
        np.pad(source, border, mode="reflect"),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2,
    )


def test_psnr_equals_skimage(pairs):
    found = psnr(*pairs)
    expected = [peak_signal_noise_ratio(s, p) for p, s in zip(*map(as_numpy, pairs), strict=True) if (p != s).any()]
    assert found[:2].tolist() == pytest.approx(expected, abs=1e-5)
    assert found[2] == math.inf and found.shape == (3,)


def test_ssim_equals_skimage(pairs):
    expected = [skimage_ssim(p, s) for p, s in zip(*map(as_numpy, pairs), strict=True)]
    assert ssim(*pairs).tolist() == pytest.approx(expected, abs=1e-9)
    assert expected[0] < 0.9 < expected[1] < expected[2]


def test_one_image_is_one_value(pairs):
    one = [images[:1] for images in pairs]
    assert psnr(*one).shape == ssim(*one).shape == (1,)
    assert psnr(*one)[0] == psnr(*pairs)[0]


def test_metrics_are_means_over_images_not_over_pixels(pairs):
    mean_psnr, mean_ssim = PSNR(), SSIM()
    for rows in ([0], [1, 2]):
        mean_psnr.update(*(images[rows] for images in pairs))
        mean_ssim.update(*(images[rows] for images in pairs))
    assert mean_psnr.compute() == {"psnr": pytest.approx(float(psnr(*pairs)[:2].mean())), "n_identical": 1}
    assert mean_ssim.compute() == pytest.approx(float(ssim(*pairs).mean()))


def test_identical_images_alone(pairs):
    _, source = pairs
    metric = PSNR()
    metric.update(source, source)
    result = metric.compute()
    assert math.isnan(result["psnr"]) and result["n_identical"] == 3
    assert ssim(source, source).tolist() == pytest.approx([1.0] * 3)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_without_images_is_nan():
    assert math.isnan(SSIM().compute()) and math.isnan(PSNR().compute()["psnr"])


def test_black_against_white_is_the_lower_bound():
    black, white = torch.zeros(1, 3, 16, 16, dtype=torch.uint8), torch.full((1, 3, 16, 16), 255).byte()
    assert float(psnr(black, white)) == pytest.approx(0.0, abs=1e-6)
    assert float(ssim(black, white)) == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize("measure", [psnr, ssim, PSNR().update, SSIM().update])
def test_mistakes_are_named(measure):
    images = random_images(2, 0, size=16)
    with pytest.raises(FacecloakError, match=r"2×3×16×16.*2×3×8×8"):
        measure(images, images[:, :, :8, :8])
    with pytest.raises(FacecloakError, match=r"2×3×16×16.*1×3×16×16"):
        measure(images, images[:1])
    with pytest.raises(FacecloakError, match=r"protected images are torch\.float32"):
        measure(images / 255, images)
    with pytest.raises(FacecloakError, match=r"source images are torch\.float32"):
        measure(images, images / 255)
    with pytest.raises(FacecloakError, match="N×3×H×W"):
        measure(images[:, :1], images[:, :1])


def test_another_networks_file_is_refused_in_one_line(hub):
    hub.mkdir()
    torch.save({"features.0.weight": torch.zeros(2)}, hub / LPIPS_FILE)
    with pytest.raises(FacecloakError, match=r"not the AlexNet of LPIPS .*facecloak fetch lpips"):
        lpips_network()


def test_a_file_that_would_run_code_is_refused(hub):
    hub.mkdir()
    torch.save({"features.0.weight": Path("/")}, hub / LPIPS_FILE)
    with pytest.raises(FacecloakError, match="not the AlexNet of LPIPS"):
        lpips_network()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    def no_download(*_args, **_kwargs):
        raise AssertionError("tried to download")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_download)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    return tmp_path / "checkpoints"


def test_lpips_is_absent_without_its_backbone(hub):
    assert lpips_network() is None


def test_lpips_per_image(hub, pairs):
    torch.manual_seed(0)
    hub.mkdir()
    weights = torchvision.models.alexnet().state_dict()
    # LPIPS does not use the classifier: one number replaces each of its 60 million
    weights = {
        name: torch.zeros(1).expand(value.shape) if name.startswith("classifier") else value
        for name, value in weights.items()
    }
    torch.save(weights, hub / LPIPS_FILE)
    protected, source = (images.repeat(1, 1, 2, 2) for images in pairs)
    network = lpips_network()
    found = perceptual_distance(network, protected, source)
    assert found.shape == (3,) and found[0] > found[1] > found[2] == 0
    metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)  # loads the file by torchvision
    metric.update(protected / 255, source / 255)
    assert float(metric.compute()) == pytest.approx(float(found.mean()), rel=1e-5)
    assert perceptual_distance(network, protected[:1], source[:1]).tolist() == pytest.approx(
        found[:1].tolist(), rel=1e-4
    )
    with pytest.raises(FacecloakError, match=r"not torch\.uint8"):
        perceptual_distance(network, protected / 255, source)
