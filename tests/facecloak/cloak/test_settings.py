"""Settings that trade memory, speed or precision."""

import pytest
import torch

from facecloak.cloak.embeddings import learn_embeddings
from facecloak.cloak.inversion import denoise, invert
from facecloak.errors import FacecloakError
from tests.facecloak.cloak.small import batch_of, make_method, photos
from tests.reference.models import random_models, random_tiny_vae


def held_bytes(method, batch):
    """The bytes that the graph of one pass through the generation steps keeps for the backward pass."""
    z = method.backbone.encode(batch.images, 0)
    embeddings = [method.backbone.null_embedding(len(z))] * 3
    with torch.no_grad():
        maps = method.record_source_maps(z, embeddings)
    held = 0

    def pack(tensor):
        nonlocal held
        held += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        method.generate_and_compare(z.requires_grad_(), embeddings, maps)
    return held


def test_gradient_checkpointing_changes_memory_and_no_result(models):
    batch = batch_of(photos(2))
    plain = make_method(random_models("test"))
    saving = make_method(models, gradient_checkpointing=True)
    expected, protected = plain.predict_step(batch), saving.predict_step(batch)
    torch.testing.assert_close(protected.images, expected.images, rtol=0, atol=1e-12)
    for name, rows in expected.history.items():
        torch.testing.assert_close(torch.tensor(protected.history[name]), torch.tensor(rows))
    assert held_bytes(saving, batch) < held_bytes(plain, batch) / 10


def test_the_tiny_decoder_serves_the_gradient_and_the_full_one_the_image(models, monkeypatch):
    tiny = random_tiny_vae().double()
    calls = {"tiny": 0, "full": 0}
    for name, decoder in (("tiny", tiny), ("full", models.vae)):

        def counted(z, name=name, decode=decoder.decode):
            calls[name] += 1
            assert torch.is_grad_enabled() == (name == "tiny")
            return decode(z)

        monkeypatch.setattr(decoder, "decode", counted)
    with_tiny = make_method(models, gradient_decoder=tiny, iterations=4).predict_step(batch_of(photos(1)))
    assert calls == {"tiny": 4, "full": 1}
    monkeypatch.undo()
    without = make_method(models, iterations=4).predict_step(batch_of(photos(1)))
    assert with_tiny.history["adv"][0] != without.history["adv"][0]
    assert not torch.equal(with_tiny.images, without.images)


def test_the_tiny_decoder_that_is_the_full_decoder_changes_nothing():
    models = random_models("test", tiny_vae=True)
    expected = make_method(models).predict_step(batch_of(photos(1)))
    protected = make_method(models, gradient_decoder=models.vae).predict_step(batch_of(photos(1)))
    assert torch.equal(protected.images, expected.images)


def learn(method, iterations):
    trajectory = invert(method.backbone, method.backbone.encode(photos(2), 0), method.schedule)
    return trajectory, learn_embeddings(
        method.backbone, trajectory, method.schedule, iterations, 0.1, method.on_progress
    )  # fmt: skip


def test_without_iterations_the_embeddings_are_the_empty_prompts(models):
    method = make_method(models, embedding_iterations=0)
    _, embeddings = learn(method, 0)
    assert len(embeddings) == 3
    assert all(torch.equal(embedding, models.null_embedding.expand(2, -1, -1)) for embedding in embeddings)
    assert method.predict_step(batch_of(photos(1))).errors == [None]


@pytest.mark.parametrize(("timesteps", "steps"), [("code", 2), ("aligned", 3)])
def test_learned_embeddings_retrace_the_inversion_better(models, timesteps, steps):
    """The misaligned way back is retraced only to its second step: at t = 1 an embedding has hardly any effect."""
    method = make_method(models, timesteps=timesteps)
    trajectory, learned = learn(method, 20)
    _, empty = learn(method, 0)

    def errors(embeddings):
        z, found = trajectory[-1], []
        with torch.no_grad():
            for step, embedding, goal in zip(method.schedule.generation, embeddings, trajectory[-2::-1], strict=True):
                z = denoise(method.backbone, z, step, embedding)
                found.append((z - goal).square().mean((1, 2, 3)))
        return torch.stack(found)[:steps]

    assert (errors(learned) < 0.6 * errors(empty)).all()


def test_progress_is_reported_to_the_last_step(models):
    method, seen = make_method(models, embedding_iterations=4, iterations=5), []
    method.on_progress = lambda *step: seen.append(step)
    method.predict_step(batch_of(photos(1)))
    assert seen == [("embeddings", i, 12) for i in range(1, 13)] + [("latent", i, 5) for i in range(1, 6)]


@pytest.mark.parametrize("setting", ["precision", "decoder_precision"])
def test_fp16_on_a_cpu_is_refused(models, setting):
    with pytest.raises(FacecloakError, match="fp16 needs a GPU"):
        make_method(models, **{setting: "fp16"}).predict_step(batch_of(photos(1)))


@pytest.mark.parametrize("start_step", [0, 20])
def test_a_schedule_without_steps_is_refused(models, start_step):
    with pytest.raises(FacecloakError, match="start_step"):
        make_method(models, start_step=start_step)


def test_more_steps_than_a_model_knows_are_refused(models):
    assert make_method(models, steps=999, start_step=1).schedule.inversion[-1] == (998, 999)
    with pytest.raises(FacecloakError, match="facecloak: steps must be at most 999"):
        make_method(models, steps=1000)
