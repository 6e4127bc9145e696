"""The procedural portraits: the same for a seed, one person per identity, with correct words and masks."""

import pytest
import torch
import torch.nn.functional as F

from facecloak.io import read_image
from facecloak.pocket import portraits as module
from facecloak.pocket.drawing.canvas import REGIONS
from facecloak.pocket.drawing.identity import Identity, identities
from facecloak.pocket.drawing.nuisance import LIPSTICKS, SHADOWS, Nuisance, neutral, nuisances, with_makeup
from facecloak.pocket.portraits import portraits, render, sheet


@pytest.fixture(scope="module")
def many():
    return portraits(range(24), [0] * 24)


def grown(mask: torch.Tensor, pixels: int) -> torch.Tensor:
    return F.max_pool2d(mask[:, None].float(), 2 * pixels + 1, 1, pixels)[:, 0] > 0


def at(mask: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """The value of B×H×W at pixels B×N×2."""
    x, y = points.round().long().unbind(-1)
    return mask[torch.arange(len(mask))[:, None], y, x]


def photos(people: range, shot: int, **changes: float) -> tuple[Identity, Nuisance]:
    who = identities(people)
    return who, nuisances(people, [shot] * len(people), [0] * len(people), makeup=False).with_(**changes)


def test_shapes_types_and_values(many):
    assert many.images.shape == (24, 128, 128, 3) and many.images.dtype == torch.uint8
    assert many.landmarks.shape == (24, 5, 2) and many.landmarks.dtype == torch.float32
    assert many.labels.shape == (24, 128, 128) and many.labels.dtype == torch.uint8
    assert len(many.captions) == 24
    # pictures with contrast that are not burnt out
    values = many.images.float().flatten(1)
    assert (values.std(1) > 20).all() and ((values > 254).float().mean(1) < 0.02).all()


def test_a_portrait_is_its_numbers_whatever_the_batch(many):
    for index in (3, 11, 23):
        alone = portraits([index], [0])
        # at a batch's end vector instructions may round the last bit differently
        assert (alone.images[0].int() - many.images[index].int()).abs().max() <= 1
        assert (alone.images[0] != many.images[index]).float().mean() < 1e-3
        assert (alone.labels[0] != many.labels[index]).float().mean() < 1e-3
        assert alone.captions[0] == many.captions[index]
        torch.testing.assert_close(alone.landmarks[0], many.landmarks[index])
    again = portraits([5, 5, 5], [0, 0, 1])
    assert torch.equal(again.images[0], again.images[1]) and not torch.equal(again.images[0], again.images[2])
    assert not torch.equal(portraits([5], [0], seed=1).images[0], again.images[0])


def test_identities_are_distinct_and_do_not_depend_on_the_shot():
    who = identities(range(2000))
    assert len(torch.unique(who.values, dim=0)) == 2000
    assert torch.equal(identities([7, 1999]).values, who.values[[7, 1999]])
    assert torch.isfinite(who.values).all()
    assert 0.4 < who.feminine.mean() < 0.6


def test_a_person_is_found_again_among_others():
    people = range(40)
    who = identities(people)

    def features(shot: int) -> torch.Tensor:
        # small changes of expression and light, seen frontally
        _, how = photos(people, shot, glasses=0.0, blur=0.0, warmth=0.0)
        plain = neutral(len(people))
        kept = ("smile", "brow_raise", "light_x", "noise", "gaze_x")
        how = plain.with_(**{name: 0.4 * getattr(how, name).flatten() for name in kept})
        faces = render(who, how).images.permute(0, 3, 1, 2).float()[:, :, 20:108, 24:104]
        faces = F.avg_pool2d(faces, 4).flatten(1)
        return F.normalize(faces - faces.mean(1, keepdim=True))

    found = (features(1) @ features(2).T).argmax(1)
    assert (found == torch.arange(len(people))).float().mean() > 0.8


def test_no_mask_is_empty_but_those_of_what_is_not_worn(many):
    masks = many.masks
    assert set(masks) == set(REGIONS)
    for name in ("background", "skin", "lips", "eyes", "brows", "clothes"):
        assert (masks[name].flatten(1).sum(1) > 8).all(), name
    bald = torch.tensor(["shaven" in caption for caption in many.captions])
    assert (masks["hair"].flatten(1).sum(1)[~bald] > 200).all()
    worn = torch.tensor(["glasses" in caption for caption in many.captions])
    assert torch.equal(masks["glasses"].flatten(1).any(1), worn)


def test_landmarks_lie_in_their_regions(many):
    eyes, nose, mouth = many.landmarks[:, :2], many.landmarks[:, 2:3], many.landmarks[:, 3:]
    assert at(many.masks["eyes"], eyes).all()
    assert at(many.masks["skin"], nose).all()
    assert at(grown(many.masks["lips"], 2), mouth).all()
    assert (eyes[:, 0, 0] < eyes[:, 1, 0]).all() and (mouth[:, 0, 0] < mouth[:, 1, 0]).all()


def test_a_turned_head_moves_its_nose_and_its_landmarks():
    who, how = photos(range(4), 0)
    left, right = (render(who, how.with_(yaw=yaw)).landmarks for yaw in (-0.4, 0.4))
    assert ((right - left)[:, 2, 0] > 10).all()
    assert ((right - left)[:, 2, 0] > (right - left)[:, 3:, 0].mean(1)).all()


def test_captions_say_what_is_there(many):
    who, how = module.identities(range(24)), None
    how = nuisances(range(24), [0] * 24, who.feminine.flatten().tolist())
    for row, caption in enumerate(many.captions):
        person, photo = who[row : row + 1], how[row : row + 1]
        assert ("woman" in caption) == bool(person.feminine == 1)
        assert ("with makeup" in caption) != ("without makeup" in caption)
        assert ("with makeup" in caption) == ("lipstick" in caption) == bool(photo.lipstick > 0)
        assert ("eye shadow" in caption) == bool(photo.shadow > 0) and ("blush" in caption) == bool(photo.blush > 0)
        assert ("glasses" in caption) == bool(photo.glasses)
        if photo.lipstick > 0:
            assert f"{list(LIPSTICKS)[int(photo.lipstick_kind)]} lipstick" in caption
    assert 3 < sum("with makeup" in caption for caption in many.captions) < 21


def test_makeup_changes_only_where_it_is_put_and_takes_the_given_colour():
    people = list(range(12))
    bare, made = (portraits(people, [0] * 12, makeup=makeup) for makeup in (False, True))
    assert all("without makeup" in caption for caption in bare.captions)
    assert all("with makeup" in caption for caption in made.captions)
    torch.testing.assert_close(bare.landmarks, made.landmarks)
    assert torch.equal(bare.labels, made.labels)
    changed = (bare.images.int() - made.images.int()).abs().amax(-1) > 2
    pixels = torch.arange(128)
    for row, (left, right, _, _, corner) in enumerate(bare.landmarks):
        apart = float(right[0] - left[0])
        allowed = torch.zeros(128, 128, dtype=torch.bool)
        # from the brows to below the mouth, as wide as the cheeks
        top, bottom = float(min(left[1], right[1])) - 0.65 * apart, float(corner[1]) + 0.8 * apart
        inside = (pixels > top) & (pixels < bottom)
        allowed[inside] = True
        assert not (changed[row] & ~allowed).any()
        assert not changed[row][bare.labels[row] == REGIONS.index("clothes")].any()


@pytest.mark.parametrize("name", LIPSTICKS)
def test_lipstick_brings_the_lips_to_its_colour(name):
    who, bare = identities(range(8)), neutral(8)
    colour = torch.tensor(LIPSTICKS[name])
    shots = [render(who, how) for how in (bare, with_makeup(bare, lipstick=LIPSTICKS[name]))]
    assert all(f"with makeup, {name} lipstick" in caption for caption in shots[1].captions)
    lips = shots[0].masks["lips"]

    before, after = (
        torch.stack([(image[mask].float() / 255).mean(0) for image, mask in zip(shot.images, lips, strict=True)])
        for shot in shots
    )
    # in the soft white light of a neutral photo, including gloss and shadow
    far, near = ((value - colour).norm(dim=1) for value in (before, after))
    assert (near < 0.85 * far).all() and near.mean() < 0.55 * far.mean()


def test_eye_shadow_in_a_given_colour_leaves_the_mouth_alone():
    who, how = identities(range(4)), neutral(4)
    bare, made = render(who, how), render(who, with_makeup(how, shadow=SHADOWS["blue"]))
    changed = (bare.images != made.images).any(-1)
    assert changed.flatten(1).any(1).all() and not changed[:, 75:].any()
    assert not (changed & bare.masks["lips"]).any()


@pytest.mark.parametrize("end", [-1.0, 1.0])
def test_the_ends_of_all_ranges_render(end):
    who = identities(range(6))
    low = {"yaw": 0.42 * end, "pitch": 0.2 * end, "roll": 0.14 * end}
    low |= {"smile": max(end, -0.08), "open": max(end, 0.0), "brow_raise": max(end, 0.0), "squint": max(-end, 0) * 0.7}
    low |= {"gaze_x": 0.8 * end, "gaze_y": 0.6 * end, "light_x": 1.1 * end, "light_y": -0.5 + 0.4 * end}
    shots = render(who, neutral(6).with_(**low, glasses=float(end > 0), bokeh=1.0))
    assert torch.isfinite(shots.landmarks).all()
    assert (shots.images.float().flatten(1).std(1) > 15).all()
    assert (shots.masks["eyes"].flatten(1).sum(1) > 8).all() and (shots.masks["lips"].flatten(1).sum(1) > 8).all()


def test_wrong_parameters_are_refused():
    with pytest.raises(ValueError, match="columns"):
        Identity(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="identities"):
        render(identities([1, 2]), neutral(1))
    with pytest.raises(AttributeError, match="no column"):
        _ = identities([1]).tail


def test_the_command_writes_a_sheet(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", ["portraits", "--sheet", str(tmp_path / "sheet.png"), "--rows", "1", "--columns", "2"]
    )
    module.main()
    assert (read_image(tmp_path / "sheet.png") == sheet(1, 2).numpy()).all()
