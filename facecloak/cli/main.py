"""The command line. Every import of the project is inside a function, so that `facecloak --help` is quick."""

from __future__ import annotations

import argparse
import sys

from facecloak.cli.arguments import make_parser
from facecloak.cli.guard import guarded


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 done with failed images or findings, 2 an error."""
    parser = make_parser()
    options, rest = parser.parse_known_args(arguments)
    has_settings = options.command in ("benchmark", "protect")
    for argument in rest:
        if not (has_settings and _is_override(argument)):
            hint = "; settings are given as --method.field=value" if has_settings else ""
            parser.error(f"unknown argument {argument!r}{hint}")
    options.overrides = [argument.removeprefix("--") for argument in rest]
    return guarded(lambda: COMMANDS[options.command](options), **ENDS.get(options.command, {}))


def _is_override(argument: str) -> bool:
    name, equals, _ = argument.partition("=")
    return argument.startswith("--") and bool(equals) and "." in name


def _demo(options: argparse.Namespace) -> int:
    from facecloak.cli.demo import run_demo

    return run_demo(options.suite, options.out)


def _benchmark(options: argparse.Namespace) -> int:
    from facecloak.cli.benchmark import benchmark

    return benchmark(options)


def _judge(options: argparse.Namespace) -> int:
    from facecloak.cli.judge import judge

    return judge(options)


def _protect(options: argparse.Namespace) -> int:
    from facecloak.cli.protect import protect

    return protect(options)


def _evaluate(options: argparse.Namespace) -> int:
    from facecloak.cli.evaluate import evaluate

    return evaluate(options)


def _calibrate(options: argparse.Namespace) -> int:
    from facecloak.cli.calibrate import calibrate

    return calibrate(options)


def _sweep(options: argparse.Namespace) -> int:
    from facecloak.cli.sweep import sweep

    return sweep(options)


def _leaderboard(options: argparse.Namespace) -> int:
    from facecloak.cli.leaderboard import leaderboard

    return leaderboard(options)


def _track(options: argparse.Namespace) -> int:
    from facecloak.cli.track import track

    return track(options)


def _list(options: argparse.Namespace) -> int:
    from facecloak.cli.list import print_listing

    return print_listing()


# what each command says when it ends too early
ENDS = {
    "benchmark": {
        "kept": "Finished images are kept: run the same command again (without --mode overwrite) to go on.",
        "smaller": "--batch-size or model",
    },
    "protect": {"kept": "The photos that were finished are kept."},
    "sweep": {"kept": "Finished trials are kept: run the same command again to go on."},
}
COMMANDS = {
    "demo": _demo,
    "benchmark": _benchmark,
    "judge": _judge,
    "protect": _protect,
    "evaluate": _evaluate,
    "calibrate": _calibrate,
    "sweep": _sweep,
    "leaderboard": _leaderboard,
    "track": _track,
    "list": _list,
}


if __name__ == "__main__":
    sys.exit(main())
