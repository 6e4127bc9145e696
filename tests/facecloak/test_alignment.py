"""The crop of ArcFace, against insightface's own and against scikit-image's transform."""

import numpy as np
import pytest
import torch
from insightface.utils.face_align import norm_crop
from PIL import Image
from skimage.data import astronaut
from skimage.transform import SimilarityTransform

from baselines.naive import Blur, Mask, Pixelate
from facecloak.alignment import TEMPLATE, align, turned_crop, upright
from facecloak.data import Batch, images_in, to_tensor
from facecloak.faces import FaceDetector, FivePointCrop, crop, whole_pixels
from facecloak.io import read_image, shared_dir

PAIRS = shared_dir() / "data" / "celeba_hq_pairs" / "train"


def random_landmarks(seed: int, size: int = 200) -> np.ndarray:
    """The template, moved, turned, scaled and shaken, some of it near the edge of an image of this size."""
    random = np.random.RandomState(seed)
    angle, scale = random.uniform(-1, 1), random.uniform(0.5, 1.8)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (np.array(TEMPLATE) - 56) @ turn.T + random.uniform(0.25, 0.75, 2) * size
    return points + random.normal(0, 3, points.shape)


def smooth(seed: int, size: int = 200) -> np.ndarray:
    """A picture without sharp edges: two ways to interpolate it differ by rounding only."""
    small = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(seed)) * 255
    large = torch.nn.functional.interpolate(small, (size, size), mode="bicubic").clamp(0, 255)
    return large[0].permute(1, 2, 0).round().byte().numpy()


