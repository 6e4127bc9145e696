"""Checks that anybody's method or recognizer keeps its contract, on photos that ship with the package."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness.methods import Resolved, attackable, load_objective, require_untrained
from benchmarks.suites.suite import Suite, load_suite
from facecloak.config import parse_settings
from facecloak.data import Batch, to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.method import Protected, ProtectionMethod
from facecloak.recognizers import Recognizer, load_recognizer

STEP = 1 / 127.5  # a grey level
SHARE = 0.02  # of pixels that may differ by more: rounding turns the sign of a gradient next to 0
BLACK_BOX = "pocket_dense"


def check_method(
    cls: type[ProtectionMethod], settings: Mapping[str, Any] | None = None, *, suite: str | Suite = "pocket"
) -> None:
    """Check that a method keeps its contract on four photos of a suite.

    Settings are a frozen dataclass, and presets fit it; the input is not changed, nor are the albums that a method asks
    for (`ProtectionMethod.uses_albums`), which the suite must have then; the result has the input's shape, is
    finite and in [-1, 1]; the same call gives the same result; an image gives the same result in a batch as on its own;
    a NaN image is reported as an error and changes no other image; no gradient is left in the surrogates or the result;
    after another objective was set, an image gives the same result as from a method that was made with it.

    Args:
        cls: the method's class.
        settings: values over the defaults, such as fewer iterations.
        suite: name or path of a suite with at least four photos.

    Raises:
        FacecloakError: says in one line which rule is broken.

    Example:
        >>> from baselines.naive import Blur
        >>> check_method(Blur)
    """
    if not (isinstance(cls, type) and issubclass(cls, ProtectionMethod)):
        raise FacecloakError(f"{cls!r:.80} is not a ProtectionMethod.")
    name = cls.__name__
    _require(dataclasses.is_dataclass(cls.Settings), f"{name}.Settings is not a dataclass")
    _require(cls.Settings.__dataclass_params__.frozen, f"{name}.Settings is not frozen: @dataclass(frozen=True)")
    for preset, values in cls.presets.items():
        parse_settings(cls.Settings, values, [], f"{name}, preset {preset}")
    loaded = load_suite(suite) if isinstance(suite, str) else suite
    parsed = parse_settings(cls.Settings, {**next(iter(cls.presets.values())), **(settings or {})}, [], name)
    if cls.uses_albums:
        loaded.require_albums(name)
    resolved = Resolved(name, "default", cls, parsed)
    method, whole = _load(resolved, loaded), _four(loaded, cls.uses_albums)
    made = _protect(method, whole)
    _require(_same(made.images, _protect(method, whole).images), f"{name}: the same call twice gives different images")
    _check_left_behind(method, made, name)
    alone = torch.cat([_protect(method, _pick(whole, [place])).images for place in range(4)])
    _require(_same(alone, made.images), f"{name}: an image gives another result in a batch of 4 than alone")
    broken = whole.clone()
    broken.images[1] = torch.nan
    found = _protect(method, broken, finite=False)
    _require(found.errors[1] is not None, f"{name}: an image of NaN is not reported as an error")
    others = [0, 2, 3]
    _require(all(found.errors[place] is None for place in others), f"{name}: an image of NaN makes others errors too")
    _require(_same(found.images[others], made.images[others]), f"{name}: an image of NaN changes the other images")
    other, one = _load(resolved, loaded, last_only=True), _pick(whole, [0])
    method.objective = other.objective  # as the harness does for each judge, whose surrogates are others
    same = _same(_protect(method, one).images, _protect(other, one).images)
    _require(same, f"{name}: with another objective, an image gives another result than by a method made with it")


def check_recognizer(recognizer: str | Recognizer, *, suite: str | Suite = "pocket") -> None:
    """Check that a recognizer keeps its contract on four photos of a suite.

    Embeddings are finite rows of length 1; the same call gives the same result; a face gives the same result in a batch
    as on its own; two photos of one person are more alike than photos of different people; the weights do not change
    and take no gradient; a surrogate gives a gradient to the faces.

    Args:
        recognizer: name of a recognizer, which is loaded as a surrogate, or a loaded recognizer.
        suite: name or path of a suite that has a second photo of each person.

    Raises:
        FacecloakError: says in one line which rule is broken.

    Example:
        >>> check_recognizer("pocket_ir")
    """
    if isinstance(recognizer, str):
        recognizer = load_recognizer(recognizer, differentiable=True)
    _require(isinstance(recognizer, Recognizer), f"{recognizer!r:.80} is not a Recognizer")
    name, loaded = recognizer.name, load_suite(suite) if isinstance(suite, str) else suite
    faces, seconds = _pairs(loaded, recognizer.input_size)
    with torch.no_grad():
        found, again = recognizer(faces), recognizer(faces)
        alone = torch.cat([recognizer(face[None]) for face in faces])
        other = recognizer(seconds)
    _require(found.ndim == 2 and len(found) == len(faces), f"{name} gives {tuple(found.shape)} for {len(faces)} faces")
    _require(bool(torch.isfinite(found).all()), f"{name} gives numbers that are not finite")
    _require(bool((found.norm(dim=1) - 1).abs().max() < 1e-4), f"{name} gives rows whose length is not 1")
    _require(torch.equal(found, again), f"{name}: the same call twice gives different embeddings")
    _require(bool((found - alone).abs().max() < 1e-4), f"{name}: a face gives another result in a batch than alone")
    similar = found @ other.T
    own, strangers = similar.diagonal().mean(), (similar.sum() - similar.trace()) / (similar.numel() - len(similar))
    _require(
        bool(own > strangers),
        f"{name}: photos of one person are not more alike ({own:.2f}) than those of different ones ({strangers:.2f})",
    )
    trained = next((key for key, each in recognizer.named_parameters() if each.requires_grad), None)
    _require(trained is None, f"{name}: {trained} takes a gradient, so that an attack could change it")
    if recognizer.differentiable:
        wanted = faces.clone().requires_grad_()
        with torch.enable_grad():
            embedded = recognizer(wanted)
        gradient = torch.autograd.grad(embedded.sum(), wanted)[0] if embedded.requires_grad else torch.zeros(1)
        _require(bool(gradient.abs().sum() > 0), f"{name}: a surrogate gives no gradient")


def _pairs(suite: Suite, size: int) -> tuple[Tensor, Tensor]:
    """Face crops of four people, and of their second photos."""
    find_face, pairs = suite.find_face(), []
    for source in suite.load_sources():
        photos = [suite.read(path, find_face) for path in (source.path, source.second) if path]
        if len(photos) == 2 and not any(photo.error for photo in photos):
            pairs.append(photos)
    _require(len(pairs) >= 4, f"suite {suite.name} has fewer than 4 people with two photos")
    step = len(pairs) // 4  # from different groups, whose people do not look alike
    sides = zip(*pairs[: 4 * step : step], strict=True)
    first, second = (
        crop(to_tensor(photo.image for photo in side), torch.tensor([photo.box for photo in side]), size)
        for side in sides
    )
    return first, second


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise FacecloakError(f"{problem}.")


def _load(resolved: Resolved, suite: Suite, last_only: bool = False) -> ProtectionMethod:
    """The method against what may be attacked, or only the last of it."""
    require_untrained(resolved)
    black_box = [BLACK_BOX] if BLACK_BOX in suite.recognizers else suite.recognizers[:1]
    pool = attackable(suite, black_box)
    surrogates = resolved.cls.pick_surrogates(resolved.settings, pool[-1:] if last_only else pool)
    target, find_face = suite.load_target(None, suite.objective), suite.find_face()
    objective = load_objective(suite, resolved, suite.objective, target, surrogates, find_face) if surrogates else None
    return resolved.cls(resolved.settings, objective)


def _four(suite: Suite, albums: bool) -> Batch:
    photos = suite.batch(albums=albums)
    _require(len(photos.ids) >= 4, f"suite {suite.name} has fewer than 4 photos")
    return _pick(photos, [0, 1, 2, 3])


def _pick(batch: Batch, places: list[int]) -> Batch:
    albums = None if batch.albums is None else [batch.albums[place] for place in places]
    return Batch([batch.ids[place] for place in places], batch.images[places], batch.boxes[places], albums).clone()


def _protect(method: ProtectionMethod, batch: Batch, finite: bool = True) -> Protected:
    """A batch's result, which must have the right form."""
    name, given = type(method).__name__, batch.clone()
    made = method.predict_step(batch)
    pairs = zip(_tensors(batch), _tensors(given), strict=True)
    untouched = all(torch.equal(left.nan_to_num(9), right.nan_to_num(9)) for left, right in pairs)
    _require(untouched, f"{name} changes the images, boxes or albums that it is given")
    _require(
        len(made.errors) == len(batch.ids), f"{name} returned {len(made.errors)} errors for {len(batch.ids)} images"
    )
    sound = [image for image, error in zip(made.images, made.errors, strict=True) if error is None]
    if finite:
        said = next((error for error in made.errors if error is not None), None)
        _require(said is None, f"{name} could not protect a photo: {said}")
    for image in sound:
        low, high = float(image.detach().min()), float(image.detach().max())
        _require(low >= -1 and high <= 1, f"{name} returned pixels from {low:.3g} to {high:.3g}, not in -1 to 1")
    return made


def _tensors(batch: Batch) -> list[Tensor]:
    return [batch.images, batch.boxes, *(tensor for album in batch.albums or () for tensor in album)]


def _same(left: Tensor, right: Tensor) -> bool:
    return float(((left - right).abs() > STEP).float().mean()) <= SHARE


def _check_left_behind(method: ProtectionMethod, made: Protected, name: str) -> None:
    _require(not made.images.requires_grad, f"{name} returned images that keep a gradient's graph: detach them")
    kept = next((key for key, each in method.named_parameters() if each.grad is not None), None)
    _require(kept is None, f"{name} leaves a gradient behind in {kept}")
