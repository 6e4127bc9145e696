"""`facecloak licences`: what runs used that others have made, under which licences, and what a paper must cite."""

from __future__ import annotations

import argparse

from rich.markup import escape
from rich.table import Table

from benchmarks.console import wide_console
from benchmarks.results.store import find_judgements, protection_of, read_judgement, read_protection
from facecloak.errors import FacecloakError


def run(options: argparse.Namespace) -> int:
    """Print a line for each thing that was used; returns 0."""
    found: dict[tuple[str, str | None], dict] = {}
    for folder in find_judgements(options.runs):
        judgement = read_judgement(folder)
        entries = [*read_protection(protection_of(folder)).get("used", [])]
        entries += judgement.provenance.get("used", []) if judgement else []
        found |= {(entry["name"], entry["sha256"]): entry for entry in entries}
    if not found:
        raise FacecloakError("These runs do not say what they used: they were made by an earlier version.")
    view = Table("used", "revision", "SHA-256", "licence", "cite")
    for (name, digest), entry in sorted(found.items(), key=lambda item: str(item[0])):
        parts = (name, entry["revision"] or "", (digest or "")[:12], entry["licence"], entry["cite"])
        view.add_row(*map(escape, parts))
    wide_console().print(view)
    return 0
