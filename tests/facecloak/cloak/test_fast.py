"""facecloak:fast: equal to a plain reference, and what it must keep to."""

import pytest
import torch
import torch.nn.functional as F

import facecloak
from benchmarks.harness.methods import resolve_methods
from facecloak.cloak.backbone import Backbone
from facecloak.cloak.fast import FastCloak, FastSettings
from facecloak.data import to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import whole_pixels
from facecloak.io import pocket_dir
from tests.facecloak.cloak.small import batch_of, make_objective, photos
from tests.reference.models import random_tiny_vae


def make_fast(models, goal="impersonation", tiny=None, **settings):
    backbone = Backbone(models.unet, models.vae, models.scheduler, models.null_embedding, tiny)
    return FastCloak(FastSettings(**settings), make_objective(models, goal), backbone)


def plain(models, batch, goal, level, iterations, lr, weight, tiny, seed=8888):
    """One photo at a time, with Adam written out; nothing of `facecloak.cloak` is used."""
    alphas = models.scheduler.alphas_cumprod.double()
    objective, made = make_objective(models, goal), []
    decoder, scale = (tiny, tiny.config.scaling_factor) if tiny else (models.vae, models.vae.config.scaling_factor)

    def noise(z, t):
        return models.unet(z, t, encoder_hidden_states=models.null_embedding).sample

    def picture(z):
        clean = (z - (1 - alphas[level]).sqrt() * noise(z, level)) / alphas[level].sqrt()
        last = alphas[0].sqrt() * clean + (1 - alphas[0]).sqrt() * noise(z, level)
        return decoder.decode(last / scale).sample

    for photo, box in zip(batch.images.split(1), batch.boxes.tolist(), strict=True):
        x0, y0, x1, y1 = whole_pixels(box, 64, 64)
        posterior = models.vae.encode(photo).latent_dist
        drawn = torch.randn(1, *posterior.mean.shape[1:], generator=torch.Generator().manual_seed(seed))
        z0 = (posterior.mean + posterior.std * drawn.double()) * models.vae.config.scaling_factor
        first = noise(z0, 1)
        clean = (z0 - (1 - alphas[1]).sqrt() * first) / alphas[1].sqrt()
        z = (alphas[level].sqrt() * clean + (1 - alphas[level]).sqrt() * first).detach()
        before, m, v = picture(z).detach(), 0.0, 0.0
        for step in range(1, iterations + 1):
            z.requires_grad_()
            image = photo + picture(z) - before
            terms = []
            for k, network in enumerate(objective.surrogates):
                size = (network.input_size,) * 2
                face, own = (F.interpolate(one[..., y0:y1, x0:x1], size, mode="bilinear") for one in (image, photo))
                to_target = (network(face) * objective.targets[k][0]).sum()
                to_self = (network(face) * network(own).detach()).sum()
                terms.append(1 - to_target if goal == "impersonation" else to_self - to_target)
            loss = sum(terms) / len(terms) + weight * (image - photo).pow(2).mean()
            (gradient,) = torch.autograd.grad(loss, z)
            m, v = 0.5 * m + 0.5 * gradient, 0.999 * v + 0.001 * gradient**2
            z = z.detach() - lr * (m / (1 - 0.5**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
        made.append((photo + picture(z).detach() - before).clamp(-1, 1))
    return torch.cat(made)


@pytest.mark.parametrize(("goal", "with_tiny"), [("impersonation", True), ("obfuscation", False)])
def test_it_equals_a_plain_reference(models, goal, with_tiny):
    tiny = random_tiny_vae().double() if with_tiny else None
    batch = batch_of(photos(3))
    expected = plain(models, batch, goal, 251, 4, 0.1, 2.0, tiny)
    protected = make_fast(models, goal, tiny, level=251, iterations=4, lr=0.1, lambda_change=2.0).predict_step(batch)
    assert protected.errors == [None] * 3 and protected.unet_passes == 1 + 1 + 4 + 1
    torch.testing.assert_close(protected.images, expected, rtol=0, atol=1e-6)
    assert float((protected.images - batch.images).abs().max()) > 0.01  # it did something


def test_a_change_that_costs_much_is_small(models):
    batch = batch_of(photos(2))
    sizes = [
        float((make_fast(models, lambda_change=weight).predict_step(batch).images - batch.images).square().mean())
        for weight in (0.0, 1000.0)
    ]
    assert sizes[1] < 0.7 * sizes[0]


def test_without_an_effect_on_the_surrogates_the_photo_stays_as_it_is(models):
    """What the autoencoder loses is not lost: the unchanged latent gives the photo itself."""
    method, batch = make_fast(models), batch_of(photos(2))
    with torch.no_grad():
        start = method.start(batch.images)
        assert torch.equal(method.picture(batch.images, start, method.decode(start)), batch.images)


def test_it_moves_faces_towards_the_target_in_fewer_passes_than_the_exact_method():
    suite = facecloak.load_suite("pocket")
    batch = suite.batch(target="1", limit=2)
    method = facecloak.load_method("facecloak:fast", suite, target="1", black_box="pocket_dense")
    made = method.predict_step(batch)
    adversarial = torch.tensor(made.history["adv"])
    assert (adversarial[-1] < 0.5 * adversarial[0]).all()
    with torch.no_grad():
        before, after = (method.objective.embed(images, batch.boxes) for images in (batch.images, made.images))
    for source, protected, target in zip(before, after, method.objective.targets, strict=True):
        assert (1 - protected @ target[0] < 0.5 * (1 - source @ target[0])).all()
    assert made.unet_passes == 8


def test_its_name_is_a_method_and_the_other_presets_are_still_presets():
    suite = facecloak.load_suite("pocket")
    fast, code = resolve_methods(suite, ["facecloak:fast", "facecloak:code"], ["facecloak:fast.iterations=3"])
    assert (fast.name, fast.preset, fast.cls, fast.settings.iterations) == ("facecloak:fast", "default*", FastCloak, 3)
    assert (code.name, code.preset) == ("facecloak", "code")


@pytest.mark.parametrize(("settings", "message"), [
    ({"iterations": 0}, "iterations must be at least 1"), ({"level": 1000}, "level must be between 1 and 999"),
    ({"lr": 0.0}, "lr must be above 0"), ({"lambda_change": -1.0}, "lambda_change must be at least 0"),
])  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(FacecloakError, match=message):
        FastSettings(**settings)


def test_the_shipped_tiny_decoder_draws_what_the_full_one_draws():
    backbone = Backbone.load(str(pocket_dir() / "diffusion"), "float32", "float32", str(pocket_dir() / "tiny_decoder"))
    suite = facecloak.load_suite("pocket")
    images = to_tensor(suite.read(source.path, suite.find_face()).image for source in suite.load_sources(1))
    with torch.no_grad():
        z = backbone.encode(images, 0)
        full, tiny = backbone.decode(z), backbone.decode(z, for_gradient=True)
        strange = backbone.decode(z.roll(1, 0), for_gradient=True)
    error, of_another = ((full - other).div(2).square().mean((1, 2, 3)) for other in (tiny, strange))
    assert (error < 10 ** (-18 / 10)).all() and (error < of_another / 4).all()  # 18 dB


@pytest.mark.parametrize("setting", ["precision", "decoder_precision"])
def test_fp16_on_a_cpu_is_refused(models, setting):
    with pytest.raises(FacecloakError, match="fp16 needs a GPU"):
        make_fast(models, **{setting: "fp16"}).predict_step(batch_of(photos(1)))
