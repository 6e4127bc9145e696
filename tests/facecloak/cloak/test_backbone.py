"""Loading a latent diffusion model from a diffusers folder."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from facecloak.assets.paths import folder_sha256
from facecloak.cloak.backbone import Backbone
from facecloak.cloak.method import FaceCloak
from facecloak.cloak.settings import CloakSettings
from facecloak.errors import FacecloakError
from facecloak.faces import whole_image
from facecloak.io import read_image, shared_dir
from facecloak.objectives import Objective
from tests.facecloak.cloak.pipeline import TOKENS, save_pipeline
from tests.facecloak.cloak.small import batch_of, photos
from tests.reference.models import random_models, random_tiny_vae, surrogates


def protect(folder, **settings):
    models, target = random_models("test", dtype=torch.float32), photos(1, seed=99).float()
    objective = Objective("impersonation", surrogates(models), target, whole_image(target))
    settings = CloakSettings(backbone=str(folder), embedding_iterations=1, iterations=1, lambda_adv=1.0, **settings)
    method = FaceCloak(settings, objective)
    return method, method.predict_step(batch_of(photos(1).float()))


def test_a_saved_pipeline_is_loaded_and_protects(tmp_path):
    models, text_encoder = save_pipeline(tmp_path / "model")
    method, protected = protect(tmp_path / "model")
    backbone = method.backbone
    for name, weight in models.unet.state_dict().items():
        assert torch.equal(backbone.unet.state_dict()[name], weight), name
    with torch.no_grad():
        expected = text_encoder(torch.tensor([[2] + [3] * (TOKENS - 1)])).last_hidden_state
    torch.testing.assert_close(backbone.null_embedding(2), expected.expand(2, -1, -1))
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert method.schedule.inversion == [(1, 51), (51, 101), (101, 151)]
    assert method.schedule.generation == [(101, 51), (51, 1), (1, -49)]
    assert protected.errors == [None]


def test_a_caption_is_embedded_and_its_words_are_counted(tmp_path):
    _, text_encoder = save_pipeline(tmp_path / "model")
    backbone = Backbone.load(str(tmp_path / "model"), "float32", "float32", None, caption="a a")
    with torch.no_grad():
        expected = text_encoder(torch.tensor([[2, 1, 1] + [3] * (TOKENS - 3)])).last_hidden_state
    torch.testing.assert_close(backbone.caption_embedding(2), expected.expand(2, -1, -1))
    assert backbone.caption_tokens == 2
    long = Backbone.load(str(tmp_path / "model"), "float32", "float32", None, caption="a " * 20)
    assert long.caption_tokens == TOKENS - 2


def test_aligned_timesteps_go_back_as_they_came(tmp_path):
    save_pipeline(tmp_path / "model")
    method, _ = protect(tmp_path / "model", timesteps="aligned")
    assert method.schedule.generation == [(high, low) for low, high in reversed(method.schedule.inversion)]


@pytest.mark.parametrize("tiny_vae", [False, True])
def test_bf16_stays_near_float32_on_a_cpu(tmp_path, tiny_vae):
    torch.manual_seed(0)  # how near depends on the weights of the text encoder, which are random
    save_pipeline(tmp_path / "model", tiny_vae=tiny_vae)
    _, expected = protect(tmp_path / "model")
    method, protected = protect(tmp_path / "model", precision="bf16", decoder_precision="bf16")
    assert next(method.backbone.unet.parameters()).dtype == torch.bfloat16
    assert next(method.backbone.vae.decoder.parameters()).dtype == torch.bfloat16
    assert protected.images.dtype == torch.float32
    assert protected.errors == [None]
    assert 0 < (protected.images - expected.images).abs().mean() < 0.02
    assert protected.history["adv"][0] == pytest.approx(expected.history["adv"][0], abs=0.02)


def test_a_tiny_decoder_is_loaded_from_its_folder(tmp_path):
    save_pipeline(tmp_path / "model")
    tiny = random_tiny_vae()
    tiny.save_pretrained(tmp_path / "tiny")
    method, protected = protect(tmp_path / "model", tiny_decoder=str(tmp_path / "tiny"))
    for name, weight in tiny.state_dict().items():
        assert torch.equal(method.backbone.gradient_decoder.state_dict()[name], weight), name
    assert protected.errors == [None]


def test_the_hash_follows_the_weights(tmp_path):
    save_pipeline(tmp_path / "model")
    before = folder_sha256(str(tmp_path / "model"))
    file = tmp_path / "model/unet/diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert before != folder_sha256(str(tmp_path / "model"))


def assert_refused(name, match, tiny_decoder=None):
    with pytest.raises(FacecloakError, match=match) as caught:
        Backbone.load(str(name), "float32", "float32", tiny_decoder)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_one_clear_line(tmp_path):
    assert_refused(tmp_path / "nothing", "no such folder")
    save_pipeline(tmp_path / "model")
    assert_refused(tmp_path / "model", "no such folder", tiny_decoder=str(tmp_path / "nothing"))


def test_an_empty_folder_is_one_clear_line(tmp_path):
    assert_refused(tmp_path, "could not be loaded")


def test_a_model_that_does_not_predict_noise_is_refused(tmp_path):
    save_pipeline(tmp_path / "model", prediction_type="v_prediction")
    assert_refused(tmp_path / "model", "v_prediction.*needs one that predicts noise")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_pickled_weights_are_refused(tmp_path, part):
    save_pipeline(tmp_path / "model")
    file = next((tmp_path / "model" / part).glob("*.safetensors"))
    name = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
    torch.save(load_file(file), file.with_name(name))
    file.unlink()
    assert_refused(tmp_path / "model", "safetensors")


def test_a_pickled_tiny_decoder_is_refused(tmp_path):
    save_pipeline(tmp_path / "model")
    random_tiny_vae().save_pretrained(tmp_path / "tiny")
    file = tmp_path / "tiny/diffusion_pytorch_model.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()
    assert_refused(tmp_path / "model", "could not be loaded", tiny_decoder=str(tmp_path / "tiny"))


def test_a_real_photo_survives_inversion_and_regeneration():
    from facecloak.cloak.embeddings import learn_embeddings
    from facecloak.cloak.inversion import Schedule, denoise, invert

    folder, photos_folder = shared_dir() / "models/celeba-mini", shared_dir() / "data/celeba_hq_pairs"
    if not folder.is_dir() or not photos_folder.is_dir():
        pytest.skip(f"{folder} or {photos_folder} is not there; set FACECLOAK_SHARED")
    backbone = Backbone.load(str(folder.resolve()), "float32", "float32", None)
    pixels = np.array(read_image(sorted(photos_folder.glob("test/*"))[1]))
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    schedule = Schedule.of(backbone, 20, 17, "code")
    trajectory = invert(backbone, backbone.encode(image, 8888), schedule)

    def regenerate(iterations):
        z = trajectory[-1]
        embeddings = learn_embeddings(backbone, trajectory, schedule, iterations, 0.1, lambda *step: None)
        with torch.no_grad():
            for step, embedding in zip(schedule.generation, embeddings, strict=True):
                z = denoise(backbone, z, step, embedding)
            psnr = -10 * torch.log10((backbone.decode(z) - image).square().mean() / 4)
        return float(psnr), float((z - trajectory[0]).square().mean())

    (psnr, error), (_, error_of_empty_prompt) = regenerate(4), regenerate(0)
    assert psnr >= 27
    assert error < 0.8 * error_of_empty_prompt
