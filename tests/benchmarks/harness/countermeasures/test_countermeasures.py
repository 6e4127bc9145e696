"""Each countermeasure against another library, or against a plain formula."""

import cv2
import numpy as np
import pytest
import scipy.ndimage
import skimage.transform
import torch
import torch.nn.functional as F

from benchmarks.harness.countermeasures import FAMILIES, SETS, find_countermeasures, generator, purification
from benchmarks.harness.countermeasures.geometry import SHARPEN
from benchmarks.suites.suite import load_suite
from facecloak.data import to_tensor, to_uint8
from facecloak.errors import FacecloakError
from facecloak.io import read_image

PHOTO = "anna"


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """A drawn portrait, uint8 128×128×3, with some texture."""
    drawn = read_image(load_suite("pocket").load_sources(1)[0].path)
    texture = np.random.default_rng(0).normal(0, 6, drawn.shape)
    return (drawn + texture).round().clip(0, 255).astype(np.uint8)


def altered(name: str, image: np.ndarray, photo: str = PHOTO, backbone=None) -> np.ndarray:
    (found,) = find_countermeasures([name])
    return found.load(backbone)(image, generator(name, photo))


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    assert one.shape == other.shape
    return np.abs(one.astype(int) - other.astype(int))


def saved(image: np.ndarray, kind: str, *options: int) -> np.ndarray:
    """By OpenCV, whose pictures are BGR."""
    _, file = cv2.imencode(kind, image[..., ::-1], options)
    return cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1]


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    return saved(image, ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling)


def bicubic(image: np.ndarray, side: int) -> np.ndarray:
    """By torch, with antialiasing."""
    pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    resized = F.interpolate(pixels, (side, side), mode="bicubic", antialias=True, align_corners=False)[0]
    return resized.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


@pytest.mark.parametrize("quality", [30, 50, 75, 90])
def test_jpeg_is_that_of_opencv(image, quality):
    ours = altered(f"jpeg{quality}", image)
    assert difference(ours, jpeg(image, quality)).max() <= 1
    assert difference(ours, image).mean() > 0.5


def test_webp_is_that_of_opencv(image):
    reference = saved(image, ".webp", cv2.IMWRITE_WEBP_QUALITY, 75)
    assert difference(altered("webp75", image), reference).mean() < 0.5 < difference(reference, image).mean()


@pytest.mark.parametrize("bits", [1, 5, 8])
def test_colours_are_rounded_to_the_nearest_of_evenly_spaced_levels(image, bits):
    levels = np.linspace(0, 255, 2**bits)
    nearest = levels[np.abs(image[..., None] - levels).argmin(-1)]
    assert np.abs(altered(f"bits{bits}", image) - nearest).max() <= 0.5


@pytest.mark.parametrize("sigma", [1, 2])
def test_blur_is_that_of_scipy(image, sigma):
    reference = scipy.ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="mirror", truncate=4)
    assert difference(altered(f"blur{sigma}", image), reference.round()).max() <= 1


@pytest.mark.parametrize("side", [3, 5])
def test_the_median_is_that_of_opencv(image, side):
    inside = np.s_[side:-side, side:-side]  # the libraries continue a picture beyond its edges in different ways
    assert np.array_equal(altered(f"median{side}", image)[inside], cv2.medianBlur(image, side)[inside])


def test_noise_has_its_standard_deviation_and_depends_on_the_photos_name(image):
    grey = np.full((256, 256, 3), 128, np.uint8)
    noise = altered("noise8", grey).astype(float) - 128
    assert abs(noise.mean()) < 0.1 and abs(noise.std() - np.sqrt(64 + 1 / 12)) < 0.1
    assert abs(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]) < 0.02
    assert np.array_equal(altered("noise8", image), altered("noise8", image))
    assert not np.array_equal(altered("noise8", image), altered("noise8", image, "bert"))


def test_half_the_side_and_back_is_that_of_torch(image):
    apart = difference(altered("half", image), bicubic(bicubic(image, 64), 128))
    assert apart.max() <= 2 and apart.mean() < 0.4  # Pillow rounds between rows and columns


def test_a_phone_resizes_and_compresses(image):
    ours = altered("phone80", image)
    assert ours.shape == (80, 80, 3) and difference(ours, jpeg(bicubic(image, 80), 80)).mean() < 1.5
    assert difference(altered("phone1080", image), jpeg(image, 80)).max() <= 1  # nothing is enlarged


def test_a_screenshot_is_resized_sharpened_and_compressed(image):
    """Sharpened: the picture plus 0.8 times what a blur takes away, of which Pillow makes an approximation."""
    small = bicubic(image, 96).astype(float)
    blurred = scipy.ndimage.gaussian_filter(small, (SHARPEN.radius, SHARPEN.radius, 0), mode="nearest")
    sharp = (small + 0.8 * (small - blurred)).round().clip(0, 255).astype(np.uint8)
    ours = altered("screenshot", image)
    assert difference(ours, jpeg(sharp, 85)).mean() < 2.2
    assert difference(ours, jpeg(small.astype(np.uint8), 85)).mean() > 4


