"""DiffPrivate: equal to a plain reference, and what it must keep to."""

import pytest
import torch

from baselines.diffusion.diffprivate import DiffPrivate, DiffPrivateSettings, angular_distance
from facecloak.errors import FacecloakError
from tests.baselines.diffusion.small import TOKENS, make_diffprivate, pocket_distance, random_caption
from tests.facecloak.cloak.small import BOXES, batch_of, photos
from tests.reference import diffprivate as reference
from tests.reference.cloak import Case


def plain(models, images, index, goal="impersonation", timesteps="aligned", iterations=2, **attack):
    case = Case(
        images[index : index + 1], BOXES[index], photos(1, seed=99), None, goal, timesteps,
        iterations=iterations, start_step=18,
    )  # fmt: skip
    settings = {"embedding_iterations": 1, "lr": 0.05, "stop": 1.0, **attack}
    return reference.protect(
        models, case, reference.Attack(random_caption(models), TOKENS, pocket_distance(), **settings)
    )


@pytest.mark.parametrize(
    ("goal", "timesteps", "half_range"),
    [("impersonation", "aligned", False), ("obfuscation", "code", True)],
)
def test_it_equals_a_plain_reference_step_by_step(models, goal, timesteps, half_range):
    images, loss_range = photos(2), "code" if half_range else "same"
    method = make_diffprivate(
        models, goal, timesteps=timesteps, loss_range=loss_range, lr=0.05, stop_distance=1.0, iterations=2
    )  # fmt: skip
    pictures, sources, blend = [], [], method.blend

    def watched(decoded, given):
        sources.append(given)
        pictures.append(blend(decoded, given))
        return pictures[-1]

    method.blend = watched
    made = method.predict_step(batch_of(images))
    assert made.errors == [None, None]
    expected = plain(models, images, 1, goal, timesteps, half_range=half_range)
    for name, curve in expected.curves.items():
        assert [row[1] for row in made.history[name]] == pytest.approx(curve, rel=1e-6, abs=1e-9), name
    for ours, theirs in zip(pictures, [*expected.pictures, expected.image], strict=True):
        torch.testing.assert_close(ours[1:], theirs, rtol=0, atol=1e-6)
    for ours, theirs in zip(sources[0].embeddings, expected.embeddings, strict=True):
        torch.testing.assert_close(ours[1:], theirs, rtol=0, atol=1e-6)
    torch.testing.assert_close(sources[0].mask[1:], expected.mask, rtol=0, atol=1e-6)
    assert torch.equal(made.images, pictures[-1])
    assert float(expected.mask.min()) > 0 and float(expected.mask.max()) == 1
    assert (made.images - images).abs().max() > 0.1


def test_passes_are_counted(models):
    made = make_diffprivate(models, iterations=2, embedding_iterations=3).predict_step(batch_of(photos(1)))
    inversion, embeddings, look, final = 2, 2 * 2 + 3 + 5, 4, 4
    assert made.unet_passes == inversion + embeddings + look + 2 * 4 + final


def test_a_photo_is_finished_when_the_first_surrogate_no_longer_knows_it(models):
    """With the reference's picture of the first iteration in which the angle is larger than the setting."""
    models.recognizers = models.recognizers[:1]
    weights = {"lambda_perceptual": 0.0, "lambda_cross": 0.0, "lambda_self": 0.0}
    expected = plain(models, photos(1), 0, "obfuscation", lr=0.01, weights=(0.0, 0.0, 0.0), iterations=3)
    last = max(range(3), key=lambda index: expected.angles[index])
    assert last > 0, expected.angles
    stop = (max(expected.angles[:last]) + expected.angles[last]) / 2
    method = make_diffprivate(models, "obfuscation", lr=0.01, stop_distance=stop, iterations=20, **weights)
    made = method.predict_step(batch_of(photos(1)))
    assert [row[0] for row in made.history["loss"]] == pytest.approx(expected.curves["loss"][: last + 1], rel=1e-6)
    torch.testing.assert_close(made.images, expected.pictures[last], rtol=0, atol=1e-6)


