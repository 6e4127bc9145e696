"""OPOM and Chameleon equal plain references step by step; a person's mask depends on the person's album only."""

import math

import pytest
import torch
from scipy.optimize import minimize

from baselines.cloaks.chameleon import angle
from baselines.cloaks.hulls import affine_weights, convex_weights
from baselines.cloaks.person import put_on
from baselines.common.randomness import generators
from benchmarks import METHODS
from facecloak.config import parse_settings
from facecloak.data import Album, Batch, to_uint8
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from tests.baselines.noise.small import BOXES, SIDE, make_objective, photos
from tests.reference import cloaks_per_person as plain

GRID = 11
SMALL = {"opom": {"grid": GRID, "iterations": 7}, "chameleon": {"grid": GRID, "epochs": 3, "step": 2.0}}


def make(name: str, goal: str = "impersonation", **settings):
    cls = METHODS[name]
    return cls(parse_settings(cls.Settings, {**SMALL[name], **settings}), make_objective(goal))


def album_of(person: int, count: int = 4) -> Album:
    """Photos of one person: a pattern of grey levels, and noise."""
    pattern = photos(1, seed=1000 + person)
    levels = (0.8 * pattern + 0.2 * photos(count, seed=2000 + person) + 1) * 127.5
    return Album(levels.round() / 127.5 - 1, torch.tensor([BOXES[index % len(BOXES)] for index in range(count)]))


def batch_of(people: list[int], albums: dict[int, Album] | None = None) -> Batch:
    """A photo of each person, which is not in the album."""
    images = torch.cat([album_of(person, 5).images[4:] for person in people])
    boxes = torch.tensor([BOXES[place % len(BOXES)] for place in range(len(people))])
    known = {person: album_of(person) for person in people} | (albums or {})
    return Batch([f"p{place}" for place in range(len(people))], images, boxes, [known[person] for person in people])


def networks(method):
    return [(each.network, each.input_size) for each in method.objective.surrogates]


def levels(images):
    return (images + 1) * 127.5


def start_of(epsilon: float) -> torch.Tensor:
    """The first mask in grey levels, drawn in float32."""
    (random,) = generators(0, ["mask"])
    return epsilon * (2 * torch.rand(3, GRID, GRID, generator=random).double() - 1)