@pytest.mark.parametrize("percent", [1, 5, 20])
def test_a_crop_is_a_part_of_the_picture_of_its_size(image, percent):
    places = set()
    for photo in map(str, range(30)):
        part = altered(f"crop{percent}", image, photo)
        height, width = part.shape[:2]
        assert height == width == 128 - round(1.28 * percent)
        found = [
            (top, left)
            for top in range(129 - height)
            for left in range(129 - width)
            if np.array_equal(image[top : top + height, left : left + width], part)
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 3


@pytest.mark.parametrize("degrees", [5, 30])
def test_a_rotation_is_that_of_scikit_image_without_corners(image, degrees):
    smooth = cv2.GaussianBlur(image, (0, 0), 2)  # the libraries' bicubic kernels differ
    ours = altered(f"rotate{degrees}", smooth)
    side = ours.shape[0]
    low = (128 - side) // 2
    turned = [
        255 * skimage.transform.rotate(smooth, sign * degrees, order=3)[low : low + side, low : low + side]
        for sign in (1, -1)
    ]
    near = sorted(np.abs(ours - each).mean() for each in turned)
    assert near[0] < 0.8 < 5 < near[1]
    white = altered(f"rotate{degrees}", np.full_like(image, 255))
    assert white.min() > 250  # no empty corner
    assert side > 0.99 * 128 / (np.cos(np.radians(degrees)) + np.sin(np.radians(degrees))) - 1


def test_both_directions_occur(image):
    turned = {altered("rotate5", image, photo).tobytes() for photo in map(str, range(20))}
    assert len(turned) == 2


@pytest.fixture(scope="module")
def backbone():
    from facecloak.cloak.backbone import Backbone

    return Backbone.load(load_suite("pocket").methods["facecloak"]["backbone"], "float32", "float32", None)


@pytest.mark.parametrize("timestep", [0, 51, 151, 301])
def test_purification_is_diffusers_image_to_image_with_ddim(image, backbone, timestep):
    """The same noise, added and removed by diffusers' scheduler under its own order of steps."""
    from diffusers import DDIMScheduler

    random = generator(f"purify{timestep}", PHOTO)
    scheduler = DDIMScheduler.from_config(backbone.scheduler.config, clip_sample=False, set_alpha_to_one=False)
    scheduler.set_timesteps(20)
    with torch.no_grad():
        z = backbone.encode(to_tensor([image]), int(random.integers(2**31)))
        noise = torch.from_numpy(random.standard_normal(z.shape, dtype=np.float32))
        if timestep:
            z = scheduler.add_noise(z, noise, torch.tensor([timestep]))
            for step in [step for step in scheduler.timesteps if step <= timestep]:
                z = scheduler.step(backbone.predict_noise(z, step, backbone.null_embedding(1)), step, z).prev_sample
        reference = to_uint8(backbone.decode(z))[0]
    ours = altered(f"purify{timestep}", image, backbone=backbone)
    assert difference(ours, reference).max() <= 1
    assert difference(ours, image).mean() > 1


def test_learned_embeddings_are_all_that_differs_from_purification(image, backbone, monkeypatch):
    def purified(name: str) -> np.ndarray:
        (found,) = find_countermeasures([name])
        return found.load(backbone)(image, generator("the same noise", PHOTO))

    plain, learned = purified("purify151"), purified("learned151")
    assert 0.5 < difference(plain, learned).mean() < difference(plain, image).mean()
    monkeypatch.setattr(purification, "EMBEDDING_ITERATIONS", 0)
    assert np.array_equal(purified("learned151"), plain)


def test_every_family_has_a_member_in_a_set_and_a_meaning():
    members = find_countermeasures(SETS["all"])
    assert {found.name.rstrip("0123456789") for found in members} == {*FAMILIES}
    assert all("{" not in found.meaning for found in members)
    assert find_countermeasures(["common", "purify", "jpeg30"]) == find_countermeasures([*SETS["common"], "purify"])


@pytest.mark.parametrize(
    "name, said",
    [
        ("jpg30", "Did you mean 'jpeg30'"), ("jpeg", "needs a number from 1 to 95"), ("jpeg96", "from 1 to 95"),
        ("jpeg030", "needs a number"), ("median4", "from 3 to 51, odd"),
        ("half2", "has no number"), ("none", "no countermeasure named 'none'"),
        ("Jpeg30", "no countermeasure"), ("../x", "no countermeasure"),
        pytest.param("jpeg" + 5000 * "9", "no countermeasure", id="more digits than int() reads"),
    ],
)  # fmt: skip
def test_a_name_that_does_not_exist_is_refused(name, said):
    with pytest.raises(FacecloakError, match=said):
        find_countermeasures([name])
