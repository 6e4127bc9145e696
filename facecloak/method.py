"""The contract of every protection method."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, final

import pytorch_lightning as pl
import torch
from torch import Tensor

from facecloak.data import Batch
from facecloak.errors import FacecloakError
from facecloak.objectives import Goal, Objective


@dataclass
class Protected:
    """The result of a method for a batch.

    Attributes:
        images: B×3×H×W RGB in [-1, 1].
        errors: per image None, or one line that says why there is no protected image.
        history: named curves, one B-list of numbers per iteration (losses).
        unet_passes: forward passes of a UNet that each image took, with or without gradient.
        seconds_reused: seconds that an earlier call took for work that is reused; they are part of the batch's cost.
        seconds: wall-clock seconds of the whole batch, including `seconds_reused`; the harness measures them.

    Example:
        >>> import torch
        >>> made = Protected(torch.zeros(2, 3, 128, 128), [None, "no gradient"])
        >>> [name for name, error in zip(["anna", "bert"], made.errors) if error is None]
        ['anna']
    """

    images: Tensor
    errors: list[str | None]
    history: dict[str, list[list[float]]] = field(default_factory=dict)
    unet_passes: int = 0
    seconds_reused: float = 0.0
    seconds: float = math.nan


@dataclass(frozen=True)
class Stage:
    """A training that a method needs before it can protect.

    Attributes:
        name: unique in the method.
        settings: those that the trained weights depend on, as JSON values. The checkpoint's name is made from them,
            from the hashes of what the method loads, and from what in the cell the weights depend on.
        passes: number of passes over its data.
        depends: on ``nothing`` of the cell, so that all cells share the weights; on its first ``surrogate``; or on
            its ``objective``, target and surrogates.
    """

    name: str
    settings: dict[str, Any]
    passes: int
    depends: Literal["nothing", "surrogate", "objective"]


@dataclass(frozen=True)
class NoSettings:
    """For methods with nothing to set."""


class Strength(NamedTuple):
    """The setting by which a method trades picture quality for success.

    Attributes:
        setting: its name.
        factors: by which the suite's value is multiplied, from the weakest to the strongest; whole numbers are rounded.
    """

    setting: str
    factors: tuple[float, ...]


GRADIENTS = "gradients through the surrogates"


class Origin(NamedTuple):
    """Where a method comes from, and what it takes, for `facecloak list` and the documents.

    Attributes:
        family: how it changes a photo: the latent of a diffusion model, noise within a box, a cloak of pixels that are
            held to how the photo looks, or makeup.
        paper: authors and venue, or "this project".
        year: of the paper.
        goals: the objectives that the paper has; the harness measures both success rates for every method.
        cost: what each photo takes, in a phrase.
    """

    family: Literal["latent", "noise", "cloak", "makeup"]
    paper: str
    year: int
    goals: tuple[Goal, ...]
    cost: str


class ProtectionMethod(pl.LightningModule):
    """Makes protected images; it does not judge them.

    Subclasses implement `protect`; `Trainer.predict` calls `predict_step`, which times it and turns non-finite
    pixels into errors of their image. Gradients are enabled inside `protect`.

    Args:
        settings: an instance of `Settings`.
        objective: the surrogates and the target, passed in by the harness; None for methods that need none. The harness
            sets it again for other surrogates, so that nothing that depends on it can be kept.

    Example:
        >>> class Mirror(ProtectionMethod):
        ...     def protect(self, batch):
        ...         return Protected(batch.images.flip(3), [None] * len(batch.ids))
        >>> from facecloak.testing import check_method
        >>> check_method(Mirror)
    """

    Settings: ClassVar[type[Any]] = NoSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {"default": {}}
    uses_surrogates: ClassVar[bool] = False
    uses_albums: ClassVar[bool] = False  # whether `Batch.albums` is to hold further photos of each person
    origin: ClassVar[Origin | None] = None  # None: a reference point, or somebody's own
    strength: ClassVar[Strength | None] = None  # None: a single point is all that a curve has
    side: int | None = None  # pixels, if the method can only protect square pictures of this side; None for any

    def __init__(self, settings: Any, objective: Objective | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.objective = objective
        self.on_progress: Callable[[str, int, int], None] = lambda stage, done, total: None

    @classmethod
    def weights_sha256(cls, settings: Any) -> str | None:
        """Hash of the weights that the method itself loads; None if it has none, or they are on a hub."""
        return None

    @classmethod
    def require_device(cls, settings: Any, device: str) -> None:
        """Raise `FacecloakError` if the method cannot run with these settings on a ``cpu`` or on ``cuda``."""

    @classmethod
    def pick_surrogates(cls, settings: Any, pool: list[str]) -> list[str]:
        """Which recognizers of a pool are attacked: all, or the first if the settings' ``surrogates`` is ``single``.

        Args:
            pool: begins with the judge where that is a white box.
        """
        if getattr(settings, "surrogates", None) == "single":
            pool = pool[:1]
        return pool if cls.uses_surrogates else []

    @classmethod
    def uses_target_set(cls, settings: Any) -> bool:
        """Whether the objective is to hold all targets of the suite, the cell's first, instead of only the cell's."""
        return False

    @classmethod
    def stages(cls, settings: Any) -> list[Stage]:
        """What must be trained before `protect`, in order; later stages may need the earlier ones' weights."""
        return []

    def build(self, stage: str) -> pl.LightningModule:
        """The module of a stage, for `Trainer.fit`; only its `state_dict` is kept.

        It may be built before the earlier stages are trained, to time a step. A fit must give the same result whether
        or not it was interrupted between two passes.
        """
        raise NotImplementedError(f"{type(self).__name__} has no stage {stage}")

    def use(self, stage: str, weights: dict[str, Tensor]) -> None:
        """Take the trained weights of a stage: of the last one before `protect`, of others before a later one's fit."""
        raise NotImplementedError(f"{type(self).__name__} has no stage {stage}")

    @abstractmethod
    def protect(self, batch: Batch) -> Protected:
        """Protect a batch; each image's result must not depend on the others in it."""

    @final
    def predict_step(self, batch: Batch, batch_idx: int = 0) -> Protected:
        """Run `protect` on the method's device, with gradients enabled, and time it.

        Raises:
            FacecloakError: the method cannot run on its device or needs an album of each person and the batch has
                none, or `protect` returned images of another shape, or not one error (or None) per image.
        """
        start = time.perf_counter()
        self.require_device(self.settings, self.device.type)
        if self.uses_albums and len(batch.albums or ()) != len(batch.ids):
            raise FacecloakError(
                f"{type(self).__name__} learns from an album of each person: give `Batch.albums`, one for each image, "
                "as `suite.batch(albums=True)` does."
            )
        with torch.inference_mode(False), torch.enable_grad():
            batch = batch.to(self.device)
            if batch.images.is_inference():  # such a tensor can take no part in a gradient
                batch = batch.clone()
            protected = self.protect(batch)
        if batch.images.is_cuda:
            torch.accelerator.synchronize(batch.images.device)
        name, n = type(self).__name__, len(batch.ids)
        if protected.images.shape != batch.images.shape:
            raise FacecloakError(f"{name} returned {tuple(protected.images.shape)} for {tuple(batch.images.shape)}.")
        if len(protected.errors) != n:
            raise FacecloakError(f"{name} returned {len(protected.errors)} errors for {n} images.")
        for index, image in enumerate(protected.images):
            if protected.errors[index] is None and not torch.isfinite(image).all():
                protected.errors[index] = "the protected image has NaN or infinite pixels"
        protected.seconds = time.perf_counter() - start + protected.seconds_reused
        return protected


def errors_of_losses(losses: list[list[float]], batch: int) -> list[str | None]:
    """Per image None, or a line that names the first iteration whose loss was not a finite number.

    Args:
        losses: a row of B numbers per iteration.
        batch: B.
    """
    errors: list[str | None] = [None] * batch
    for iteration, row in reversed(list(enumerate(losses, start=1))):
        for index, loss in enumerate(row):
            if not math.isfinite(loss):
                errors[index] = f"the loss became {loss} in iteration {iteration}"
    return errors