@pytest.mark.parametrize(
    ("hull", "momentum"), [("own", 0), ("centroid", 0), ("affine", 0), ("convex", 0), ("convex", 0.9)]
)
def test_opom_equals_the_plain_one_step_by_step(hull, momentum):
    method, album = make("opom", hull=hull, momentum=momentum), album_of(1)
    boxes = [tuple(box) for box in album.boxes.tolist()]
    masks, distances = plain.opom(
        networks(method), levels(album.images), boxes, hull, start_of(8), steps=7, decay=momentum
    )
    for steps in (1, 5, 6, 7):
        found, losses = make("opom", hull=hull, momentum=momentum, iterations=steps).learn(album)
        assert losses == pytest.approx([-distance for distance in distances[:steps]], abs=1e-9)
        torch.testing.assert_close(found * 127.5, masks[steps - 1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("hull", ["own", "affine", "convex"])
def test_opom_with_dropout_equals_the_plain_one_step_by_step(hull):
    settings = {"hull": hull, "momentum": 1.0, "dropout": 0.1}
    method, album = make("opom", **settings), album_of(1)
    boxes = [tuple(box) for box in album.boxes.tolist()]
    (random,), sides = generators(0, ["dropout"]), [(size - 3) // 2 for _, size in networks(method)]
    factors = [
        tuple(
            [(torch.rand(4, 6, side, side, generator=random) >= 0.1).double() / 0.9 for side in sides] for _ in range(2)
        )
        for _ in range(7)
    ]
    masks, distances = plain.opom(
        networks(method), levels(album.images), boxes, hull, start_of(8), steps=7, decay=1.0, factors=factors
    )
    for steps in (1, 6, 7):
        found, losses = make("opom", iterations=steps, **settings).learn(album)
        assert losses == pytest.approx([-distance for distance in distances[:steps]], abs=1e-9)
        torch.testing.assert_close(found * 127.5, masks[steps - 1], rtol=0, atol=1e-6)


def test_dropout_is_behind_every_convolution_also_nested_and_grouped_ones():
    method, album = make("opom", dropout=0.3), album_of(1)
    del method.objective.surrogates[1]
    layers = [torch.nn.Conv2d(3, 6, 5, stride=2).double(), torch.nn.Conv2d(6, 4, 3, groups=2).double()]
    method.objective.surrogates[0].network = torch.nn.Sequential(
        layers[0], torch.nn.Sequential(layers[1]), torch.nn.Flatten()
    )
    (ours, drawn), faces = (generators(7, ["a"])[0] for _ in range(2)), crop(album.images, album.boxes, 12)
    with method.dropping(ours):
        (found,) = method.embed_album(album)
    for layer in layers:
        faces = layer(faces)
        faces = faces * (torch.rand(faces.shape, generator=drawn) >= 0.3) / 0.7
    torch.testing.assert_close(found, torch.nn.functional.normalize(faces.flatten(1)), rtol=0, atol=1e-12)


def test_dropout_is_gone_after_a_mask_is_learned_and_needs_convolutions():
    method, album = make("opom", dropout=0.5), album_of(1)
    before = method.embed_album(album)
    method.learn(album)
    assert all(map(torch.equal, before, method.embed_album(album)))
    method.objective.surrogates[1].network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 8).double())
    with pytest.raises(FacecloakError, match="toy2 has no convolutions"):
        method.learn(album)
    assert torch.equal(before[0], method.embed_album(album)[0])


def test_the_hulls_differ():
    """Else the test above would not distinguish them."""
    found = {hull: make("opom", hull=hull).learn(album_of(1))[0] for hull in ("own", "centroid", "affine", "convex")}
    for one in found:
        for other in found:
            assert (one == other) == torch.equal(found[one], found[other])


@pytest.mark.parametrize("budget", [0.004, 0.009])
def test_chameleon_equals_the_plain_one_step_by_step(budget):
    settings = {"epochs": 6, "photos": 3, "budget": budget, "step": 8.0}
    method, album = make("chameleon", **settings), album_of(2)
    boxes = [tuple(box) for box in album.boxes.tolist()]
    (random,) = generators(0, ["order"])
    order = [[part.tolist() for part in torch.randperm(4, generator=random).split(3)] for _ in range(6)]
    masks, expected, weights = plain.chameleon(
        networks(method), levels(album.images), boxes, start_of(16), order, step=8.0, budget=budget
    )
    for epochs in (1, 2, 6):
        found, losses = make("chameleon", **{**settings, "epochs": epochs}).learn(album)
        assert losses == pytest.approx(expected[:epochs], rel=1e-6, abs=1e-6)
        torch.testing.assert_close(found * 127.5, masks[epochs - 1], rtol=0, atol=1e-6)
    if budget == 0.009:
        assert min(weights) < 0.5 and max(weights) > 100 and weights.count(1) > 1, "this test leaves a branch out"


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cloud(count: int, size: int = 8, spread: float = 0.4, seed: int = 0) -> torch.Tensor:
    """Unit rows that resemble each other."""
    return torch.nn.functional.normalize(randn(1, size, seed=99) + spread * randn(count, size, seed=seed), dim=1)


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_weights_equal_brute_force(count):
    features = cloud(count)
    points = torch.cat([cloud(12, seed=1), features[:1], features.mean(0, keepdim=True), -features[:1]])
    for found, slow in (
        (affine_weights(features, points), plain.affine),
        (convex_weights(features, points), plain.convex),
    ):
        expected = torch.stack([slow(features, point) for point in points])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    assert affine_weights(features, points).min() < 0 or count == 1


def test_weights_of_many_features_equal_scipys():
    features, points = cloud(12, size=16), cloud(4, size=16, seed=1)
    for point, found in zip(points, convex_weights(features, points), strict=True):
        answer = minimize(
            lambda w, point=point: float(((point - torch.from_numpy(w) @ features) ** 2).sum()), [1 / 12] * 12,
            jac=lambda w, point=point: (2 * features @ (torch.from_numpy(w) @ features - point)).numpy(),
            bounds=[(0, 1)] * 12, constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-14},
        )  # fmt: skip
        assert found.sum().item() == pytest.approx(1, abs=1e-12) and found.min() >= 0
        assert found.tolist() == pytest.approx(answer.x.tolist(), abs=1e-4)
        assert ((point - found @ features) ** 2).sum().item() <= answer.fun + 1e-12


