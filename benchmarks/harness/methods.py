"""Makes methods from their names: resolves the layers of settings, and loads surrogates and targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import METHODS
from benchmarks.harness.devices import pick_device
from benchmarks.harness.needs import fetch_needed
from benchmarks.suites.suite import Suite, Target, load_suite
from facecloak.config import parse_settings, read_yaml
from facecloak.data import FindFace
from facecloak.errors import FacecloakError
from facecloak.method import ProtectionMethod
from facecloak.objectives import Goal, Objective
from facecloak.recognizers import Recognizer, load_recognizer
from facecloak.registry import unknown_name


class Resolved(NamedTuple):
    """A method with its settings.

    Attributes:
        name: key of `benchmarks.METHODS`.
        preset: name of the preset, with * if other settings were given too.
        cls: the method's class.
        settings: an instance of ``cls.Settings``.
    """

    name: str
    preset: str
    cls: type[ProtectionMethod]
    settings: Any


def list_methods() -> list[str]:
    """Names of all methods, including those of other packages and those added by `register_method`.

    Example:
        >>> "facecloak" in list_methods()
        True
    """
    return [*METHODS]


def register_method(name: str, cls: type[ProtectionMethod]) -> None:
    """Register a class as a method under a name, in this process. An installed package uses the entry point group
    ``facecloak.methods`` instead, and a command ``--methods mypackage.mine:Mine``.

    Raises:
        FacecloakError: the name belongs to another method or is not plain, or the class is not a `ProtectionMethod`.

    Example:
        >>> from facecloak import ProtectionMethod
        >>> class Mine(ProtectionMethod):
        ...     def protect(self, batch): ...
        >>> register_method("mine", Mine)
        >>> "mine" in list_methods()
        True
    """
    METHODS.register(name, cls)


def method_name(spec: str) -> str:
    """The name of the method in ``name:preset`` or ``package.module:Class``."""
    return _find(spec)[0]


def _find(spec: str) -> tuple[str, str]:
    """Name and preset of ``name``, ``name:preset``, ``package.module:Class`` or ``package.module:Class:preset``."""
    if spec in METHODS:  # such as facecloak:fast, a method of its own
        return spec, ""
    first, _, rest = spec.partition(":")
    if "." not in first or first in METHODS:
        return first, rest
    attribute, _, preset = rest.partition(":")
    try:
        cls = getattr(import_module(first), attribute)
    except ImportError as error:
        raise FacecloakError(f"{spec}: cannot import {first} ({error}). Is it on $PYTHONPATH, or installed?") from None
    except AttributeError:
        raise FacecloakError(f"{spec}: {first} has no {attribute or 'class after the colon'}.") from None
    METHODS.register(attribute, cls)
    return attribute, preset


def resolve_methods(
    suite: Suite,
    names: Sequence[str] | None,
    overrides: Iterable[str] = (),
    config: Path | Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Resolved]:
    """Each method with its settings: the suite's, overridden by the preset's, by ``config``, then by the overrides.

    The preset's name ends in * if the last two changed anything.

    Args:
        names: ``name``, ``name:preset``, or ``package.module:Class`` for a method that is registered nowhere; ``all``
            means every method of the suite; None: the suite's default ones.
        config: method → settings, or a YAML file of that.
    """
    layers = read_yaml(config) if isinstance(config, Path) else dict(config or {})
    specs = [_find(name) for name in suite.method_names(names)]
    asked = {name for name, _ in specs}
    for method, values in layers.items():
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
        if not isinstance(values, Mapping):
            where = f"{config}: " if isinstance(config, Path) else ""
            raise FacecloakError(f"{where}{method} must be a mapping of settings to values.")
    typed: dict[str, list[str]] = {}
    for override in overrides:
        method, _, assignment = override.partition(".")
        if method not in asked:
            raise FacecloakError(
                f"--{override}: {method!r} is not one of the methods of this run ({', '.join(sorted(asked))})."
            )
        typed.setdefault(method, []).append(assignment)
    resolved = []
    for name, preset in specs:
        cls = METHODS[name]
        preset = preset or next(iter(cls.presets))
        if preset not in cls.presets:
            raise unknown_name(f"preset of {name}", preset, cls.presets)
        values = {**suite.methods.get(name, {}), **cls.presets[preset]}
        own = parse_settings(cls.Settings, values, [], name)
        settings = parse_settings(cls.Settings, {**values, **layers.get(name, {})}, typed.get(name, []), name)
        resolved.append(Resolved(name, preset if settings == own else f"{preset}*", cls, settings))
    return resolved


def load_surrogate(name: str) -> Recognizer:
    """A recognizer to attack."""
    return load_recognizer(name, differentiable=True)


def load_objective(
    suite: Suite,
    method: Resolved,
    goal: Goal,
    target: Target,
    surrogates: Sequence[str],
    find_face: FindFace,
    load: Callable[[str], Recognizer] = load_surrogate,
) -> Objective:
    """What a method minimises on a suite: its surrogates, and the target or the set of targets that it chooses from.

    Args:
        surrogates: names.
        load: returns a surrogate by its name.

    Raises:
        FacecloakError: weights are missing, or a target's photo shows no face.
    """
    targets = suite.target_set(target) if method.cls.uses_target_set(method.settings) else [target]
    return suite.build_objective(goal, targets, [load(name) for name in surrogates], find_face)


def attackable(suite: Suite, black_boxes: Sequence[str]) -> list[str]:
    """The suite's surrogates for a photo that these recognizers judge.

    Raises:
        FacecloakError: one of them is not in the suite, or no recognizer is left to attack.
    """
    for black_box in black_boxes:
        if black_box not in suite.recognizers:
            raise unknown_name(f"recognizer of suite {suite.name}", black_box, suite.recognizers)
    names = [name for name in suite.surrogates_for(black_boxes) if name not in black_boxes]
    if not names:
        raise FacecloakError(
            f"Suite {suite.name} has no recognizer to attack except {', '.join(black_boxes)}, which must only judge."
        )
    return names


def load_method(
    spec: str,
    suite: str | Suite,
    *,
    target: str | None = None,
    black_box: str | None = None,
    objective: Goal | None = None,
    accelerator: str = "auto",
    **settings: Any,
) -> ProtectionMethod:
    """A method that is ready for `ProtectionMethod.predict_step`: its surrogates and its target are loaded.

    Args:
        spec: name, ``name:preset`` or ``package.module:Class``.
        suite: the suite whose settings, recognizers and targets are used.
        target: name; by default the suite's first.
        black_box: a recognizer that is not attacked, so that it can judge; None: all not held out are attacked.
        objective: impersonation or obfuscation; by default the suite's.
        accelerator: auto, cpu or gpu.
        **settings: settings of the method, which override those of suite and preset.

    Raises:
        FacecloakError: a name, a setting or weights are wrong or missing, or the method must be trained first.

    Example:
        >>> suite = load_suite("pocket")
        >>> method = load_method("pgd", suite, target="1", black_box="pocket_dense", iterations=2)
        >>> made = method.predict_step(suite.batch(target="1", limit=2))
        >>> made.images.shape, made.errors
        (torch.Size([2, 3, 128, 128]), [None, None])
    """
    suite = load_suite(suite) if isinstance(suite, str) else suite
    (resolved,) = resolve_methods(suite, [spec], config={method_name(spec): settings} if settings else None)
    require_untrained(resolved)
    device, attacked = pick_device(accelerator), None
    resolved.cls.require_device(resolved.settings, device.type)
    goal = objective or suite.objective
    surrogates = resolved.cls.pick_surrogates(resolved.settings, attackable(suite, [black_box] if black_box else []))
    suite.require_target(target, goal)
    fetch_needed(suite, surrogates, [resolved.settings], sources=False)
    face = suite.load_target(target, goal)
    if surrogates:
        attacked = load_objective(suite, resolved, goal, face, surrogates, suite.find_face(str(device)))
    return resolved.cls(resolved.settings, attacked).to(device)


def require_untrained(method: Resolved) -> None:
    """Raise `FacecloakError` if a method must be trained before it can protect."""
    if method.cls.stages(method.settings):
        raise FacecloakError(
            f"{method.name} must be trained for a suite's target first, which only these do: `facecloak benchmark "
            f"SUITE --methods {method.name}` and `facecloak protect PHOTO --method {method.name}`."
        )


def require_side(method: ProtectionMethod, name: str, suite: Suite) -> None:
    """Raise `FacecloakError` if a method can only make pictures of another size than the suite's."""
    if method.side not in (None, suite.image_size):
        raise FacecloakError(
            f"{name} makes pictures of {method.side}×{method.side} pixels, but suite {suite.name} has "
            f"pictures of {suite.image_size}×{suite.image_size}: use another model."
        )
