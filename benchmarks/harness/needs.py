"""What a command needs that is not shipped, and what results say about it: photos, models, recognizers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from benchmarks import METHODS
from benchmarks.suites.suite import Suite
from facecloak.assets import fetch, provenance
from facecloak.config import parse_settings
from facecloak.io import asset_of, sha256
from facecloak.metrics.features import features_asset
from facecloak.recognizers import list_recognizers, recognizer_asset, recognizer_licence, weights_file


def fetch_needed(
    suite: Suite,
    recognizers: Iterable[str],
    settings: Iterable[Any] = (),
    *,
    sources: bool = True,
    calibration: bool = False,
) -> None:
    """Fetch what is not here, all of it before anything is computed.

    Args:
        recognizers: names of those that attack or judge.
        settings: of the methods; a setting such as ``asset:NAME`` names a model.
        sources: whether the suite's own photos are needed.
        calibration: whether the photos that set its thresholds are.

    Raises:
        FacecloakError: an asset must be got by hand, or cannot be fetched.
    """
    fetch(_wanted(suite, recognizers, settings, sources, calibration))


def suite_assets(suite: Suite) -> list[str]:
    """Names of all assets that a suite may need: photos, recognizers, models of its methods, thresholds' photos.

    A recognizer that nobody knows here is left out: its sidecar is missing.
    """
    settings = [parse_settings(METHODS[name].Settings, values, name=name) for name, values in suite.methods.items()]
    known = {entry.name for entry in list_recognizers()}
    recognizers = [name for name in suite.recognizers if name in known]
    return _wanted(suite, recognizers, settings, sources=True, calibration=True)


def used(suite: Suite, recognizers: Iterable[str], settings: Any = None) -> list[dict[str, Any]]:
    """What results came from that others have made: name, revision, sha256, licence, cite, and whether it was fetched.

    Args:
        recognizers: names of those that attack or judge.
        settings: of the method.
    """
    assets = dict.fromkeys([*suite.assets(), *_models(settings)])
    return [*({**provenance(name), "fetched": True} for name in assets), *map(_recognizer, recognizers)]


def used_text(entries: Iterable[Mapping[str, Any]]) -> str | None:
    """The fetched ones of `used`, each with the start of its revision and hash, for a column of a table."""
    parts = [
        " ".join(filter(None, (entry["name"], (entry["revision"] or "")[:12], (entry["sha256"] or "")[:12])))
        for entry in entries
        if entry["fetched"]
    ]
    return "; ".join(dict.fromkeys(parts)) or None


def _wanted(
    suite: Suite, recognizers: Iterable[str], settings: Iterable[Any], sources: bool, calibration: bool
) -> list[str]:
    names: list[str | None] = [*suite.assets(sources), features_asset(suite.features)]
    if calibration and suite.calibration:
        names.append(asset_of(suite.calibration.people))
    names += map(recognizer_asset, recognizers)
    names += [asset for each in settings for asset in _models(each)]
    return [*dict.fromkeys(name for name in names if name)]


def _models(settings: Any) -> Iterator[str]:
    values = vars(settings).values() if dataclasses.is_dataclass(settings) else ()
    for value in values:
        if isinstance(value, str) and (asset := asset_of(value)):
            yield asset


def _recognizer(name: str) -> dict[str, Any]:
    """Of a recognizer, the file that was loaded, whatever archive it came in."""
    asset, (licence, cite) = recognizer_asset(name), recognizer_licence(name)
    return {
        "name": name, "revision": provenance(asset)["revision"] if asset else None,
        "sha256": sha256(weights_file(name)), "licence": licence, "cite": cite, "fetched": asset is not None,
    }  # fmt: skip
