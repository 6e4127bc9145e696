"""Suite files: YAML, read and checked before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.suite import FOLDER, Suite
from facecloak.config import parse_settings, read_yaml
from facecloak.errors import FacecloakError
from facecloak.metrics import FEATURES
from facecloak.registry import unknown_name


def suite_names() -> list[str]:
    """The suites that ship with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_suite(name: str) -> Suite:
    """Load a suite by its name, or from the path of a YAML file.

    Raises:
        FacecloakError: no such suite, an unknown or missing key, a value that cannot be.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise (
            FacecloakError(f"{path}: no such file.")
            if path == Path(name)
            else unknown_name("suite", name, suite_names())
        )
    suite = parse_settings(Suite, {"name": path.stem, **read_yaml(path)}, name=str(path))
    if (path.parent / suite.thresholds).is_file():  # beside a suite that is kept elsewhere
        suite = replace(suite, thresholds=str((path.parent / suite.thresholds).resolve()))
    _check(suite, path)
    return suite


def _check(suite: Suite, path: Path) -> None:
    names, groups = suite.target_names(), suite.sources.get("groups")
    rules = {
        "image_size must be above 0": suite.image_size > 0,
        "recognizers must name two at least, each once": len(set(suite.recognizers)) == len(suite.recognizers) > 1,
        "held_out must leave two recognizers at least, which judge each other": not suite.held_out
        or len(set(suite.recognizers) - set(suite.held_out)) > 1,
        "surrogates and held_out must not share a name": set(suite.surrogates or []).isdisjoint(suite.held_out),
        "crop must be mtcnn or [x0, y0, x1, y1]": suite.crop == "mtcnn"
        or (isinstance(suite.crop, list) and len(suite.crop) == 4),
        "detect can be false with a fixed crop only": suite.detect or suite.crop != "mtcnn",
        "sources must have a folder or groups": bool(suite.sources.get("folder") or isinstance(groups, dict)),
        "targets must have a folder": isinstance(suite.targets.get("folder"), str),
        "each of targets.pairs must have a name, an image and a test": None not in names,
        "each group of sources must be named as a target": {str(group) for group in groups or ()} <= set(names),
        "fars must be between 0 and 1": bool(suite.fars) and all(0 < far < 1 for far in suite.fars),
        "batch_size must be 1 at least": suite.batch_size > 0,
        "default_limit must be 1 at least": suite.default_limit is None or suite.default_limit > 0,
    }
    for rule, holds in rules.items():
        if not holds:
            raise FacecloakError(f"{path}: {rule}.")
    for recognizer in suite.held_out:
        if recognizer not in suite.recognizers:
            raise unknown_name(f"recognizer in {path}, held_out", recognizer, suite.recognizers)
    for target in suite.default_targets:
        if target not in names:
            raise unknown_name(f"target in {path}", target, names)
    if suite.features not in FEATURES:
        raise unknown_name(f"feature network in {path}", suite.features, FEATURES)
