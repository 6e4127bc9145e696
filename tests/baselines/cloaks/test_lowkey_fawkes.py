"""LowKey and Fawkes equal plain references step by step, keep to their budgets, and treat each photo on its own."""

import math

import pytest
import torch
from torch import nn

from baselines.cloaks import fawkes as fawkes_module
from baselines.cloaks import lowkey as lowkey_module
from baselines.cloaks.dssim import Weights, dissimilarity, excess
from baselines.common.randomness import generators
from benchmarks import METHODS
from facecloak.config import parse_settings
from facecloak.data import Batch
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.recognizers.base import Recognizer
from tests.baselines.noise.small import BOXES, batch_of, make_method, photos, recognizer
from tests.reference import cloaks_lowkey_fawkes as plain

GOALS = ["impersonation", "obfuscation"]
NAMES = ["lowkey", "fawkes"]


class Smooth(nn.Module):
    """A distance of two pictures that has no kinks."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3, bias=False).double()
        nn.init.normal_(self.layer.weight, std=0.3, generator=torch.Generator().manual_seed(5))
        self.requires_grad_(False)

    def forward(self, before, after):
        return (self.layer(before).tanh() - self.layer(after).tanh()).square().mean((1, 2, 3))


FACE = 24  # pixels, instead of 112, which take 20 times as long


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(lowkey_module, "load_perceptual", lambda name: Smooth())
    monkeypatch.setattr(fawkes_module, "FACE", FACE)


def networks(method):
    return [(each.network, each.input_size) for each in method.objective.surrogates]


def noise_of(batch, place, seed=8888):
    """What `rand` gives for a photo's name, which is drawn in float32."""
    (generator,) = generators(seed, [batch.ids[place]])
    return torch.rand(batch.images.shape[1:], generator=generator)[None].double()


def unit(images):
    return (images + 1) / 2


def losses_of(made, place):
    return [row[place] for row in made.history["loss"]]


def to_source(method, images, batch):
    """Cosines to the sources, B, the mean of the surrogates."""
    now, own = (method.objective.embed(each, batch.boxes) for each in (images, batch.images))
    return torch.stack([(a * b).sum(1) for a, b in zip(now, own, strict=True)]).mean(0)


@pytest.mark.parametrize("goal", GOALS)
def test_lowkey_equals_the_plain_one_step_by_step(goal):
    method, batch = make_method("lowkey", goal, iterations=5, lambda_perceptual=3.0), batch_of(photos(4))
    made = method.predict_step(batch)
    for place in range(4):
        expected, gains = plain.lowkey(
            networks(method), Smooth(), unit(batch.images[place : place + 1]), BOXES[place], noise_of(batch, place), 5,
            weight=3.0,
        )  # fmt: skip
        assert losses_of(made, place) == pytest.approx([-gain for gain in gains], abs=1e-9)
        torch.testing.assert_close(unit(made.images[place]), expected[0], rtol=0, atol=1e-9)


BUDGET = 0.004
FORMS = {
    "untargeted": ("obfuscation", {}),
    "targeted": ("impersonation", {}),
    "targeted, synthetic face": ("obfuscation", {"form": "targeted"}),
    "untargeted, impersonation": ("impersonation", {"form": "untargeted"}),
}


@pytest.mark.parametrize(("form", "side"), [*((form, FACE) for form in FORMS), ("untargeted", 112)])
def test_fawkes_equals_the_plain_one_step_by_step(form, side, monkeypatch):
    monkeypatch.setattr(fawkes_module, "FACE", side)
    goal, settings = FORMS[form]
    method = make_method("fawkes", goal, iterations=14, budget=BUDGET, lr=20.0, **settings)
    batch, seen = batch_of(photos(3)), set()
    made = method.predict_step(batch)
    targets = [each[0] for each in method.objective.targets] if form.startswith("targeted") else None
    for place in range(3):
        expected, losses, weights, values = plain.fawkes(
            networks(method), unit(batch.images[place : place + 1]), BOXES[place], noise_of(batch, place), 14,
            BUDGET, 20.0, targets, side,
        )  # fmt: skip
        assert losses_of(made, place) == pytest.approx(losses, rel=1e-6, abs=1e-6)
        torch.testing.assert_close(unit(made.images[place]), expected[0], rtol=0, atol=1e-6)
        seen |= {"more" if c > 1 else "less" if c < 1 else "one" for c in weights}
        seen |= {"above" if value > 1.1 * BUDGET else "below" if value < 0.9 * BUDGET else "in" for value in values}
    assert seen >= {"more", "less", "one", "above", "below"}, "the settings of this test leave a branch out"


