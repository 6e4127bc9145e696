"""The noise baselines respect the box, batch, seed and objective, and two of them agree with a plain reference."""

import math

import pytest
import torch

from baselines.common.gradients import accumulate, signs
from facecloak.config import parse_settings
from facecloak.data import Batch, to_uint8
from facecloak.errors import FacecloakError
from facecloak.recognizers.base import Recognizer
from tests.baselines.noise.small import METHODS, batch_of, make_method, photos

CASES = {
    "pgd": ("pgd", {}),
    "pgd random start": ("pgd", {"random_start": True}),
    "mi_fgsm": ("mi_fgsm", {}),
    "ti_dim": ("ti_dim", {}),
    "tip_im l2": ("tip_im", {}),
    "tip_im linf": ("tip_im", {"norm": "linf"}),
    "tip_im mmd": ("tip_im", {"gamma": 0.001}),
    "tip_im set": ("tip_im", {"targets": "set"}),
}
GOALS = ["impersonation", "obfuscation"]


def make(case: str, goal: str = "impersonation", **settings):
    name, own = CASES[case]
    return make_method(name, goal, 3 if own.get("targets") else 1, **own, **settings)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("epsilon", [1, 12, 16])
def test_no_saved_pixel_moves_further_than_epsilon(case, epsilon):
    batch = batch_of(photos(3))
    before = batch.images.clone()
    for dtype in (torch.float32, torch.float64):
        method = make(case, epsilon=epsilon, iterations=4).to(dtype)
        made = method.predict_step(Batch(batch.ids, batch.images.to(dtype), batch.boxes))
        moved = to_uint8(made.images).astype(int) - to_uint8(before).astype(int)
        assert abs(moved).max() == epsilon
        assert made.images.abs().max() <= 1
        assert made.errors == [None] * 3 and made.unet_passes == 0
    assert torch.equal(batch.images, before)


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("case", CASES)
def test_a_batch_equals_its_images_one_at_a_time(case, goal):
    images = photos(5)
    together = make(case, goal).predict_step(batch_of(images))
    for index in (3, 0, 4):
        alone = make(case, goal).predict_step(batch_of(images, [index]))
        torch.testing.assert_close(together.images[index], alone.images[0], rtol=0, atol=1e-9)
        assert [row[index] for row in together.history["loss"]] == pytest.approx(
            [row[0] for row in alone.history["loss"]], abs=1e-9
        )


@pytest.mark.parametrize("case", ["pgd random start", "ti_dim", "tip_im l2"])
def test_chance_follows_from_the_seed_and_the_name_of_the_photo(case):
    images = photos(1).repeat(2, 1, 1, 1)
    boxes = torch.tensor([[2.0, 3, 22, 23]] * 2)
    method = make(case)
    first, again = (method.predict_step(Batch(["a", "b"], images, boxes)).images for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, make(case, seed=1).predict_step(Batch(["a", "b"], images, boxes)).images)


@pytest.mark.parametrize("case", CASES)
def test_impersonation_comes_nearer_to_the_target_and_obfuscation_leaves_the_source(case):
    batch = batch_of(photos(3))
    for goal, far in (("impersonation", 0), ("obfuscation", 1)):
        method = make(case, goal, iterations=20, epsilon=32)
        made = method.predict_step(batch)
        now, own = (method.objective.embed(images, batch.boxes) for images in (made.images, batch.images))
        for new, old, targets in zip(now, own, method.objective.targets, strict=True):
            if far or len(targets) > 1:
                assert ((new * old).sum(1) < 0.95).all()
            else:
                assert ((new - old) @ targets[0] > 0.1).all()


def plain_attack(objective, image, box, epsilon, iterations, decay) -> torch.Tensor:
    """MI-FGSM as in the paper: one photo, grey levels 0 to 255, the L1 norm, every pixel clipped separately."""
    source = (image + 1) * 127.5
    current, momentum = source.clone(), torch.zeros_like(source)
    own = objective.embed(image[None], box[None])
    for _ in range(iterations):
        current.requires_grad_()
        loss = objective((current / 127.5 - 1)[None], box[None], own).sum()
        (gradient,) = torch.autograd.grad(loss, current)
        momentum = decay * momentum + gradient / gradient.abs().sum()
        current = current.detach() - 1.5 * epsilon / iterations * torch.sign(momentum)
        current = torch.min(torch.max(current, source - epsilon), source + epsilon).clamp(0, 255)
    return current / 127.5 - 1


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize(("name", "decay"), [("mi_fgsm", 1.0), ("mi_fgsm", 0.5), ("pgd", 0.0)])
def test_it_equals_a_plain_attack(name, decay, goal):
    settings = {"momentum": decay} if name == "mi_fgsm" else {}
    method, batch = make_method(name, goal, iterations=7, **settings), batch_of(photos(3))
    made = method.predict_step(batch).images
    for image, box, result in zip(batch.images, batch.boxes, made, strict=True):
        expected = plain_attack(method.objective, image, box, 16, 7, decay)
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-9)


