"""DiffAIM: equal to a plain reference, and what it must keep to."""

import pytest
import torch

from baselines.common.diversity import diverse, draw_numbers
from baselines.common.randomness import generators
from baselines.diffusion.diffaim import DiffAIM, DiffAIMSettings, _Attack
from baselines.diffusion.edit_friendly import invert, noisy_step
from facecloak.errors import FacecloakError
from tests.baselines.diffusion.small import make_diffaim, pocket_distance
from tests.facecloak.cloak.small import BOXES, batch_of, photos
from tests.reference import diffaim as reference
from tests.reference.cloak import Case

SIDE = 128  # in smaller pictures the deepest features have a single position, whose cosine does not change


def batch_of_photos(count, indices=None):
    batch = batch_of(photos(count, side=SIDE), indices)
    batch.boxes = 2 * batch.boxes
    return batch


def plain(models, batch, index, goal="impersonation", **attack):
    case = Case(batch.images[index : index + 1], tuple(2 * x for x in BOXES[index]), photos(1, seed=99), None, goal)
    (random,) = generators(8888, [batch.ids[index]])
    settings = {"steps": 20, "skip": 18, "iterations": 2, "copies": 2, **attack}
    return reference.protect(models, case, reference.Attack(pocket_distance(), random, **settings))


@pytest.mark.parametrize(
    ("goal", "attention"), [("impersonation", "separate"), ("obfuscation", "separate"), ("impersonation", "broadcast")]
)
def test_it_equals_a_plain_reference_step_by_step(models, goal, attention, monkeypatch):
    batch, method, seen = batch_of_photos(2), make_diffaim(models, goal, attention=attention), []
    ascend, decode = _Attack.ascend, method.backbone.decode
    monkeypatch.setattr(_Attack, "ascend", lambda self, z, *rest: seen.append(z) or ascend(self, z, *rest))
    method.backbone.decode = lambda z, **how: (seen.append(z) if not how else None, decode(z, **how))[1]
    made = method.predict_step(batch)
    assert made.errors == [None, None] and len(seen) == 3  # the first latent, and those after each of two steps
    expected = plain(models, batch, 1, goal, broadcast=attention == "broadcast")
    for name, curve in expected.curves.items():
        assert [row[1] for row in made.history[name]] == pytest.approx(curve, rel=1e-6, abs=1e-9), name
    for ours, theirs in zip(seen, [expected.start, *expected.latents], strict=True):
        torch.testing.assert_close(ours[1:], theirs, rtol=0, atol=1e-6)
    torch.testing.assert_close(made.images[1:], expected.image, rtol=0, atol=1e-6)
    assert max(abs(each - 1 / 3) for each in expected.surrogates[-1]) > 1e-5  # the surrogates' weights have changed
    assert max(expected.curves["semantic"]) > 1e-6 and min(expected.curves["structure"]) < 0
    assert min(expected.curves["perceptual"]) < 0


def test_the_slip_in_the_attention_changes_the_result(models):
    batch = batch_of_photos(1)
    rightly, wrongly = (
        make_diffaim(models, attention=each).predict_step(batch).images for each in ("separate", "broadcast")
    )
    assert (rightly - wrongly).abs().max() > 1e-4


def test_the_noises_of_the_inversion_lead_back_to_the_photo(models):
    method = make_diffaim(models, start_step=10)
    backbone, steps = method.backbone, method.steps
    clean = backbone.encode(photos(2), None)
    path = invert(backbone, clean, steps, generators(1, ["a", "b"]))
    assert len(steps) == 10 and steps[-1] == (1, -49)
    z = path.latents[0]
    with torch.no_grad():
        for index, step in enumerate(steps):
            torch.testing.assert_close(z, path.latents[index], rtol=0, atol=1e-10)
            alpha = backbone.alpha(step[0])
            drawn = (z - alpha.sqrt() * clean) / (1 - alpha).sqrt()
            assert 0.7 < float(drawn.std()) < 1.3  # a noise of its own at each level
            predicted = backbone.predict_noise(z, step[0], backbone.null_embedding(2))
            mean, spread = noisy_step(z, predicted, alpha, backbone.alpha(step[1]))
            z = mean + spread * path.noises[index]
    assert torch.equal(path.noises[-1], torch.zeros_like(z))
    last = backbone.alpha(1)
    expected = (path.latents[-1] - (1 - last).sqrt() * predicted) / last.sqrt()
    assert (z - expected).abs().max() < 0.1  # the last step ends at its mean, near the clean latent that it predicts


