"""A small CLIP of the portraits and their captions; its text tower conditions the latent diffusion model too."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import pre_tokenizers
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from facecloak.pocket.training.corpus import Corpus
from facecloak.pocket.training.loop import batch_indices, to_range, train

EPOCHS = 6
BATCH = 64
LEARNING_RATE = 1e-3
TOKENS = 32  # the longest caption takes 31
WIDTH = 96
BARE, MADE_UP = "face without makeup", "face with makeup"
START, END = "<|startoftext|>", "<|endoftext|>"
# how much of a caption is said: all, who and whether made up, only that, or one detail
SAID = {"all": 0.5, "person": 0.15, "makeup": 0.2, "detail": 0.15}
NOISE = 0.05


def tokenizer(captions: Sequence[str]) -> CLIPTokenizer:
    """CLIP's byte-level BPE in which each word of the captions is one token, and any other text is spelt."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: list[tuple[str, str]] = []  # in the order of the words: a trained BPE breaks ties by chance
    for word in sorted(_words(captions)):
        parts = _merged([*word[:-1], f"{word[-1]}</w>"], merges)
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts = ["".join(parts[:2]), *parts[2:]]
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *map("".join, merges), START, END]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKENS)


def clip(words: CLIPTokenizer) -> CLIPModel:
    """N×3×128×128 in [-1, 1] and N×32 tokens to 64 dimensions; 0.6 M parameters."""
    text = {"vocab_size": len(words), "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 4, "max_position_embeddings": TOKENS}
    text |= {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    vision = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 4, "num_attention_heads": 4}
    vision |= {"image_size": 128, "patch_size": 16}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def image_processor() -> CLIPImageProcessor:
    """The preprocessing of a photo for the image tower: 128 px, [-1, 1]."""
    size = {"height": 128, "width": 128}
    return CLIPImageProcessor(size=size, crop_size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def train_clip(
    corpus: Corpus, checkpoint: Path, seed: int, device: str, on_step: Callable[[int, int, float], None]
) -> tuple[CLIPModel, CLIPTokenizer]:
    """Train with CLIP's loss (Radford et al., ICML 2021), where every image that a text is true of is a match."""
    words = tokenizer(corpus.captions)
    images = torch.from_numpy(corpus.images)
    torch.manual_seed(seed)
    model = clip(words).to(device)

    def loss(model: CLIPModel, step: int) -> Tensor:
        numbers = batch_indices(len(images), BATCH, step, seed)
        said = [corpus.captions[number] for number in numbers.tolist()]
        random = np.random.default_rng([seed, step])
        ways = [
            (str(way), int(random.integers(100))) for way in random.choice(list(SAID), len(said), p=[*SAID.values()])
        ]
        texts = [shorten(caption, *way) for caption, way in zip(said, ways, strict=True)]
        true = torch.tensor([[shorten(caption, *way) == text for caption in said]
                             for text, way in zip(texts, ways, strict=True)], device=device)  # fmt: skip
        x = to_range(images[numbers]).to(device)
        x = torch.where(torch.rand(len(x), 1, 1, 1, device=device) < 0.5, x, x.flip(3))
        x = x + NOISE * torch.randn_like(x)
        once = list(dict.fromkeys(texts))  # short texts recur
        scores = model(pixel_values=x, input_ids=tokens(words, once).to(device)).logits_per_text.float()
        scores = scores[[once.index(text) for text in texts]]
        return sum(_matching_loss(logits, match.float()) for logits, match in ((scores, true), (scores.T, true.T))) / 2

    trained = train(
        model, loss, steps=EPOCHS * (len(images) // BATCH), learning_rate=LEARNING_RATE, checkpoint=checkpoint,
        seed=seed, weight_decay=0.05, data=[images, tokens(words, corpus.captions)], on_step=on_step,
    )  # fmt: skip
    return trained, words


def tokens(words: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Texts → int64 N×32."""
    return words(list(texts), padding="max_length", truncation=True, return_tensors="pt").input_ids


def shorten(caption: str, way: str, number: int) -> str:
    """Say less: see `SAID`. ``number`` picks the detail."""
    first, *details = caption.replace(" and ", ", ").split(", ")
    if way == "person":
        return first
    if way == "makeup":
        return MADE_UP if "with makeup" in first else BARE
    return details[number % len(details)] if way == "detail" else caption


@torch.no_grad()
def makeup_accuracy(model: CLIPModel, words: CLIPTokenizer, images: Tensor, captions: Sequence[str]) -> float:
    """How many of the uint8 N×128×128×3 portraits are told to be made up or not by the nearer of two prompts."""
    prompts = tokens(words, [BARE, MADE_UP]).to(model.device)
    right = 0
    for block, said in zip(images.split(64), _blocks(captions, 64), strict=True):
        scores = model(pixel_values=to_range(block).to(model.device), input_ids=prompts).logits_per_image
        right += sum(int(made) == ("with makeup" in text) for made, text in zip(scores.argmax(1), said, strict=True))
    return right / len(images)


def _blocks(values: Sequence[str], size: int) -> list[Sequence[str]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _matching_loss(logits: Tensor, match: Tensor) -> Tensor:
    return -(logits.log_softmax(1) * match / match.sum(1, keepdim=True).clamp(min=1)).sum(1).mean()


def _merged(parts: list[str], merges: Sequence[tuple[str, str]]) -> list[str]:
    """What byte-pair encoding makes of a word: the earliest merge that fits, again and again."""
    while pairs := [pair for pair in merges if pair in itertools.pairwise(parts)]:
        place = list(itertools.pairwise(parts)).index(pairs[0])
        parts = [*parts[:place], "".join(pairs[0]), *parts[place + 2 :]]
    return parts


def _words(captions: Sequence[str]) -> set[str]:
    text = " ".join([*captions, BARE, MADE_UP]).replace(",", " ").replace("-", " ")
    return set(text.split())
