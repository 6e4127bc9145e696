"""Sends methods' results to Weights & Biases, in a process of its own while a benchmark runs.

One run of W&B is a method with its settings. All that is sent is read from a run's folder. During a benchmark a
separate process does that (see `benchmarks.tracking.tracker`), so that neither a slow network nor an error there
affects the benchmark.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import get_args

from benchmarks.results.store import protection_of, run_of
from benchmarks.tracking.client import NoAnswer, check_environment, default_mode, one_line
from benchmarks.tracking.content import Method, find_methods, method_of, tracked_method
from benchmarks.tracking.sending import send
from benchmarks.tracking.tracker import Mode
from facecloak.cli.guard import guarded
from facecloak.errors import FacecloakError

TOGETHER = 50  # runs that one process of the client sends
Judged = tuple[Method, list[Path]]  # a method with the folders of its judgements


def send_methods(batches: Iterable[list[Judged]], mode: Mode, images: bool, say: Callable[[str, bool], None]) -> int:
    """Send methods, those of a batch together; returns how many could not be sent.

    Args:
        batches: methods of one run's folder, each with the folders of its judgements.
        images: include pictures and files, which show faces.
        say: called with a line for each method, and whether it reports an error.
    """
    failed = 0
    for batch in batches:
        errors = _send_batch(batch, mode, images)
        for method, error in zip((method for method, _ in batch), errors, strict=True):
            title = f"{method.method} ({method.suite}, {method.objective}, settings {method.settings_hash[:6]})"
            if error is None:
                say(f"{mode}: {title}", False)
                continue
            again = f"; `facecloak track {method.run}{' --wandb-images' if images else ''}` tries again"
            say(f"error: {title}: {one_line(error)}{again}", True)
            failed += 1
        if any(isinstance(error, NoAnswer) for error in errors):
            mode = "offline"  # otherwise each of the remaining batches would wait as long
    return failed


def _send_batch(batch: list[Judged], mode: Mode, images: bool) -> list[Exception | None]:
    """Send the methods of one run's folder; returns an error for each that could not be sent."""
    tracked, errors = {}, {}
    for method, judgements in batch:
        try:
            tracked[method] = tracked_method(method.run, judgements, images)
        except Exception as error:  # the others may succeed
            errors[method] = error
    try:
        unsent = send([*tracked.values()], mode) if tracked else {}
    except Exception as error:
        unsent = {what.stem: error for what in tracked.values()}
    errors |= {method: unsent[what.stem] for method, what in tracked.items() if what.stem in unsent}
    return [errors.get(method) for method, _ in batch]


def send_runs(runs: Iterable[Path], mode: Mode | None, images: bool, say: Callable[[str, bool], None]) -> int:
    """Send the results of finished runs that W&B does not have yet; returns how many methods could not be sent.

    Args:
        runs: the ``--out`` of benchmarks, or folders of such folders.
        mode: None means the mode that `default_mode` finds.
        images, say: see `send_methods`.

    Raises:
        FacecloakError: no such folder, or nothing has been judged in it.
    """
    check_environment()
    methods = find_methods(runs)
    if not methods:
        raise FacecloakError(f"{', '.join(map(str, runs))}: nothing has been judged there yet.")
    found = [*methods.items()]
    batches = (
        [each for each in found if each[0].run == run][start : start + TOGETHER]
        for run in dict.fromkeys(method.run for method, _ in found)
        for start in range(0, len(found), TOGETHER)
    )
    return send_methods((batch for batch in batches if batch), mode or default_mode(), images, say)


def judged_methods(lines: Iterable[str]) -> Iterator[list[Judged]]:
    """The methods of one run's folder that are finished, with all their judgements.

    A method counts as finished when one of another name begins, and at the end: `facecloak judge` switches between the
    settings of a method, which must not be sent again each time.

    Args:
        lines: folders of judgements, in the order in which they are made.
    """
    pending: dict[Method, None] = {}
    for line in lines:
        folder = Path(line.rstrip("\n"))
        begun = method_of(protection_of(folder))._replace(run=run_of(folder))
        if pending and begun.method not in {method.method for method in pending}:
            yield from _with_judgements(pending)
            pending = {}
        pending[begun] = None
    yield from _with_judgements(pending)


def _with_judgements(methods: Iterable[Method]) -> Iterator[list[Judged]]:
    for run in dict.fromkeys(method.run for method in methods):
        found = find_methods([run])
        if judged := [(method, found[method]) for method in methods if method in found]:
            yield judged


def _input() -> Iterator[str]:
    """The lines of standard input; their writer does not have to wait until a line is processed."""
    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put("")

    Thread(target=read, daemon=True).start()
    return iter(lines.get, "")


def say(line: str, is_error: bool) -> None:
    """Print a line at once."""
    print(line, file=sys.stderr if is_error else sys.stdout, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Send the judgements named on standard input, one folder per line; returns 1 if not all could be sent."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking.sender", description=main.__doc__)
    parser.add_argument("--wandb", choices=get_args(Mode)[:2], help="default: online if logged in, else offline")
    parser.add_argument("--wandb-images", action="store_true", help="send pictures too, which show faces")
    options = parser.parse_args(arguments)

    def work() -> int:
        os.nice(19)  # a benchmark is running, and measures time
        check_environment()
        mode = options.wandb or default_mode()
        return min(1, send_methods(judged_methods(_input()), mode, options.wandb_images, say))

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