def test_dissimilarity_equals_the_plain_one_and_knows_its_own():
    images, source = photos(3), photos(3, seed=1)
    images[2] = source[2] + 0.01
    expected = [plain.dssim(unit(a[None]), unit(b[None])).item() for a, b in zip(images, source, strict=True)]
    assert dissimilarity(images, source).tolist() == pytest.approx(expected, abs=1e-12)
    assert expected[2] < 0.05 < expected[0]
    assert dissimilarity(source, source).abs().max() < 1e-12


def test_only_what_is_over_the_budget_counts():
    found = excess(torch.tensor([0.1, 0.3, math.nan]), 0.2)
    assert found[:2].tolist() == pytest.approx([0, 0.1]) and found[2].isnan()


LOW, HIGH, IN = 0.0899, 0.1101, 0.1  # of a budget of 0.1, below the band, above, and in it


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([LOW, LOW, LOW], [2, 4, 8]),
        ([HIGH, HIGH], [0.5, 0.25]),
        ([LOW, LOW, HIGH, HIGH], [2, 4, 1, 0.5]),
        ([HIGH, HIGH, LOW, LOW], [0.5, 0.25, 1, 2]),
        ([LOW, HIGH, LOW], [2, 1, 1]),
        ([LOW, IN, HIGH], [2, 1, 0.5]),
        ([HIGH, IN, IN], [0.5, 1, 1]),
        ([LOW] * 9, [2, 4, 8, 16, 32, 64, 128, 129, 129]),
        ([HIGH] * 9, [*(2.0**-n for n in range(1, 8)), 1 / 129, 1 / 129]),
    ],
)
def test_the_weight_doubles_below_the_band_halves_above_and_returns_to_1(values, expected):
    weights, found = Weights(0.1, 2), []
    assert weights.values.tolist() == [1, 1]
    for value in values:
        weights.update(torch.tensor([value, IN], dtype=torch.float64))
        found.append(weights.values.tolist())
    assert [c for c, _ in found] == pytest.approx(expected)
    assert [c for _, c in found] == [1] * len(values)  # each image has its own
    assert weights.allow(torch.tensor([0.1099, 0.1101, math.nan])).tolist() == [True, False, False]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("budget", [0.001, 0.02])
def test_fawkes_keeps_to_its_budget_and_no_pixel_moves_by_more_than_15_levels(form, budget):
    goal, settings = FORMS[form]
    batch = batch_of(photos(4))
    images = make_method("fawkes", goal, iterations=25, budget=budget, **settings).predict_step(batch).images
    faces = (crop(each, batch.boxes, FACE) for each in (images, batch.images))
    assert (dissimilarity(*faces) <= 1.1 * budget).all()
    levels = (images - batch.images).abs().amax((1, 2, 3)) * 127.5
    assert (levels > 0.5).all() and (levels < 15 + 1e-9).all()


def test_a_budget_that_nothing_keeps_to_is_an_error():
    made = make_method("fawkes", iterations=2, budget=1e-15).predict_step(batch_of(photos(2)))
    assert made.errors == ["no step kept DSSIM within 1e-15, its budget"] * 2


def test_more_budget_moves_the_features_further():
    batch = batch_of(photos(4))
    methods = [make_method("fawkes", "obfuscation", iterations=25, budget=budget) for budget in (0.002, 0.02)]
    weak, strong = (to_source(method, method.predict_step(batch).images, batch) for method in methods)
    assert (strong < weak - 0.01).all() and (weak < 1 - 1e-4).all()


def test_fawkes_comes_nearer_to_the_target_under_impersonation_only():
    batch = batch_of(photos(4))
    rise = {}
    for goal in GOALS:
        method = make_method("fawkes", goal, iterations=25)
        now, own = (method.objective.embed(x, batch.boxes) for x in (method.predict_step(batch).images, batch.images))
        gains = [(new - old) @ target[0] for new, old, target in zip(now, own, method.objective.targets, strict=True)]
        rise[goal] = torch.stack(gains).mean(0)
    assert (rise["impersonation"] > 0.05).all()
    assert (rise["impersonation"] > rise["obfuscation"] + 0.05).all()


def test_lowkey_leaves_the_source_further_with_longer_steps_and_does_not_look_at_the_goal():
    batch = batch_of(photos(4))
    short, long = (make_method("lowkey", iterations=10, step=step) for step in (0.0025, 0.01))
    weak, strong = (to_source(method, method.predict_step(batch).images, batch) for method in (short, long))
    assert (strong < weak - 0.1).all() and (weak < 0.995).all()
    other = make_method("lowkey", "obfuscation", iterations=10, step=0.0025).predict_step(batch)
    assert torch.equal(other.images, short.predict_step(batch).images)