def test_a_step_equals_the_schedulers(models):
    z, noise, fresh = (photos(1, seed=seed, side=16)[:, :1].expand(-1, 4, -1, -1) for seed in (1, 2, 3))
    models.scheduler.set_timesteps(20)
    alphas = models.scheduler.alphas_cumprod
    expected = models.scheduler.step(noise, 101, z, eta=1.0, variance_noise=fresh).prev_sample
    mean, spread = noisy_step(z, noise, alphas[101], alphas[51])
    torch.testing.assert_close(mean + spread * fresh, expected, rtol=0, atol=1e-12)


def test_no_latent_moves_further_than_the_radius_before_a_step(models):
    batch = batch_of_photos(1)
    steps = []
    method = make_diffaim(models, radius=0.01, step_size=100.0)
    predict_noise = method.backbone.predict_noise

    def spy(z, timestep, embedding):
        steps.append((timestep, z.detach().clone()))
        return predict_noise(z, timestep, embedding)

    method.backbone.predict_noise = spy
    method.predict_step(batch)
    loop = steps[1:]  # after the inversion: benign, first, second
    for benign, first, second in (loop[i : i + 3] for i in range(0, len(loop), 3)):
        assert benign[0] == first[0] == second[0]
        assert float((second[1] - first[1]).abs().max()) == pytest.approx(0.01)


def test_passes_are_counted(models):
    batch = batch_of_photos(1)
    inversion, steps, iterations = 1, 2, 2
    made = make_diffaim(models).predict_step(batch)
    assert made.unet_passes == inversion + steps * (1 + iterations)
    made = make_diffaim(models, attention="broadcast").predict_step(batch)
    assert made.unet_passes == inversion + steps * 2 * iterations


def test_a_photo_alone_gives_the_same(models):
    together = make_diffaim(models).predict_step(batch_of_photos(2))
    made = make_diffaim(models).predict_step(batch_of_photos(2, [1]))
    torch.testing.assert_close(together.images[1:2], made.images, rtol=0, atol=1e-9)


def test_diverse_copies_have_all_sizes_and_places():
    faces, random = torch.full((4000, 3, 20, 20), 0.5), generators(3, ["a"])
    views = diverse(faces, draw_numbers(random, 4000), random)
    smooth = views[((views[:, :, 10, 10] - 0.5).abs() < 1e-5).all(1)]  # those without noise
    assert 0.45 < len(smooth) / 4000 < 0.55
    filled = smooth[:, 0] > 0.25
    heights = filled.any(2).sum(1)
    assert set(heights.tolist()) == {18, 19, 20}
    smallest = filled[heights == 18]
    assert set(smallest.any(2).float().argmax(1).tolist()) == {0, 1, 2}
    assert set(smallest.any(1).float().argmax(1).tolist()) == {0, 1, 2}
    assert set(smooth[:, 0][~filled].tolist()) == {0.0}
    assert 0.3 < float((heights < 20).float().mean()) < 0.36  # a half is resized, a third of them to the same size
    noisy = (views[(views[:, 0, 10, 10] - 0.5).abs() > 1e-5] - 0.5)[:, :, 3:17, 3:17].flatten(1).std(1)
    assert float(noisy.max()) < 0.1**0.5 * 1.2 and 0.13 < float(noisy.mean()) < 0.19


@pytest.mark.parametrize("settings", [
    {"copies": 0}, {"radius": 0}, {"start_step": 100}, {"tolerance": -1}, {"steps": 1000},
])  # fmt: skip
def test_impossible_settings_are_refused(settings):
    with pytest.raises(FacecloakError, match="diffaim: "):
        DiffAIMSettings(**settings)


def test_presets_are_the_codes_and_the_repaired_one():
    code, paper = (DiffAIMSettings(**DiffAIM.presets[name]) for name in ("code", "paper"))
    assert (code.attention, paper.attention) == ("broadcast", "separate")
    assert (code.steps, code.start_step, code.iterations, code.radius) == (100, 80, 10, 0.05)
