"""`facecloak fetch`: what there is to fetch, and fetching it ahead."""

from __future__ import annotations

import argparse
import sys

from rich.markup import escape
from rich.table import Table

from benchmarks.console import quietly, wide_console
from benchmarks.harness.needs import suite_assets
from benchmarks.suites.suite import list_suites, load_suite
from facecloak.assets import fetch, find_asset, is_here, list_assets, state
from facecloak.recognizers import list_recognizers, recognizer_asset


@quietly()
def run(options: argparse.Namespace) -> int:
    """Print the table, or fetch; returns 0 if everything is here then, 1 if something must be got by hand."""
    if options.list or not options.names:
        _print_table(options.names)
        return 0
    names = [*dict.fromkeys(asset for name in options.names for asset in _assets_of(name))]
    by_hand = [name for name in names if not find_asset(name).fetchable and not is_here(name)]
    fetch(name for name in names if name not in by_hand)
    for name in by_hand:
        print(f"{name}: {state(name)}", file=sys.stderr)
    wide_console().print(f"{len(names) - len(by_hand)} of {len(names)} assets are here.")
    return 1 if by_hand else 0


def _assets_of(name: str) -> list[str]:
    """The assets of a suite or a recognizer, or the asset of that name."""
    if name in list_suites() or name.endswith((".yaml", ".yml")):
        return suite_assets(load_suite(name))
    if name in {entry.name for entry in list_recognizers()}:
        asset = recognizer_asset(name)
        return [asset] if asset else []
    return [find_asset(name).name]


def _print_table(names: list[str]) -> None:
    """All assets, or those of some suites and recognizers, with the suites that need each."""
    suites = {suite: suite_assets(load_suite(suite)) for suite in list_suites()}
    shown = [asset for name in names for asset in _assets_of(name)] or list_assets()
    view = Table("asset", "what it is", "licence", "state", "needed by")
    for name in dict.fromkeys(shown):
        asset = find_asset(name)
        users = ", ".join(suite for suite, needed in suites.items() if name in needed)
        view.add_row(*map(escape, (name, asset.about, asset.licence, state(name), users)))
    wide_console().print(view)
