"""Self-attention guidance: its layers, its maps, its gradient, and its purpose."""

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from facecloak.cloak import structure
from facecloak.cloak.structure import AttentionWithMapLoss, SelfAttentionGuidance, attention_maps
from tests.facecloak.cloak.small import batch_of, make_method, photos


def random_attention(requires_grad=True):
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64) for _ in range(3)]
    source = torch.randn(2, 3, 5, 5, generator=generator, dtype=torch.float64).softmax(-1)
    return [tensor.requires_grad_(requires_grad) for tensor in tensors], source


def plain(query, key, value, source, scale):
    maps = (query @ key.transpose(-1, -2) * scale).softmax(-1)
    return maps @ value, (maps - source).square().mean((1, 2, 3))


def test_the_fused_node_passes_gradcheck():
    tensors, source = random_attention()
    assert torch.autograd.gradcheck(lambda q, k, v: AttentionWithMapLoss.apply(q, k, v, source, 0.7), tensors)


def test_the_fused_node_equals_the_plain_formula():
    tensors, source = random_attention()
    weights = torch.linspace(1, 2, 2, dtype=torch.float64)
    gradients = []
    for function in (AttentionWithMapLoss.apply, plain):
        output, loss = function(*tensors, source, 0.7)
        gradients.append([output, loss, *torch.autograd.grad(output.sin().sum() + (loss * weights).sum(), tensors)])
    for fused, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(fused, expected, rtol=1e-12, atol=1e-14)


def test_every_self_attention_layer_of_down_mid_and_up_is_watched(models):
    guidance = SelfAttentionGuidance(models.unet)
    z = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    with torch.no_grad(), guidance.record() as maps:
        models.unet(z, 51, encoder_hidden_states=models.null_embedding.expand(2, -1, -1))
    # one layer in each of three down blocks with attention, one in the middle, two in each of three up blocks
    assert len(maps) == 3 + 1 + 3 * 2
    watched = {name for name, layer in models.unet.attn_processors.items() if layer in maps}
    assert watched == {name for name in models.unet.attn_processors if ".attn1." in name}
    assert {name.split("_")[0] for name in watched} == {"down", "mid", "up"}
    for layer_maps in maps.values():
        torch.testing.assert_close(layer_maps.sum(-1), torch.ones_like(layer_maps.sum(-1)))


def test_watching_changes_no_output(models):
    z = torch.randn(1, 4, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        plain_output = models.unet(z, 51, encoder_hidden_states=models.null_embedding).sample
        guidance = SelfAttentionGuidance(models.unet)
        with guidance.record() as maps:
            recording = models.unet(z, 51, encoder_hidden_states=models.null_embedding).sample
        with guidance.compare(maps) as losses:
            comparing = models.unet(z, 51, encoder_hidden_states=models.null_embedding).sample
    torch.testing.assert_close(recording, plain_output, rtol=0, atol=1e-12)
    torch.testing.assert_close(comparing, plain_output, rtol=0, atol=1e-12)
    assert all(loss.max() < 1e-25 for loss in losses.values())


def test_a_unet_without_self_attention_is_refused():
    class NoSelfAttention(torch.nn.Module):
        attn_processors = {"mid_block.attn2.processor": AttnProcessor2_0()}  # noqa: RUF012

    with pytest.raises(RuntimeError, match="attn1"):
        SelfAttentionGuidance(NoSelfAttention())


def test_without_the_structure_term_no_map_is_formed(models, monkeypatch):
    def refuse(*args):
        raise AssertionError("a map was formed")

    expected = make_method(models, lambda_attn=0.0).predict_step(batch_of(photos(1)))
    monkeypatch.setattr(structure, "attention_maps", refuse)
    protected = make_method(models, lambda_attn=0.0).predict_step(batch_of(photos(1)))
    assert torch.equal(protected.images, expected.images)
    assert protected.history["attn"] == [[0.0]] * 3
    with pytest.raises(AssertionError, match="a map was formed"):
        make_method(models).predict_step(batch_of(photos(1)))


def test_a_map_is_formed_once_a_layer_and_pass(models, monkeypatch):
    calls = []
    monkeypatch.setattr(structure, "attention_maps", lambda *args: calls.append(1) or attention_maps(*args))
    make_method(models, iterations=5).predict_step(batch_of(photos(1)))
    layers, source, loop = 10, 3, 5 * 3
    assert len(calls) == layers * (source + loop)


def test_more_weight_keeps_more_structure(models):
    final = []
    for weight in (0.01, 100.0):
        method = make_method(models, lambda_adv=1.0, lambda_attn=weight, iterations=12, lr=0.02, start_step=18)
        final.append(method.predict_step(batch_of(photos(1))).history["attn"][-1][0] / weight)
    assert final[0] > 2 * final[1]


@pytest.mark.parametrize("goal", ["impersonation", "obfuscation"])
def test_the_adversarial_loss_falls(models, goal):
    method = make_method(models, goal, lambda_adv=1.0, lambda_attn=0.0, iterations=10, lr=0.02, start_step=18)
    curve = [row[0] for row in method.predict_step(batch_of(photos(1))).history["adv"]]
    assert curve[-1] < curve[0] - 0.1
    assert min(curve[5:]) < min(curve[:5])
