"""The feature network, trained to predict what a portrait was drawn with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facecloak.pocket.drawing.identity import identities
from facecloak.pocket.drawing.nuisance import nuisances
from facecloak.pocket.features import network
from facecloak.pocket.training.corpus import SHOTS, Corpus
from facecloak.pocket.training.loop import batch_indices, to_range, train

EPOCHS = 4
BATCH = 64
LEARNING_RATE = 4e-3
HIDDEN = ("noise_seed", "texture_x", "texture_y", "bokeh_x", "bokeh_y")  # seeds of textures, which nobody can tell


def train_features(
    corpus: Corpus, checkpoint: Path, seed: int, device: str, on_step: Callable[[int, int, float], None]
) -> nn.Module:
    """Train by least squares on the standardised parameters of `drawn_with`."""
    images = torch.from_numpy(corpus.images)
    truth = drawn_with(corpus.people)
    truth = (truth - truth.mean(0)) / truth.std(0).clamp(min=1e-6)
    torch.manual_seed(seed)
    model = network().to(device, memory_format=torch.channels_last)

    def loss(model: nn.Module, step: int) -> Tensor:
        numbers = batch_indices(len(images), BATCH, step, seed)
        x = to_range(images[numbers]).to(device).contiguous(memory_format=torch.channels_last)
        return F.mse_loss(model(x).float(), truth[numbers].to(device))

    return train(
        model, loss, steps=EPOCHS * (len(images) // BATCH), learning_rate=LEARNING_RATE, checkpoint=checkpoint,
        seed=seed, weight_decay=0.01, data=[images, torch.from_numpy(corpus.people)], on_step=on_step,
    )  # fmt: skip


def drawn_with(people: np.ndarray) -> Tensor:
    """The parameters of each portrait of a corpus, N×P: of the person and of the circumstances, those that vary."""
    once = people[::SHOTS].tolist()
    who = identities(once)
    shots = list(range(SHOTS)) * len(once)
    sexes = who.feminine.flatten().repeat_interleave(SHOTS).tolist()
    how = nuisances(people.tolist(), shots, sexes)
    kept = [[name not in HIDDEN for name in table.names] for table in (who, how)]
    values = [who.values[:, kept[0]].repeat_interleave(SHOTS, dim=0), how.values[:, kept[1]]]
    return torch.cat(values, dim=1)