def test_a_finished_photo_stays_as_it_is_and_the_others_go_on(models):
    images, (early, late) = photos(2), (1, 0)

    def protect(indices, iterations, finish_at=99):
        """One photo is finished in an iteration, whatever the first surrogate sees."""
        method = make_diffprivate(models, lr=0.1, iterations=iterations)
        losses, sizes = method.losses, []

        def stub(z, sources):
            weighted, away = losses(z, sources)
            finished = len(sizes) == finish_at
            sizes.append(len(z))
            return weighted, torch.tensor([0.9 if finished and place == early else 0.1 for place in range(len(away))])

        method.losses = stub
        return method.predict_step(batch_of(images, indices)), sizes

    made, sizes = protect([0, 1], 4, finish_at=1)
    assert sizes == [2, 2, 1, 1]
    curves = [[row[place] for row in made.history["loss"]] for place in (late, early)]
    assert len(set(curves[0])) == 4 and curves[1][1] == curves[1][2] == curves[1][3] != curves[1][0]
    free, _ = protect([late], 4)
    short, _ = protect([early], 1)
    torch.testing.assert_close(made.images[late], free.images[0], rtol=0, atol=1e-9)
    torch.testing.assert_close(made.images[early], short.images[0], rtol=0, atol=1e-9)
    assert free.unet_passes - short.unet_passes == 3 * 4
    assert made.unet_passes == (2 * free.unet_passes - 2 * 4) / 2  # one photo was generated twice less


def test_nothing_outside_the_mask_changes(models):
    """Where the caption's attention is nearly 0, the photo stays as it is."""
    method, batch = make_diffprivate(models, lr=0.2), batch_of(photos(1))
    look_at = method.look_at

    def half(*arguments):
        sources = look_at(*arguments)
        sources.mask[..., :32] = 0
        return sources

    method.look_at = half
    made = method.predict_step(batch)
    assert torch.equal(made.images[..., :32], batch.images[..., :32])
    assert (made.images - batch.images)[..., 32:].abs().max() > 0.05


def test_gradient_checkpointing_changes_nothing(models):
    batch = batch_of(photos(1))
    plainly, thriftily = (
        make_diffprivate(models, gradient_checkpointing=each, iterations=1).predict_step(batch)
        for each in (False, True)
    )
    torch.testing.assert_close(plainly.images, thriftily.images, rtol=0, atol=1e-10)


def test_a_single_surrogate_is_the_first():
    settings = DiffPrivateSettings(**DiffPrivate.presets["code"])
    assert DiffPrivate.pick_surrogates(settings, ["a", "b"]) == ["a"]
    assert DiffPrivate.pick_surrogates(DiffPrivateSettings(), ["a", "b"]) == ["a", "b"]


def test_the_angle_of_equal_faces_has_a_finite_gradient():
    face = torch.nn.functional.normalize(torch.ones(1, 7), dim=1).requires_grad_()
    distance = angular_distance(face, face.detach())
    (gradient,) = torch.autograd.grad(distance.sum(), face)
    assert float(distance) < 1e-3 and torch.isfinite(gradient).all()
    assert float(angular_distance(torch.eye(2)[:1], torch.eye(2)[1:])) == pytest.approx(0.5)


def test_photos_of_a_size_without_8_by_8_attention_are_refused(models):
    with pytest.raises(FacecloakError, match="no cross-attention at 8×8: use another image size"):
        make_diffprivate(models).predict_step(batch_of(photos(1, side=48)))


@pytest.mark.parametrize("settings", [
    {"stop_distance": 0}, {"caption": " "}, {"start_step": 20}, {"lambda_self": -1}, {"steps": 1000},
])  # fmt: skip
def test_impossible_settings_are_refused(settings):
    with pytest.raises(FacecloakError, match="diffprivate: "):
        DiffPrivateSettings(**settings)
