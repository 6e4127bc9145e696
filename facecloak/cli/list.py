"""What `facecloak list` shows."""

from __future__ import annotations

import argparse

from rich.markup import escape
from rich.table import Table

from benchmarks import METHODS
from benchmarks.console import wide_console
from benchmarks.harness.countermeasures import SETS, find_countermeasures
from benchmarks.harness.needs import suite_assets
from benchmarks.suites.paths import list_suites
from benchmarks.suites.suite import Suite, load_suite
from facecloak.assets import find_asset, is_here, state
from facecloak.method import ProtectionMethod
from facecloak.objectives import BOTH
from facecloak.recognizers import list_recognizers
from facecloak.recognizers.pool import Entry


def run(options: argparse.Namespace) -> int:
    """Print the table that is asked for, or all; returns the exit status."""
    console = wide_console()
    for what in [options.what] if options.what else TABLES:
        table = TABLES[what]()
        table.title, table.title_justify = what, "left"
        console.print(table)
    return 0


def _methods() -> Table:
    table = Table("method", "family", "paper", "made for", "trains", "a photo takes", "presets", "what it is")
    for name in METHODS:
        table.add_row(*_about(name, METHODS[name]))
    return table


def _recognizers() -> Table:
    table = Table()
    for head in ("recognizer", "kind", "state", "licence"):
        table.add_column(head, overflow="fold")
    for entry in list_recognizers():
        table.add_row(entry.name, entry.kind, _state_of(entry), entry.licence)
    return table


def _suites() -> Table:
    table = Table("suite", "recognizers", "description", "state")
    for name in list_suites():
        suite = load_suite(name)
        marked = [f"{one} (held out)" if one in suite.held_out else one for one in suite.recognizers]
        table.add_row(name, ", ".join(marked), suite.description, _state_of_suite(suite))
    return table


def _countermeasures() -> Table:
    table = Table("countermeasures", "what they do")
    for name, members in SETS.items():
        table.add_row(f"[bold]{name}[/]", f"all {len(members)} of this set")
        for found in find_countermeasures(members if name != "all" else members[-1:]):
            table.add_row(found.name, found.meaning)
    return table


TABLES = {"methods": _methods, "recognizers": _recognizers, "suites": _suites, "countermeasures": _countermeasures}


def _about(name: str, method: type[ProtectionMethod]) -> list[str]:
    """The row of a method; "made for" is what its paper has, since the harness measures both for every method."""
    summary = (method.__doc__ or "").strip().splitlines()[0].removesuffix(".")
    trains = "once per target" if method.stages(method.Settings()) else "no"
    if method.origin is None:
        return [name, "reference" if not method.uses_surrogates else "", "", "", trains, "", ", ".join(method.presets),
                summary]  # fmt: skip
    family, paper, year, goals, cost = method.origin
    return [
        name,
        family,
        f"{paper} {year}",
        "both objectives" if goals == BOTH else ", ".join(goals),
        trains,
        cost,
        ", ".join(method.presets),
        summary,
    ]


def _state_of(entry: Entry) -> str:
    if entry.present:
        return f"[green]here[/]: {escape(entry.where)}"
    if entry.asset and find_asset(entry.asset).fetchable:
        return f"[yellow]{escape(state(entry.asset))}[/]: facecloak fetch {escape(entry.name)}"
    return f"[red]by hand[/]: {escape(entry.where)}"


def _state_of_suite(suite: Suite) -> str:
    """Whether everything is here that the suite needs, and what of it has to be fetched or got by hand."""
    missing = [find_asset(name) for name in suite_assets(suite) if not is_here(name)]
    entries = {entry.name: entry for entry in list_recognizers()}
    lost = [name for name in suite.recognizers if name not in entries or _is_lost(entries[name])]
    by_hand = [asset.name for asset in missing if not asset.fetchable] + lost
    if by_hand:
        return f"[red]by hand[/]: {escape(', '.join(by_hand))}"
    size = sum(asset.size or 0 for asset in missing)
    return f"[yellow]can be fetched ({size / 1e6:,.0f} MB)[/]" if missing else "[green]here[/]"


def _is_lost(entry: Entry) -> bool:
    return not entry.present and entry.asset is None
