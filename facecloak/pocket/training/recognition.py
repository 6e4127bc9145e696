"""The recognizers, trained with ArcFace's loss on the drawn people."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facecloak.faces import crop
from facecloak.pocket.recognizers import EMBEDDING_DIM, INPUT_SIZE
from facecloak.pocket.training.corpus import CROP, Corpus
from facecloak.pocket.training.loop import batch_indices, to_range, train

EPOCHS = 5
BATCH = 32
SLOW_BATCH = 16  # for a network that needs more steps
LEARNING_RATE = 3e-3
SCALE, MARGIN = 20.0, 0.15  # ArcFace's s and m: smaller than for photos, since the networks are
SHIFT, NOISE = 3, 0.02  # of the training crops: pixels, and in [-1, 1]


class ArcFace(nn.Module):
    """A network under the additive angular margin loss (Deng et al., CVPR 2019, eq. 3)."""

    def __init__(self, network: nn.Module, people: int) -> None:
        super().__init__()
        self.network = network
        self.centres = nn.Parameter(torch.randn(people, EMBEDDING_DIM))

    def forward(self, faces: Tensor, labels: Tensor, margin: float) -> Tensor:
        """The loss of N×3×S×S faces of N people, a scalar."""
        embedded = self.network(faces).float()
        with torch.autocast(faces.device.type, enabled=False):  # in bfloat16 a cosine near 1 would be 1
            return self._loss(embedded, labels, margin)

    def _loss(self, embedded: Tensor, labels: Tensor, margin: float) -> Tensor:
        embeddings = F.normalize(embedded, dim=1)
        cosines = (embeddings @ F.normalize(self.centres, dim=1).T).clamp(-1 + 1e-6, 1 - 1e-6)
        own = cosines.gather(1, labels[:, None])
        moved = torch.cos(torch.acos(own) + margin)
        # past π the cosine would rise again
        moved = torch.where(own > math.cos(math.pi - margin), moved, own - margin * math.sin(margin))
        return F.cross_entropy(SCALE * cosines.scatter(1, labels[:, None], moved), labels)


def train_recognizer(
    network: Callable[[], nn.Module],
    corpus: Corpus,
    checkpoint: Path,
    seed: int,
    device: str,
    on_step: Callable[[int, int, float], None],
    batch: int,
) -> nn.Module:
    """Train one of `facecloak.pocket.recognizers` on mirrored, shifted and noisy crops, ``batch`` at once."""
    images = torch.from_numpy(corpus.images)
    _, labels = torch.unique(torch.from_numpy(corpus.people), return_inverse=True)
    steps = EPOCHS * (len(images) // batch)
    torch.manual_seed(seed)
    model = ArcFace(network(), int(labels.max()) + 1).to(device, memory_format=torch.channels_last)

    def loss(model: ArcFace, step: int) -> Tensor:
        numbers = batch_indices(len(images), batch, step, seed)
        faces = to_range(images[numbers]).to(device)
        shifts = torch.randint(-SHIFT, SHIFT + 1, (len(faces), 1, 2)).repeat(1, 2, 1).flatten(1)
        faces = crop(faces, torch.tensor(CROP) + shifts, INPUT_SIZE)
        faces = torch.where(torch.rand(len(faces), 1, 1, 1, device=device) < 0.5, faces, faces.flip(3))
        faces = faces + NOISE * torch.randn_like(faces)
        margin = MARGIN * max(2 * step / steps - 1, 0.0)  # from the start it keeps small networks from learning
        return model(faces.contiguous(memory_format=torch.channels_last), labels[numbers].to(device), margin)

    trained = train(
        model, loss, steps=steps, learning_rate=LEARNING_RATE, checkpoint=checkpoint, seed=seed, weight_decay=0.05,
        data=[images, labels], on_step=on_step,
    )  # fmt: skip
    return trained.network
