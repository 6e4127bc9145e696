"""CLIP, the perceptual distances and the regions, compared with their libraries and with what they must do."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from baselines.common.perceptual import load_perceptual
from baselines.diffam.clip import Clip
from baselines.diffam.regions import (
    REGIONS,
    regions_of_labels,
    regions_of_landmarks,
    regions_of_masks,
    regions_of_portraits,
)
from facecloak.data import to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import FaceDetector
from facecloak.io import pocket_dir, read_image, shared_dir
from facecloak.pocket.portraits import portraits


@pytest.fixture(scope="module")
def drawn():
    """Six people without makeup, then the same with it."""
    return [portraits(list(range(6)), [0] * 6, makeup=makeup) for makeup in (False, True)]


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip.load("$FACECLOAK_POCKET/clip")


@pytest.mark.parametrize("side", [128, 200])
def test_clip_embeds_images_and_texts_as_transformers_does(clip, drawn, side):
    folder = pocket_dir() / "clip"
    model, words = CLIPModel.from_pretrained(folder, dtype=torch.float32), CLIPTokenizer.from_pretrained(folder)
    photos = [Image.fromarray(image.numpy()).resize((side, side), Image.BICUBIC) for image in drawn[1].images]
    pixels = CLIPImageProcessor.from_pretrained(folder)(photos, return_tensors="pt").pixel_values
    tokens = words(["face with makeup", "face without makeup"], padding=True, return_tensors="pt")
    expected = model(pixel_values=pixels, **tokens)
    ours = clip.embed_images(to_tensor(np.asarray(photo) for photo in photos))
    assert (ours * expected.image_embeds).sum(1).min() > 1 - 1e-3  # the processor rounds what it resized
    torch.testing.assert_close(clip.embed_texts(["face with makeup", "face without makeup"]), expected.text_embeds)


def test_clips_direction_of_makeup_is_that_of_made_up_faces_and_has_gradients(clip, drawn):
    bare, made_up = (to_tensor(faces.images.numpy()) for faces in drawn)
    made_up.requires_grad_()
    texts = clip.embed_texts(["face without makeup", "face with makeup"])
    agreement = torch.cosine_similarity(clip.embed_images(made_up) - clip.embed_images(bare), texts[1:] - texts[:1])
    assert agreement.mean() > 0.3
    agreement.sum().backward()
    assert made_up.grad.abs().sum() > 0 and not any(weight.requires_grad for weight in clip.parameters())


def test_a_clip_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FacecloakError, match="'clip'"):
        Clip.load(str(tmp_path))


def test_lpips_without_its_weights_is_an_error_and_never_zero(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FacecloakError, match="alexnet-owt-7be5be79.pth"):
        load_perceptual("lpips")


def test_the_pocket_distance_grows_with_the_change_and_has_gradients(drawn):
    distance, images = load_perceptual("pocket"), to_tensor(drawn[0].images.numpy())
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    small, large = (distance(images, images + strength * noise) for strength in (0.02, 0.2))
    assert distance(images, images).tolist() == [0] * 6
    assert (small > 0).all() and (small < large).all()
    torch.testing.assert_close(distance(images[:1], images[:1] + 0.2 * noise[:1]), large[:1])
    moved = (images + 0.02 * noise).requires_grad_()
    distance(images, moved).sum().backward()
    assert moved.grad.isfinite().all() and moved.grad.abs().sum() > 0


def test_regions_of_portraits_lie_where_the_makeup_is(drawn):
    bare, made_up = drawn
    regions = dict(zip(REGIONS, regions_of_portraits(made_up).unbind(1), strict=True))
    change = (bare.images.float() - made_up.images.float()).abs().sum(-1)
    assert change[regions["lips"]].mean() > 5 * change[made_up.masks["background"]].mean() + 10
    for eye in ("left_eye", "right_eye"):
        assert (regions[eye].flatten(1).sum(1) > 20).all()
        assert not (regions[eye] & ~made_up.masks["skin"]).any()
    middle = made_up.landmarks[:, 2, 0].round().long()
    for index, column in enumerate(middle.tolist()):
        assert regions["left_eye"][index, :, :column].any() and not regions["left_eye"][index, :, column + 12 :].any()
        assert regions["right_eye"][index, :, column:].any() and not regions["right_eye"][index, :, : column - 12].any()


def test_regions_of_masks_are_eye_boxes_with_a_margin_cut_to_the_skin():
    left, right, lips, skin = torch.zeros(4, 1, 256, 256, dtype=torch.bool)
    left[0, 100:105, 60:80] = True
    skin[0, :, 55:] = True
    skin &= ~left
    regions = regions_of_masks(left, right, lips, skin)[0]
    expected = torch.zeros(256, 256, dtype=torch.bool)
    expected[90:115, 55:90] = True  # 10 pixels around, and skin from column 55 on
    expected[100:105, 60:80] = False
    assert torch.equal(regions[0], expected)
    assert not regions[1].any() and not regions[2].any() and torch.equal(regions[3], skin[0])


def test_regions_of_labels_are_those_of_the_masks_with_left_and_right_of_the_picture(drawn):
    portraits = drawn[0]
    own, middle = regions_of_portraits(portraits), portraits.landmarks[:, 2, 0]
    columns = torch.arange(128)[None, None]
    masks = portraits.masks
    for left, right in ((4, 5), (5, 4)):  # networks differ in what they call left
        labels = torch.zeros_like(portraits.labels)
        labels[masks["skin"]] = 1
        labels[masks["lips"]] = 12
        labels[masks["lips"] & (torch.arange(128)[:, None] % 2 == 0)] = 13
        labels[masks["eyes"] & (columns < middle[:, None, None])] = left
        labels[masks["eyes"] & (columns >= middle[:, None, None])] = right
        found = regions_of_labels(labels)
        assert torch.equal(found[:, 2:], own[:, 2:])
        assert all(overlap(found[:, eye], own[:, eye]) > 0.95 for eye in (0, 1))


def overlap(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_regions_of_landmarks_are_near_the_portraits_own(drawn):
    own, guessed = regions_of_portraits(drawn[0]), regions_of_landmarks(drawn[0].landmarks, 128)
    for index, name in enumerate(REGIONS):
        assert overlap(own[:, index], guessed[:, index]) > 0.4, name


def test_regions_of_landmarks_turn_with_the_face():
    points = torch.tensor([[[40.0, 50], [88, 50], [64, 72], [48, 92], [80, 92]]])
    upright = regions_of_landmarks(points, 128)
    turned = regions_of_landmarks(torch.stack([127 - points[..., 1], points[..., 0]], -1), 128)  # a quarter
    for index in (2, 3):
        assert overlap(upright[:, index].rot90(-1, (1, 2)), turned[:, index]) > 0.97


def test_landmarks_of_a_real_face_and_of_none():
    photos = sorted((shared_dir() / "data" / "makeup" / "non-makeup").glob("*.png"))[:1]
    if not photos:
        pytest.skip("no makeup photos: set FACECLOAK_SHARED")
    detector, image = FaceDetector(), read_image(photos[0])
    points, box = detector.landmarks(image), detector(image)
    assert points[0, 0] < points[2, 0] < points[1, 0] and points[3, 0] < points[4, 0]
    assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()
    assert (points >= box[:2]).all() and (points <= box[2:]).all()
    assert detector.landmarks(np.zeros((64, 64, 3), np.uint8)) is None
    assert detector.landmarks(np.zeros((8, 8, 3), np.uint8)) is None