def test_momentum_adds_the_gradient_in_units_of_its_own_mean():
    momentum, gradient = (torch.randn(2, 3, 4, 5, dtype=torch.float64) for _ in range(2))
    found = accumulate(momentum, gradient, 0.7)
    for image in range(2):
        mean = sum(abs(value) for value in gradient[image].flatten().tolist()) / 60
        for place in [(0, 0, 0), (2, 3, 4), (1, 2, 0)]:
            expected = 0.7 * momentum[image][place].item() + gradient[image][place].item() / mean
            assert found[image][place].item() == pytest.approx(expected, rel=1e-12)
    assert torch.equal(accumulate(momentum, torch.zeros_like(gradient), 1.0), momentum)


def test_a_direction_that_is_no_number_is_not_taken_for_no_direction():
    found = signs(torch.tensor([-2.0, 0.0, 3.0, math.nan]))
    assert found[:3].tolist() == [-1, 0, 1] and found[3].isnan()


class NaNForSecond(torch.nn.Module):
    """A network whose answer for the second of three faces is NaN, from the second call on."""

    def __init__(self, network) -> None:
        super().__init__()
        self.network, self.calls = network, 0

    def forward(self, faces):
        self.calls += len(faces) == 3
        broken = torch.zeros(len(faces), 1, dtype=faces.dtype)
        broken[1:2] = torch.nan if len(faces) == 3 and self.calls > 1 else 0
        return self.network(faces) + broken


@pytest.mark.parametrize("case", [case for case in CASES if case != "tip_im set"])
def test_nan_is_an_error_of_its_image_alone(case):
    method, images = make(case), photos(3)
    surrogate = method.objective.surrogates[0]
    method.objective.surrogates[0] = Recognizer(NaNForSecond(surrogate.network), "nan", surrogate.input_size, None)
    made, without = method.predict_step(batch_of(images)), method.predict_step(batch_of(images, [0, 2]))
    assert made.errors == [None, "the loss became nan in iteration 1", None]
    torch.testing.assert_close(made.images[[0, 2]], without.images, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("pgd", {"epsilon": 0}, "pgd: epsilon must be between 1 and 255"),
        ("mi_fgsm", {"iterations": 0}, "mi_fgsm: iterations must be at least 1"),
        ("mi_fgsm", {"momentum": -0.1}, "mi_fgsm: momentum must be between 0 and 1"),
        ("ti_dim", {"kernel_size": 4}, "ti_dim: kernel_size must be odd"),
        ("tip_im", {"gamma": -1.0}, "tip_im: gamma must be at least 0"),
        ("tip_im", {"gamma": math.nan}, "tip_im: gamma must be a finite number"),
        ("tip_im", {"diversity": 0.0}, "tip_im: diversity must be between 0.01 and 1"),
        ("tip_im", {"surrogates": "all"}, "surrogates"),
        ("pgd", {"epsilon": 7.5}, "epsilon"),
    ],
)
def test_settings_that_cannot_be_are_refused(name, values, message):
    with pytest.raises(FacecloakError, match=message):
        parse_settings(METHODS[name].Settings, values, name=name)


@pytest.mark.parametrize("name", ["pgd", "mi_fgsm", "ti_dim", "tip_im"])
def test_every_preset_fits_and_single_attacks_the_first(name):
    cls = METHODS[name]
    settings = {preset: parse_settings(cls.Settings, values) for preset, values in cls.presets.items()}
    assert next(iter(settings)) == "default"
    assert settings["default"] == settings["ensemble"]
    assert cls.pick_surrogates(settings["ensemble"], ["ada", "bob"]) == ["ada", "bob"]
    assert cls.pick_surrogates(settings["single"], ["ada", "bob"]) == ["ada"]