def test_photos_that_are_twice_in_an_album_and_more_photos_than_features_change_no_nearest_point():
    features, points = cloud(4), cloud(6, seed=1)
    twice = torch.cat([features, features[1:3], features[1:3] + 1e-9])
    for weigh in (affine_weights, convex_weights):
        near = weigh(twice, points)
        torch.testing.assert_close(near @ twice, weigh(features, points) @ features, rtol=0, atol=1e-6)
        assert near.abs().max() < 10
        assert weigh(cloud(9, size=3), points[:, :3]).isfinite().all()
    whole = affine_weights(cloud(9, size=3), points[:, :3]) @ cloud(9, size=3)
    torch.testing.assert_close(whole, points[:, :3], rtol=0, atol=1e-9)  # a hull that is all of space


@pytest.mark.parametrize("weigh", [affine_weights, convex_weights])
def test_weights_of_what_is_no_number_are_none(weigh):
    features, points = cloud(3), cloud(2, seed=1)
    features[1, 2] = math.nan
    assert weigh(features, points).isnan().all()


@pytest.mark.parametrize(
    "box", [(4.0, 3, 15, 14), (10.2, 9.7, 21.4, 20.9), (-3, -2, 11, 11), (20, 1, 31, 12, math.pi / 2)]
)
def test_where_the_grids_agree_recognizers_see_the_mask_itself(box):
    images, mask = randn(1, 3, SIDE, 36) * 0.1, randn(1, 3, GRID, GRID, seed=1) * 0.1
    boxes = torch.tensor([box], dtype=torch.float64)
    changed = put_on(images, boxes, mask)
    torch.testing.assert_close(crop(changed, boxes, GRID) - crop(images, boxes, GRID), mask, rtol=0, atol=1e-9)
    assert ((changed != images).any(1).sum()) == GRID * GRID


def test_a_mask_is_turned_with_the_face():
    """A linear mask, because bilinear interpolation does not change it."""
    images, mask = torch.zeros(1, 3, 64, 64).double(), torch.zeros(1, 3, 16, 16).double()
    ramp = torch.linspace(-0.15, 0.15, 16, dtype=torch.float64)
    mask[:, 0], mask[:, 1] = ramp, ramp[:, None]
    boxes = torch.tensor([[16.0, 14, 48, 46, 0.4]])
    seen = crop(put_on(images, boxes, mask), boxes, 16)
    torch.testing.assert_close(seen[..., 1:-1, 1:-1], mask[..., 1:-1, 1:-1], rtol=0, atol=1e-9)
    upright = crop(put_on(images, boxes[:, :4], mask), boxes, 16)
    assert (upright - mask)[..., 1:-1, 1:-1].abs().max() > 0.02


def test_the_spread_mask_equals_the_plain_one_and_stays_within_the_mask_and_the_range():
    images, masks = photos(5), randn(5, 3, GRID, GRID)
    changed = put_on(images, torch.tensor(BOXES), masks)
    for index, box in enumerate(BOXES):
        matrix = plain.spread(box, SIDE, SIDE, GRID)
        expected = plain.masked(levels(images[index : index + 1]), matrix, masks[index] * 127.5)[0]
        torch.testing.assert_close(levels(changed[index]), expected, rtol=0, atol=1e-9)
        assert ((changed - images)[index].abs() <= masks[index].abs().max()).all()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("epsilon", [1, 8])
