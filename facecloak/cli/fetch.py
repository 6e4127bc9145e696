"""`facecloak fetch`: what there is to fetch, and fetching it ahead."""

from __future__ import annotations

import argparse
import sys

from rich.markup import escape
from rich.table import Table

from benchmarks.console import quietly, wide_console
from benchmarks.harness.needs import suite_assets
from benchmarks.suites.paths import list_suites
from benchmarks.suites.suite import load_suite
from facecloak.assets import fetch, find_asset, list_assets, state
from facecloak.assets.table import HUB
from facecloak.errors import FacecloakError
from facecloak.recognizers import list_recognizers, recognizer_asset, weights_file
from facecloak.registry import unknown_name


@quietly()
def run(options: argparse.Namespace) -> int:
    """Print the table, or fetch what can be; returns 0 if everything is here then, else 1."""
    if options.list or not options.names:
        _print_table(options.names)
        return 0
    names = [*dict.fromkeys(asset for name in options.names for asset in _assets_of(name))]
    missing = 0
    for name in names:
        try:
            fetch([name])
        except FacecloakError as error:  # the others may be had
            missing += 1
            print(error, file=sys.stderr)
    print(f"{len(names) - missing} of {len(names)} assets are here.")
    return 1 if missing else 0


def _assets_of(name: str) -> list[str]:
    """The assets of a suite, the asset of that name, or that of a recognizer; none if its weights are here without."""
    if name in list_suites() or name.endswith((".yaml", ".yml")):
        return suite_assets(load_suite(name))
    if name in list_assets() or name.startswith(HUB):
        return [find_asset(name).name]
    recognizers = [entry.name for entry in list_recognizers()]
    if name not in recognizers:
        known = [*list_suites(), *list_assets(), *recognizers]
        raise unknown_name("suite, recognizer or asset", name, known, command="facecloak fetch --list")
    if asset := recognizer_asset(name):
        return [asset]
    weights_file(name)  # says what is missing
    return []


def _print_table(names: list[str]) -> None:
    """All assets, or those of some suites and recognizers, with the suites that need each."""
    suites = {suite: suite_assets(load_suite(suite)) for suite in list_suites()}
    shown = [asset for name in names for asset in _assets_of(name)] if names else list_assets()
    view = Table()
    for head in ("asset", "what it is", "licence", "state", "needed by"):
        view.add_column(head, overflow="fold")
    for name in dict.fromkeys(shown):
        asset = find_asset(name)
        users = ", ".join(suite for suite, needed in suites.items() if name in needed)
        view.add_row(*map(escape, (name, asset.about, asset.licence, state(name), users)))
    wide_console().print(view)
