"""The latent diffusion model: Stable Diffusion 2's layout at small width, on the autoencoder's 16×16 latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from facecloak.pocket.training.corpus import Corpus
from facecloak.pocket.training.language import WIDTH, tokens
from facecloak.pocket.training.loop import batch_indices, to_range, train

STEPS = 6000
BATCH = 32
LEARNING_RATE = 1e-3
AVERAGE = 0.999
WORDLESS = 0.15  # how often the caption is left out: the method works under the empty prompt


def unet(channels: int) -> UNet2DConditionModel:
    """N×`channels`×16×16 latents under N×32×96 embeddings to their noise; attention at 16×16, 8×8 and 4×4."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=channels,
        out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        attention_head_dim=(1, 2, 3),  # the numbers of heads, as Stable Diffusion 2's file has them
        norm_num_groups=4,
        cross_attention_dim=WIDTH,
        use_linear_projection=True,
    )


def scheduler() -> DDIMScheduler:
    """Stable Diffusion 2's (METHODS of the paper: scaled-linear betas, 1000 steps, noise prediction)."""
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
        set_alpha_to_one=False, clip_sample=False,
    )  # fmt: skip


def train_unet(
    corpus: Corpus,
    vae: AutoencoderKL,
    clip: CLIPModel,
    words: CLIPTokenizer,
    checkpoint: Path,
    seed: int,
    device: str,
    on_step: Callable[[int, int, float], None],
) -> UNet2DConditionModel:
    """Train on the noise of all levels evenly (Ho et al., NeurIPS 2020, eq. 14), with captions and without."""
    mean, std = _latents(vae, torch.from_numpy(corpus.images), device)
    texts = list(dict.fromkeys(["", *corpus.captions]))
    place = {text: number for number, text in enumerate(texts)}
    said = torch.tensor([place[caption] for caption in corpus.captions])
    embeddings = embed(clip, words, texts)
    schedule = scheduler()
    torch.manual_seed(seed)
    model = unet(vae.config.latent_channels).to(device)
    model.set_attn_processor(AttnProcessor())  # on a CPU one and a half times as fast as the fused one at these sizes

    def loss(model: UNet2DConditionModel, step: int) -> Tensor:
        numbers = batch_indices(len(mean), BATCH, step, seed)
        z = mean[numbers].float() + std[numbers].float() * torch.randn(len(numbers), *mean.shape[1:])
        noise, levels = torch.randn_like(z), torch.randint(0, 1000, (len(z),))
        caption = torch.where(torch.rand(len(z)) < WORDLESS, 0, said[numbers])
        noisy = schedule.add_noise(z, noise, levels).to(device)
        predicted = model(noisy, levels.to(device), encoder_hidden_states=embeddings[caption].to(device)).sample
        return F.mse_loss(predicted.float(), noise.to(device))

    return train(
        model, loss, steps=STEPS, learning_rate=LEARNING_RATE, checkpoint=checkpoint, seed=seed, average=AVERAGE,
        data=[torch.from_numpy(corpus.images), *vae.parameters(), *clip.parameters()], on_step=on_step,
    )  # fmt: skip


@torch.no_grad()
def embed(clip: CLIPModel, words: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """What the UNet is conditioned on: the text tower's last hidden state, N×32×96."""
    blocks = tokens(words, texts).split(256)
    return torch.cat([clip.text_model(block.to(clip.device)).last_hidden_state.cpu() for block in blocks])


def pipeline(
    vae: AutoencoderKL, net: UNet2DConditionModel, clip: CLIPModel, words: CLIPTokenizer
) -> StableDiffusionPipeline:
    """The parts as a Stable Diffusion pipeline."""
    text = CLIPTextModel(clip.config.text_config)
    text.load_state_dict({name: clip.state_dict()[f"text_model.{name}"] for name in text.state_dict()})
    return StableDiffusionPipeline(
        vae=vae, text_encoder=text.eval(), tokenizer=words, unet=net, scheduler=scheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


@torch.no_grad()
def _latents(vae: AutoencoderKL, images: Tensor, device: str) -> tuple[Tensor, Tensor]:
    """Scaled means and standard deviations of the posteriors of uint8 N×128×128×3 images, in float16."""
    means, stds = [], []
    for block in images.split(64):
        posterior = vae.encode(to_range(block).to(device)).latent_dist
        means.append((posterior.mean * vae.config.scaling_factor).half().cpu())
        stds.append((posterior.std * vae.config.scaling_factor).half().cpu())
    return torch.cat(means), torch.cat(stds)
