"""The command line. Each command is a module of this folder, imported only when it is used, so that --help is quick."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from facecloak.cli.arguments import make_parser
from facecloak.cli.guard import guarded
from facecloak.registry import unknown_name


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 done with failed images or findings, 2 an error."""
    parser = make_parser()
    options, rest = parser.parse_known_args(arguments)
    has_settings = options.command in ("benchmark", "curves", "protect")
    for argument in rest:
        if not (has_settings and _is_override(argument)):
            hint = "; settings are given as --method.field=value" if has_settings else ""
            parser.error(f"unknown argument {argument!r}{hint}")
    options.overrides = [argument.removeprefix("--") for argument in rest]
    # processes are started only from a real command line, which they can repeat
    module = "together" if arguments is None and options.command == "benchmark" else options.command
    return guarded(lambda: _run(module, options), **ENDS.get(options.command, {}))


def _run(module: str, options: argparse.Namespace) -> int:
    """Import the command's module, and run it; before that, which takes seconds, look for misspelt names."""
    from benchmarks import METHODS
    from benchmarks.suites.paths import suite_path

    if getattr(options, "suite", None):
        suite_path(options.suite)
    for spec in getattr(options, "methods", None) or [getattr(options, "method", None) or "all"]:
        name = spec.partition(":")[0]  # one with a dot is a module
        if name not in METHODS and "." not in name and spec != "all":
            raise unknown_name("method", name, METHODS)
    return import_module(f"facecloak.cli.{module}").run(options)


def _is_override(argument: str) -> bool:
    name, equals, _ = argument.partition("=")
    return argument.startswith("--") and bool(equals) and "." in name


# what each command says when it ends too early
ENDS = {
    "benchmark": {
        "kept": "Finished images are kept: run the same command again (without --mode overwrite) to continue.",
        "smaller": "--batch-size or model",
    },
    "curves": {"kept": "Finished images are kept: run the same command again to continue.", "smaller": "--batch-size"},
    "protect": {"kept": "Finished photos are kept."},
    "sweep": {"kept": "Finished trials are kept: run the same command again to continue."},
}


if __name__ == "__main__":
    sys.exit(main())