def grey_levels(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    return ((crop(to_tensor([image]), torch.tensor([align(landmarks)]), 112) + 1) * 127.5)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("seed", range(12))
def test_it_is_insightfaces_norm_crop_to_less_than_a_grey_level(seed):
    image, landmarks = smooth(seed), random_landmarks(seed)
    ours, theirs = grey_levels(image, landmarks), norm_crop(image, landmarks).astype(float)
    # where the square leaves the image, the step to black makes a 32nd of a pixel, its precision, many grey levels
    inside = norm_crop(np.full_like(image, 255), landmarks) == 255
    assert inside.mean() > 0.3
    assert abs(ours - theirs)[inside].max() < 1
    outside = norm_crop(np.full_like(image, 255), landmarks) == 0
    assert not outside.any() or abs(ours[outside]).max() < 1


def test_it_is_norm_crop_on_a_face():
    image, landmarks = astronaut(), FaceDetector().landmarks(astronaut())
    difference = abs(grey_levels(image, landmarks) - norm_crop(image, landmarks))
    assert difference.mean() < 0.5 and np.quantile(difference, 0.99) < 3  # edges, at a 32nd of a pixel


@pytest.mark.skipif(not PAIRS.is_dir(), reason="needs photos of real faces in $FACECLOAK_SHARED")
def test_it_is_norm_crop_on_real_faces():
    detector = FaceDetector()
    for file in images_in(PAIRS)[:8]:
        image = read_image(file)
        landmarks = detector.landmarks(image)
        assert abs(grey_levels(image, landmarks) - norm_crop(image, landmarks)).mean() < 0.5


@pytest.mark.parametrize("seed", range(8))
def test_the_closed_form_is_the_least_squares_similarity(seed):
    landmarks = random_landmarks(seed)
    x0, y0, x1, y1, angle = align(landmarks)
    known = SimilarityTransform.from_estimate(landmarks, np.array(TEMPLATE))
    assert 112 / (x1 - x0) == pytest.approx(known.scale, rel=1e-4) and y1 - y0 == pytest.approx(x1 - x0, rel=1e-4)
    assert angle == pytest.approx(-known.rotation, abs=1e-5)
    centre = known.inverse([[55.5, 55.5]])[0] + 0.5
    assert np.allclose(centre, ((x0 + x1) / 2, (y0 + y1) / 2), atol=1e-3)


def test_each_image_of_a_batch_has_its_own_square():
    images = to_tensor([smooth(0), smooth(1), smooth(2)])
    squares = torch.tensor([align(random_landmarks(seed)) for seed in range(3)])
    whole = turned_crop(images, squares, 80)
    alone = [turned_crop(image[None], square[None], 80) for image, square in zip(images, squares, strict=True)]
    assert whole.shape == (3, 3, 80, 80) and torch.allclose(whole, torch.cat(alone), atol=1e-6)


def test_a_square_that_is_not_turned_is_a_box():
    images = to_tensor([smooth(0)])
    box = torch.tensor([[40.0, 30.0, 152.0, 142.0]])
    turned = torch.cat([box, torch.zeros(1, 1)], dim=1)
    assert torch.allclose(crop(images, turned, 112), crop(images, box, 112), atol=1e-5)
    assert torch.allclose(crop(images, turned, 56), crop(images, box, 56), atol=1e-5)


def test_the_gradient_is_that_of_finite_differences():
    images = torch.rand(
        1, 3, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True
    )
    squares = torch.tensor([[-3.0, 4.0, 18.0, 25.0, 0.4]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: turned_crop(x, squares, 10), images)


def test_the_upright_box_is_that_of_the_turned_corners():
    square = align(random_landmarks(3))
    x0, y0, x1, y1, angle = square
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = (np.array([[x, y] for x in (x0, x1) for y in (y0, y1)]) - centre) @ turn.T + centre
    assert np.allclose(upright(square), [*np.floor(corners.min(0)), *np.ceil(corners.max(0))])
    left, top, right, bottom = whole_pixels(square, 150, 150)
    assert 0 <= left < right <= 150 and 0 <= top < bottom <= 150


@pytest.mark.parametrize(
    "method", [Mask(Mask.Settings()), Blur(Blur.Settings(sigma=6.0)), Pixelate(Pixelate.Settings(blocks=4))], ids=type
)
def test_a_method_that_covers_the_face_covers_the_square(method):
    """All of it, and nothing outside of the upright box around it; each image has a square of its own."""
    squares = [(50.0, 40.0, 120.0, 110.0, 0.5), (120.0, 130.0, 210.0, 220.0, -2.0)]  # the second leaves the image
    images = torch.rand(2, 3, 200, 200, generator=torch.Generator().manual_seed(0)) * 2 - 1
    made = method.predict_step(Batch(["a", "b"], images.clone(), torch.tensor(squares))).images
    for image, before, square in zip(made, images, squares, strict=True):
        x0, y0, x1, y1 = whole_pixels(square, 200, 200)
        changed = (image != before).any(0)
        assert changed[y0:y1, x0:x1].float().mean() > 0.99
        changed[y0:y1, x0:x1] = False
        assert not changed.any()
        # what a recognizer sees of pixels that were kept is as far from what it sees now as two noises are
        seen, kept = (turned_crop(each[None], torch.tensor([square]), 60) for each in (image, before))
        assert (seen != kept)[kept != -1].float().mean() > 0.99


@pytest.mark.parametrize("turn", [-25, 15])
def test_the_crop_turns_with_the_face(turn):
    find, photo = FivePointCrop(FaceDetector()), Image.fromarray(astronaut())
    turned = np.asarray(photo.rotate(-turn, Image.Resampling.BICUBIC))  # as seen, from the x towards the y axis
    squares = find(astronaut()), find(turned)
    assert np.degrees(squares[1][4] - squares[0][4]) == pytest.approx(turn, abs=4)
    upright_face, face = (
        turned_crop(to_tensor([image]), torch.tensor([square]), 112)[..., 20:92, 20:92]
        for image, square in zip((astronaut(), turned), squares, strict=True)
    )
    same = torch.corrcoef(torch.stack([upright_face.flatten(), face.flatten()]))[0, 1]
    other = torch.corrcoef(torch.stack([upright_face.flatten(), face.rot90(1, (2, 3)).flatten()]))[0, 1]
    assert same > 0.9 > other


def test_the_largest_face_has_the_square():
    face = astronaut()[30:230, 130:330]
    canvas = np.full((400, 700, 3), 128, dtype=np.uint8)
    canvas[100:300, 20:220] = face
    canvas[25:375, 300:650] = np.asarray(Image.fromarray(face).resize((350, 350)))
    x0, _, x1, _, _ = FivePointCrop(FaceDetector())(canvas)
    assert 300 < (x0 + x1) / 2 < 650 and x1 - x0 > 170


def test_it_finds_the_square_of_a_face_and_none_without():
    find = FivePointCrop(FaceDetector())
    x0, y0, x1, y1, angle = find(astronaut())
    assert 100 < x1 - x0 < 250 and abs(angle) < 0.3 and 150 < (x0 + x1) / 2 < 300 and 60 < (y0 + y1) / 2 < 220
    assert find(np.zeros((80, 80, 3), np.uint8)) is None and find(np.zeros((10, 10, 3), np.uint8)) is None
