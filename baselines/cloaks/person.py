"""One mask for all photos of a person: where it lies on a photo, from what it is learned, and how it is kept."""

from __future__ import annotations

import hashlib
import time
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.common.randomness import generators
from facecloak.config import Checked
from facecloak.data import Album, Batch
from facecloak.errors import FacecloakError
from facecloak.faces import whole_pixels
from facecloak.method import Protected, ProtectionMethod, Strength, errors_of_losses
from facecloak.objectives import Objective

MASK = "a mask learned once per person, by gradients through the surrogates"


@dataclass(frozen=True)
class PersonSettings(Checked):
    """Settings of every mask that is learned for a person.

    Attributes:
        epsilon: how much a pixel may change, in grey levels of 0..255: the L∞ radius. It is a whole number because
            a saved pixel changes by whole levels.
        step: length of a step, in grey levels.
        grid: side of the mask in pixels; it is stretched over the face, see `put_on`.
        surrogates: ``ensemble`` attacks all surrogates of the cell; ``single`` attacks the first in the suite's
            order, or the judge where it is a white box.
        seed: random seed of the mask from which the steps start; it is the same for everybody.
    """

    epsilon: int = 8
    step: float = 1.0
    grid: int = 112
    surrogates: Literal["single", "ensemble"] = "ensemble"
    seed: int = 0

    def __post_init__(self) -> None:
        self.check("epsilon must be between 1 and 255", 1 <= self.epsilon <= 255)
        self.check("step must be above 0", self.step > 0)
        self.check("grid must be between 8 and 1024", 8 <= self.grid <= 1024)


@dataclass(frozen=True)
class Learned:
    """What is kept of a person.

    Attributes:
        mask: 3×G×G, the change in the range of [-1, 1].
        losses: mean over the album's photos, one number per pass.
        seconds: wall-clock seconds that it took.
    """

    mask: Tensor
    losses: list[float]
    seconds: float


class PersonMask(ProtectionMethod):
    """Learns a mask from the album of the person on a photo, and puts it on that photo.

    The photo itself takes no part in it, so that a mask also protects photos that are taken later. Masks are kept for
    further photos of the same people under the same objective: with a grid of 112 pixels they take 150 kB of memory
    each. Subclasses define how a mask is learned.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": {},  # the suite's settings
        "ensemble": {"surrogates": "ensemble"},
        "single": {"surrogates": "single"},
    }
    uses_surrogates = True
    uses_albums = True
    strength = Strength("epsilon", (0.25, 0.5, 1, 1.5, 2))

    def __init__(self, settings: Any, objective: Objective) -> None:
        super().__init__(settings, objective)
        self._people: dict[str, Learned] = {}
        self._attacked = objective  # by the masks that are kept

    @abstractmethod
    def learn(self, album: Album) -> tuple[Tensor, list[float]]:
        """The mask of a person, 3×G×G in the range of [-1, 1], and the mean loss of each pass."""

    def protect(self, batch: Batch) -> Protected:
        """Put the masks of the people on their photos.

        Raises:
            FacecloakError: an album is empty.
        """
        for photo, album in zip(batch.ids, batch.albums, strict=True):
            if not len(album.images):
                raise FacecloakError(
                    f"{self.settings.name}: the album of {photo} is empty; give it a further photo of the person."
                )
        if self.objective is not self._attacked:  # masks against other surrogates, whose judge may be attacked now
            self._people, self._attacked = {}, self.objective
        keys = [self.key_of(album) for album in batch.albums]
        reused = sum(self._people[key].seconds for key in dict.fromkeys(keys) if key in self._people)
        for key, album in zip(keys, batch.albums, strict=True):
            if key not in self._people:
                start = time.perf_counter()
                mask, losses = self.learn(album)
                self._people[key] = Learned(mask, losses, time.perf_counter() - start)
        learned = [self._people[key] for key in keys]
        images = put_on(batch.images, batch.boxes, torch.stack([each.mask for each in learned]).to(batch.images))
        losses = [list(row) for row in zip(*(each.losses for each in learned), strict=True)]
        return Protected(images, errors_of_losses(losses, len(images)), {"loss": losses}, seconds_reused=reused)

    @staticmethod
    def key_of(album: Album) -> str:
        """Equal for albums of the same pixels and boxes."""
        digest = hashlib.sha256(repr([tuple(each.shape) for each in album]).encode())
        for each in album:
            digest.update(each.detach().cpu().contiguous().numpy())
        return digest.hexdigest()

    def start(self, album: Album) -> Tensor:
        """The mask before the first step: U(−ε, ε), the same for everybody."""
        (random,) = generators(self.settings.seed, ["mask"])
        grid = self.settings.grid
        return (2 * torch.rand(3, grid, grid, generator=random).to(album.images) - 1) * self.radius

    def move(self, mask: Tensor, direction: Tensor) -> Tensor:
        """One step against a direction, within ε."""
        return (mask - self.settings.step / 127.5 * direction).clamp(-self.radius, self.radius)

    @property
    def radius(self) -> float:
        """ε in the range of [-1, 1]."""
        return self.settings.epsilon / 127.5

    @torch.no_grad()
    def embed_album(self, album: Album) -> list[Tensor]:
        """The embeddings of the album's photos without a mask, N×D per surrogate."""
        return self.objective.embed(album.images, album.boxes)


def put_on(images: Tensor, boxes: Tensor, masks: Tensor) -> Tensor:
    """Add a mask to each face, and cut what is not within [-1, 1]. Differentiable in the masks.

    The mask's grid is that of the crop which recognizers see (`facecloak.faces.crop`): its corner pixels are in the
    corners of the face box, or of the turned square. Each pixel of the photo whose centre is in there changes by the
    mask's value at that place, interpolated bilinearly (so it never changes by more than the mask does), and no other
    pixel changes. OPOM's and Chameleon's photos are such crops of 112 pixels, on which this only adds the mask.

    Args:
        images: B×3×H×W in [-1, 1].
        boxes: B×4 face boxes or B×5 turned squares, in pixels.
        masks: B×3×G×G, changes in the range of [-1, 1].

    Returns:
        B×3×H×W in [-1, 1].
    """
    height, width = images.shape[-2:]
    if boxes.shape[1] == 4:  # as `crop` takes them
        boxes = torch.tensor([(*whole_pixels(box, width, height), 0.0) for box in boxes.tolist()])
    x0, y0, x1, y1, angle = (values[:, None, None] for values in boxes.to(images).unbind(1))
    y, x = (torch.arange(side, device=images.device, dtype=images.dtype) + 0.5 for side in (height, width))
    x, y = x[None, None, :] - (x0 + x1) / 2, y[None, :, None] - (y0 + y1) / 2
    u = 2 * (angle.cos() * x + angle.sin() * y) / (x1 - x0)
    v = 2 * (angle.cos() * y - angle.sin() * x) / (y1 - y0)
    inside = ((u.abs() <= 1) & (v.abs() <= 1))[:, None]
    grid = torch.stack([u, v], dim=-1)
    change = F.grid_sample(masks, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return torch.where(inside, (images + change).clamp(-1, 1), images)