def test_no_saved_pixel_moves_further_than_epsilon(name, epsilon):
    method, batch = make(name, epsilon=epsilon, step=float(epsilon)).float(), batch_of([1, 2])
    albums = [Album(album.images.float(), album.boxes) for album in batch.albums]
    made = method.predict_step(Batch(batch.ids, batch.images.float(), batch.boxes, albums))
    moved = to_uint8(made.images).astype(int) - to_uint8(batch.images).astype(int)
    assert abs(moved).max() == epsilon and made.images.abs().max() <= 1
    assert made.errors == [None] * 2 and not made.images.requires_grad


@pytest.mark.parametrize("name", SMALL)
def test_a_batch_equals_its_photos_one_at_a_time(name):
    batch, method = batch_of([1, 2, 1, 3]), make(name)
    together = method.predict_step(batch)
    for place in (3, 0, 2):
        alone = make(name).predict_step(
            Batch([batch.ids[place]], batch.images[place, None], batch.boxes[place, None], [batch.albums[place]])
        )
        torch.testing.assert_close(together.images[place], alone.images[0], rtol=0, atol=1e-12)
        assert [row[place] for row in together.history["loss"]] == [row[0] for row in alone.history["loss"]]


@pytest.mark.parametrize("name", SMALL)
def test_a_mask_depends_on_the_album_only(name):
    """Not on the photo, its box, its name, the target or the objective."""
    black, box = torch.zeros(1, 3, SIDE, SIDE).double(), torch.tensor([[0.0, 0, SIDE, SIDE]])
    alone = make(name).predict_step(Batch(["a"], black, box, [album_of(1)])).images
    others = torch.cat([black, black, black / 2 + 0.1])
    boxes = torch.cat([box, torch.tensor([[2.0, 3, 22, 23]]), box])
    made = make(name, "obfuscation").predict_step(Batch(["b", "c", "d"], others, boxes, [album_of(1)] * 3)).images
    torch.testing.assert_close(made[0], alone[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(made[2] - 0.1, alone[0], rtol=0, atol=1e-12)
    mask = make(name).learn(album_of(1))[0]
    torch.testing.assert_close(made[1], put_on(black, boxes[1:2], mask[None])[0], rtol=0, atol=1e-12)
    assert not torch.equal(make(name).predict_step(Batch(["a"], black, box, [album_of(2)])).images, alone)


@pytest.mark.parametrize("name", SMALL)
def test_a_mask_is_learned_once_for_each_person(name):
    method, batch, seen = make(name), batch_of([1, 2, 1]), []
    method.on_progress = lambda *step: seen.append(step)
    first = method.predict_step(batch)
    passes = SMALL[name].get("iterations") or SMALL[name].get("epochs")
    assert seen == [("mask", done, passes) for done in range(1, passes + 1)] * 2
    assert first.seconds_reused == 0 and len(first.history["loss"]) == passes
    again = method.predict_step(batch)
    assert len(seen) == 2 * passes and torch.equal(again.images, first.images)
    assert again.seconds >= again.seconds_reused > 0


@pytest.mark.parametrize("name", SMALL)
def test_a_mask_is_learned_again_for_other_surrogates(name):
    """The harness sets another objective for each judge, since the judge must not be attacked."""
    method, batch = make(name), batch_of([1])
    before = method.predict_step(batch).images
    method.objective = few = make_objective("impersonation")
    del few.surrogates[1:]  # only the first is left
    made = method.predict_step(batch)
    fresh = make(name)
    fresh.objective = few
    assert torch.equal(made.images, fresh.predict_step(batch).images) and made.seconds_reused == 0
    assert not torch.equal(made.images, before)


@pytest.mark.parametrize("name", SMALL)
def test_a_new_photo_of_the_person_is_further_from_the_clean_ones(name):
    """Than with a mask of random signs."""
    settings = {"opom": {"epsilon": 32, "step": 4.0}, "chameleon": {"epsilon": 32, "epochs": 6, "budget": 0.5}}[name]
    method, batch = make(name, **settings), batch_of([1, 2, 3])
    made = method.predict_step(batch).images
    noise = put_on(batch.images, batch.boxes, randn(3, 3, GRID, GRID).sign() * 32 / 127.5)
    for clean, cloaked, noisy in zip(
        *(method.objective.embed(images, batch.boxes) for images in (batch.images, made, noise)), strict=True
    ):
        assert ((clean * cloaked).sum(1) < (clean * noisy).sum(1) - 0.03).all()


@pytest.mark.parametrize("name", SMALL)
def test_what_is_no_number_is_an_error_of_its_person_alone(name):
    batch = batch_of([1, 2, 3, 4])
    batch.images[0, 0, 5, 5] = math.nan
    album = album_of(2)
    album.images[1, :, 8, 8] = math.nan
    broken = Batch(batch.ids, batch.images, batch.boxes, [batch.albums[0], album, *batch.albums[2:]])
    made, sound = make(name).predict_step(broken), make(name).predict_step(batch_of([1, 2, 3, 4]))
    assert made.errors == [
        "the protected image has NaN or infinite pixels",
        "the loss became nan in iteration 1",
        None,
        None,
    ]
    assert torch.equal(made.images[2:], sound.images[2:])


@pytest.mark.parametrize("name", SMALL)
def test_missing_albums_are_said(name):
    method, batch = make(name), batch_of([1, 2])
    with pytest.raises(FacecloakError, match="learns from an album of each person"):
        method.predict_step(Batch(batch.ids, batch.images, batch.boxes))
    empty = Album(batch.images[:0], batch.boxes[:0])
    with pytest.raises(FacecloakError, match=f"{name}: the album of p1 is empty"):
        method.predict_step(Batch(batch.ids, batch.images, batch.boxes, [album_of(1), empty]))
    with pytest.raises(FacecloakError, match="learns from an album of each person"):
        method.predict_step(Batch(batch.ids, batch.images, batch.boxes, [album_of(1)]))


def test_an_angle_has_a_finite_slope_everywhere():
    rows = cloud(3).requires_grad_()
    there = torch.stack([rows[0].detach(), rows[0].detach(), -rows[2].detach()])
    (slope,) = torch.autograd.grad(angle(rows, there).sum(), rows)
    assert slope.isfinite().all() and slope[0].abs().max() == 0 and slope[1].abs().max() > 0
    cosine = (rows[1] @ there[1]).item()
    assert angle(rows, there)[1].item() == pytest.approx(math.acos(cosine), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("opom", {"epsilon": 0}, "opom: epsilon must be between 1 and 255"),
        ("opom", {"epsilon": 2.5}, "epsilon"),
        ("opom", {"step": 0.0}, "opom: step must be above 0"),
        ("opom", {"grid": 7}, "opom: grid must be between 8 and 1024"),
        ("opom", {"grid": 100_000}, "opom: grid must be between 8 and 1024"),
        ("opom", {"iterations": 0}, "opom: iterations must be at least 1"),
        ("opom", {"momentum": 1.1}, "opom: momentum must be between 0 and 1"),
        ("opom", {"hull": "concave"}, "hull"),
        ("chameleon", {"epochs": 0}, "chameleon: epochs must be at least 1"),
        ("chameleon", {"photos": 0}, "chameleon: photos must be at least 1"),
        ("chameleon", {"budget": 0.0}, "chameleon: budget must be above 0"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(name, values, message):
    with pytest.raises(FacecloakError, match=message):
        parse_settings(METHODS[name].Settings, values, name=name)


@pytest.mark.parametrize("name", SMALL)
def test_every_preset_fits_and_single_attacks_the_first(name):
    cls = METHODS[name]
    settings = {preset: parse_settings(cls.Settings, values) for preset, values in cls.presets.items()}
    assert settings["default"] == settings["ensemble"] and cls.uses_albums
    assert cls.pick_surrogates(settings["ensemble"], ["ada", "bob"]) == ["ada", "bob"]
    assert cls.pick_surrogates(settings["single"], ["ada", "bob"]) == ["ada"]
