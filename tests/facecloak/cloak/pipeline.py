"""A StableDiffusionPipeline folder with random weights, saved by diffusers itself."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tests.reference.models import Models, random_models, sd2_scheduler

TOKENS = 8


def save_pipeline(folder: Path, tiny_vae: bool = False, **scheduler: object) -> tuple[Models, CLIPTextModel]:
    """Write the folder; returns its contents."""
    models, words = random_models("test", dtype=torch.float32, tiny_vae=tiny_vae), folder.parent / "words"
    words.mkdir()
    (words / "vocab.json").write_text(json.dumps({"a": 0, "a</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}))
    (words / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=TOKENS)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=4, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=TOKENS, bos_token_id=2, eos_token_id=3, pad_token_id=3,
        )
    ).eval()  # fmt: skip
    pipeline = StableDiffusionPipeline(
        models.vae, text_encoder, tokenizer, models.unet, sd2_scheduler(**scheduler),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return models, text_encoder
