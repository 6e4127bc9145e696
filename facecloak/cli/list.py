"""What `facecloak list` shows."""

from __future__ import annotations

import argparse

from rich.table import Table

from benchmarks import METHODS
from benchmarks.console import wide_console
from benchmarks.suites.suite import list_suites, load_suite
from facecloak.recognizers import list_recognizers


def run(options: argparse.Namespace) -> int:
    """Print methods, recognizers and suites; returns the exit status."""
    console = wide_console()
    methods = Table("method", "presets", "surrogates", "what it is", title="methods", title_justify="left")
    for name in METHODS:
        cls = METHODS[name]
        summary = (cls.__doc__ or "").strip().splitlines()[0]
        methods.add_row(name, ", ".join(cls.presets), "yes" if cls.uses_surrogates else "no", summary)
    recognizers = Table(
        "recognizer", "kind", "", "where it is, or how to get it", title="recognizers", title_justify="left"
    )
    for entry in list_recognizers():
        state = "[green]present[/]" if entry.present else "[red]missing[/]"
        recognizers.add_row(entry.name, entry.kind, state, entry.where)
    suites = Table("suite", "recognizers", "description", title="suites", title_justify="left")
    for name in list_suites():
        suite = load_suite(name)
        marked = [f"{one} (held out)" if one in suite.held_out else one for one in suite.recognizers]
        suites.add_row(name, ", ".join(marked), suite.description)
    for table in (methods, recognizers, suites):
        console.print(table)
    return 0