def test_the_distance_holds_lowkey_back():
    batch, look = batch_of(photos(4)), Smooth()
    free, held = (
        make_method("lowkey", iterations=10, lambda_perceptual=weight).predict_step(batch).images for weight in (0, 300)
    )
    assert (look(batch.images, held) < look(batch.images, free)).all()


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_equals_its_images_one_at_a_time(name, goal):
    images = photos(5)
    together = make_method(name, goal).predict_step(batch_of(images))
    for place in (3, 0, 4):
        alone = make_method(name, goal).predict_step(batch_of(images, [place]))
        torch.testing.assert_close(together.images[place], alone.images[0], rtol=0, atol=1e-9)
        assert losses_of(together, place) == pytest.approx(losses_of(alone, 0), abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_chance_follows_from_the_seed_and_the_name_of_the_photo(name):
    images, boxes = photos(1).repeat(2, 1, 1, 1), torch.tensor([[2.0, 3, 22, 23]] * 2)
    batch = Batch(["a", "b"], images, boxes)
    first, again = (make_method(name).predict_step(batch).images for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, make_method(name, seed=1).predict_step(batch).images)


@pytest.mark.parametrize("name", NAMES)
def test_a_turned_face_is_moved_too(name):
    batch = batch_of(photos(2))
    squares = torch.cat([torch.tensor([[2.0, 2, 22, 22]] * 2), torch.tensor([[0.3], [-0.2]])], 1)
    batch = Batch(batch.ids, batch.images, squares)
    method = make_method(name, "obfuscation", iterations=10)
    made = method.predict_step(batch)
    assert made.errors == [None, None]
    assert (to_source(method, made.images, batch) < 0.999).all()


@pytest.mark.parametrize("name", NAMES)
def test_nan_is_an_error_of_its_image_alone(name):
    images = photos(3)
    images[1] = torch.nan
    method = make_method(name)
    made, without = method.predict_step(batch_of(images)), method.predict_step(batch_of(images, [0, 2]))
    assert made.errors == [None, "the loss became nan in iteration 1", None]
    torch.testing.assert_close(made.images[[0, 2]], without.images, rtol=0, atol=1e-9)


class NaNLater(nn.Module):
    """A network that gives NaN for the second of three faces in its third call."""

    def __init__(self, network) -> None:
        super().__init__()
        self.network, self.calls = network, 0

    def forward(self, faces):
        self.calls += 1
        broken = torch.zeros(len(faces), 1, dtype=faces.dtype)
        broken[1::3] = torch.nan if self.calls == 3 else 0
        return self.network(faces) + broken


@pytest.mark.parametrize("name", NAMES)
def test_nan_in_a_later_step_is_an_error_of_its_image(name):
    method = make_method(name)
    toy = recognizer(1, 12)
    method.objective.surrogates[0] = Recognizer(NaNLater(toy.network), "nan", 12, None)
    made = method.predict_step(batch_of(photos(3)))
    when = {"lowkey": 2, "fawkes": 2 + (method.objective.goal == "impersonation")}[name]
    assert made.errors == [None, f"the loss became nan in iteration {when}", None]


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_announced(name):
    method, seen = make_method(name, iterations=3), []
    method.on_progress = lambda stage, done, total: seen.append((stage, done, total))
    made = method.predict_step(batch_of(photos(1)))
    assert seen == [("cloak", 1, 3), ("cloak", 2, 3), ("cloak", 3, 3)]
    assert len(made.history["loss"]) == 3


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("lowkey", {"iterations": 0}, "lowkey: iterations must be at least 1"),
        ("lowkey", {"step": 0.0}, "lowkey: step must be above 0 and at most 1"),
        ("lowkey", {"start": -0.1}, "lowkey: start must be between 0 and 1"),
        ("lowkey", {"lambda_perceptual": -1.0}, "lowkey: lambda_perceptual must be at least 0"),
        ("lowkey", {"perceptual": "vgg"}, "perceptual"),
        ("fawkes", {"budget": 0.0}, "fawkes: budget must be above 0 and below 1"),
        ("fawkes", {"iterations": 0}, "fawkes: iterations must be at least 1"),
        ("fawkes", {"lr": 0.0}, "fawkes: lr must be above 0"),
        ("fawkes", {"form": "none"}, "form"),
    ],
)
def test_settings_that_cannot_be_are_refused(name, values, message):
    with pytest.raises(FacecloakError, match=message):
        parse_settings(METHODS[name].Settings, values, name=name)


def test_low_attacks_one_surrogate_and_high_is_the_default():
    cls = METHODS["fawkes"]
    settings = {preset: parse_settings(cls.Settings, values) for preset, values in cls.presets.items()}
    assert cls.pick_surrogates(settings["low"], ["ada", "bob"]) == ["ada"]
    assert cls.pick_surrogates(settings["mid"], ["ada", "bob"]) == ["ada", "bob"]
    assert settings["default"] == settings["high"]
