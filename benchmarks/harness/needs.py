"""What a command needs that is not shipped, and what results say about it: photos, models, recognizers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks import METHODS
from benchmarks.suites.rules import CALIBRATE
from benchmarks.suites.suite import Suite
from facecloak.assets import fetch, is_here, list_assets, provenance
from facecloak.assets.paths import asset_of, model_asset
from facecloak.config import parse_settings
from facecloak.io import sha256
from facecloak.metrics.features import features_asset
from facecloak.recognizers import list_recognizers, recognizer_asset, recognizer_licence, weights_file


def fetch_needed(
    suite: Suite,
    recognizers: Iterable[str],
    settings: Iterable[Any] = (),
    *,
    sources: bool = True,
    calibration: bool = False,
    judging: bool = False,
) -> None:
    """Fetch what is not here, all of it before anything is computed.

    Args:
        recognizers: names of those that attack or judge.
        settings: of the methods; a setting such as ``asset:NAME`` names a model.
        sources: whether the suite's own photos are needed.
        calibration: whether the photos that set its thresholds are.
        judging: whether pictures are compared, by a network that may have to be fetched.

    Raises:
        FacecloakError: an asset must be got by hand, or cannot be fetched.
    """
    fetch(_wanted(suite, recognizers, settings, sources, calibration, judging))


def suite_assets(suite: Suite) -> list[str]:
    """Names of all assets that a suite may need: photos, recognizers, models of its methods, thresholds' photos.

    A recognizer that nobody knows here is left out: its sidecar is missing.
    """
    settings = [parse_settings(METHODS[name].Settings, values, name=name) for name, values in suite.methods.items()]
    known = {entry.name for entry in list_recognizers()}
    recognizers = [name for name in suite.recognizers if name in known]
    packages = [name for name in recognizers if name in list_assets()]  # whose weights a package brings
    wanted = _wanted(suite, recognizers, settings, sources=True, calibration=True, judging=True)
    return [*dict.fromkeys([*wanted, *packages])]


def used(
    suite: Suite, recognizers: Iterable[str], settings: Any = None, *, judging: bool = False
) -> list[dict[str, Any]]:
    """What results came from that others have made: name, revision, sha256, licence, cite, and whether it was fetched.

    Args:
        recognizers: names of those that attack or judge.
        settings: of the method.
        judging: whether it is about a judgement, which thresholds and distances belong to.
    """
    assets = [*suite.assets(), *_models(settings)]
    if judging:
        assets += [*_calibrating(suite), *(["inception"] if suite.features == "inception" else []), "lpips"]
    return [
        *({**provenance(name), "fetched": True} for name in dict.fromkeys(assets) if is_here(name)),
        *map(_recognizer, recognizers),
    ]


def used_text(entries: Iterable[Mapping[str, Any]]) -> str | None:
    """The fetched ones of `used`, each with the start of its revision and hash, for a column of a table."""
    parts = [
        " ".join(filter(None, (entry["name"], (entry["revision"] or "")[:12], (entry["sha256"] or "")[:12])))
        for entry in entries
        if entry["fetched"]
    ]
    return "; ".join(dict.fromkeys(parts)) or None


def _wanted(
    suite: Suite, recognizers: Iterable[str], settings: Iterable[Any], sources: bool, calibration: bool, judging: bool
) -> list[str]:
    names: list[str | None] = [*suite.assets(sources), *(_calibrating(suite) if calibration else ())]
    names += [features_asset(suite.features)] if judging else []
    names += map(recognizer_asset, recognizers)
    names += [asset for each in settings for asset in _models(each)]
    return [*dict.fromkeys(name for name in names if name)]


def _calibrating(suite: Suite) -> list[str]:
    """The asset with the photos that set the suite's thresholds, if they are in one."""
    asset = asset_of(suite.calibration.people) if suite.calibration and suite.thresholds == CALIBRATE else None
    return [asset] if asset else []


def _models(settings: Any) -> list[str]:
    """The assets of the models that the settings of a method name."""
    names = [getattr(settings, field) for field in getattr(settings, "models", ())]
    return [asset for name in names if name and (asset := model_asset(name))]


def _recognizer(name: str) -> dict[str, Any]:
    """Of a recognizer, the file that was loaded, whatever archive it came in."""
    asset, (licence, cite) = recognizer_asset(name), recognizer_licence(name)
    return {
        "name": name, "revision": provenance(asset)["revision"] if asset else None,
        "sha256": sha256(weights_file(name)), "licence": licence, "cite": cite, "fetched": asset is not None,
    }  # fmt: skip
