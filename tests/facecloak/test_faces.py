"""Face detection and the differentiable crop."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.data import astronaut

from facecloak.errors import FacecloakError
from facecloak.faces import AlignedCrop, FaceDetector, OncePerImage, crop, whole_image, whole_pixels


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.fixture
def face():
    return astronaut()[30:230, 130:330]


def resized(image, side):
    return np.asarray(Image.fromarray(image).resize((side, side)))


def test_the_astronauts_face_is_found(detector):
    x0, y0, x1, y1 = detector(astronaut())
    assert 170 < x0 < 200 and 50 < y0 < 90 and 250 < x1 < 285 and 150 < y1 < 190


@pytest.mark.parametrize("small_first", [True, False])
def test_the_largest_of_several_faces_is_taken(detector, face, small_first):
    canvas = np.full((400, 700, 3), 128, dtype=np.uint8)
    small, big = (20, 300) if small_first else (480, 20)
    canvas[100:300, small : small + 200] = face
    canvas[25:375, big : big + 350] = resized(face, 350)
    x0, _, x1, _ = detector(canvas)
    assert big < x0 < x1 < big + 350
    assert x1 - x0 > 130


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [(slice(40, 200), slice(60, 200), [(0, 0), (1, 0)]), (slice(0, 125), slice(0, 125), [(2, 125), (3, 125)])],
)
def test_a_face_over_the_edge_gets_a_box_within_the_image(detector, face, rows, columns, expected):
    box = detector(np.ascontiguousarray(face[rows, columns]))
    assert [box[side] for side, _ in expected] == [edge for _, edge in expected]
    assert min(box) >= 0 and box[0] < box[2] and box[1] < box[3]


@pytest.mark.parametrize("shape", [(1, 1), (19, 300), (20, 20), (24, 60), (20, 400), (256, 256)])
def test_noise_has_no_face_at_any_size(detector, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert detector(noise) is None


def test_an_aligned_crop_is_the_box_where_there_is_a_face(detector, face):
    blank = np.full((200, 200, 3), 90, dtype=np.uint8)
    aligned = AlignedCrop((10, 20, 90, 100), detector)
    assert aligned(face) == (10.0, 20.0, 90.0, 100.0)
    assert aligned(blank) is None
    assert AlignedCrop((10, 20, 90, 100), None)(blank) == (10.0, 20.0, 90.0, 100.0)


def images(count=3, height=20, width=30, dtype=torch.float32):
    return torch.randn(count, 3, height, width, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((3, 4, 13, 16), slice(4, 16), slice(3, 13)),
        ((2.6, 3.4, 13.4, 15.6), slice(3, 16), slice(3, 13)),  # rounded
        ((-5, -7, 10, 9), slice(0, 9), slice(0, 10)),  # cut, not wrapped to the other side
        ((20, 12, 99, 99), slice(12, 20), slice(20, 30)),
        ((-9, -9, 99, 99), slice(0, 20), slice(0, 30)),
        ((29, 19, 30, 20), slice(19, 20), slice(29, 30)),  # one pixel
    ],
)
def test_crop_is_a_slice_and_a_bilinear_resize(box, rows, columns):
    pictures = images(1)
    expected = F.interpolate(pictures[..., rows, columns], (8, 8), mode="bilinear", align_corners=False)
    assert torch.equal(crop(pictures, torch.tensor([box]), 8), expected)


def test_each_image_of_a_batch_is_cut_at_its_own_box():
    pictures = images(3)
    boxes = torch.tensor([[0.0, 0, 30, 20], [5, 5, 9, 9], [-3, 2, 6, 40]])
    together = crop(pictures, boxes, 7)
    assert together.shape == (3, 3, 7, 7)
    for index in range(3):
        assert torch.equal(together[index : index + 1], crop(pictures[index : index + 1], boxes[index : index + 1], 7))


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (9, 5, 5, 9), (30, 0, 40, 9), (-9, 0, -2, 9), (2, 25, 8, 30)])
def test_a_box_without_a_pixel_is_an_error(box):
    with pytest.raises(FacecloakError, match="holds no pixel of a 30×20 image"):
        crop(images(1), torch.tensor([box]), 8)
    with pytest.raises(FacecloakError, match="holds no pixel"):
        whole_pixels(box, width=30, height=20)


def test_fewer_boxes_than_images_are_refused():
    with pytest.raises(ValueError):
        crop(images(2), torch.tensor([[0.0, 0, 9, 9]]), 8)


def test_the_gradient_of_a_crop_flows_into_its_box_only():
    pictures = images(2).requires_grad_()
    boxes = torch.tensor([[4.0, 3, 14, 13], [-4, 10, 9, 40]])
    crop(pictures, boxes, 16).square().sum().backward()
    reached = (pictures.grad != 0).all(dim=1)
    expected = torch.zeros(2, 20, 30, dtype=torch.bool)
    expected[0, 3:13, 4:14] = True
    expected[1, 10:20, 0:9] = True
    assert torch.equal(reached, expected)


def test_the_gradient_of_a_crop_equals_finite_differences():
    pictures = images(2, 7, 8, dtype=torch.float64).requires_grad_()
    boxes = torch.tensor([[1.0, 2, 6, 7], [-2, 0, 5, 4]])
    assert torch.autograd.gradcheck(lambda pixels: crop(pixels, boxes, 4).sin(), pictures)


def test_the_whole_image_is_kept_by_its_box():
    pictures = images(2)
    boxes = whole_image(pictures)
    assert boxes.tolist() == [[0, 0, 30, 20]] * 2
    assert torch.equal(crop(pictures[..., :20], boxes, 20), pictures[..., :20])


def test_photos_with_one_box_are_cropped_as_each_by_itself():
    images = torch.rand(3, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[2.4, 3.0, 17.6, 19.0]] * 3)
    together = crop(images, boxes, 9)
    alone = torch.cat([crop(image[None], box[None], 9) for image, box in zip(images, boxes, strict=True)])
    assert torch.equal(together, alone)
    with pytest.raises(ValueError, match="zip"):
        crop(images, boxes[:1], 9)


def test_equal_pixels_are_searched_once_and_other_pixels_and_shapes_again():
    asked = []

    def find(image):
        asked.append(image.shape)
        return None if image.max() == 0 else (0.0, 0.0, float(image.max()), 1.0)

    once = OncePerImage(find)
    dark, bright = np.zeros((4, 6, 3), np.uint8), np.full((4, 6, 3), 9, np.uint8)
    for _ in range(2):
        assert once(dark) is None and once(bright) == (0.0, 0.0, 9.0, 1.0)
    assert once(bright[:, ::-1]) == once(bright) and len(asked) == 2  # a view of the same pixels
    assert once(dark.reshape(6, 4, 3)) is None and asked == [(4, 6, 3), (4, 6, 3), (6, 4, 3)]
