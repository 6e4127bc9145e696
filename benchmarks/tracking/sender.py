"""Sends methods' results to Weights & Biases, and communicates with its sweeps; the only file that imports wandb.

One run of W&B is a method with its settings. All that is sent is read from a run's folder. During a benchmark a
separate process does that (see `benchmarks.tracking.tracker`), so that neither a slow network nor an error there
affects the benchmark.

A run of W&B is first written to files and then sent as a whole (`wandb sync`), so that no curve is ever sent twice. Its
id depends on its content: the same results have the same id and are sent once. When a method has more results, they are
sent as a new run of the same name; the files of the earlier run are moved to ``wandb/superseded``. Once the server has
the new run, the earlier one gets the tag ``superseded`` there and its files are removed. All this can be killed at any
moment; the next `send` then completes it.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, get_args

import wandb
from filelock import FileLock

from benchmarks.results.store import protection_of, run_of
from benchmarks.tracking.content import Method, Tracked, find_methods, method_of, tracked_method
from benchmarks.tracking.tracker import Mode, mode_of_environment
from facecloak.cli.guard import guarded
from facecloak.errors import FacecloakError

PROJECT = "facecloak"  # unless $WANDB_PROJECT is set
WRITTEN = "written"  # file that marks a run's files as complete
SUPERSEDED = "superseded"  # name of a tag and of a folder
PICTURES = "-pictures"  # end of the id of a run with pictures
RATE = 1e5  # lowest expected speed of sending, bytes per second
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # W&B's own telemetry contains paths


def default_mode() -> Mode:
    """Online if somebody has logged in, otherwise offline."""
    return "online" if wandb.login(prompt=False, verify=False) else "offline"


def _wait() -> float:
    """Seconds that sending a run may take, in addition to the time for its size: ``$WANDB_FINISH_TIMEOUT``, or 60.

    Raises:
        FacecloakError: it is not a number of seconds.
    """
    text = os.environ.get("WANDB_FINISH_TIMEOUT") or "60"
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise FacecloakError(f"$WANDB_FINISH_TIMEOUT is {text!r}; it must be a number of seconds, such as 60.")
    return seconds


def _check_environment() -> None:
    """Check the variables with which W&B's client would end in a traceback."""
    _wait()
    mode_of_environment()


def _project() -> str:
    return os.environ.get("WANDB_PROJECT", PROJECT)


def _init(**about: Any) -> wandb.Run:
    """A run of W&B that reports nothing about this machine or its packages."""
    quiet = wandb.Settings(
        silent=True, console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True,
        x_disable_machine_info=True, x_save_requirements=False, host="", finish_timeout=_wait(),
    )  # fmt: skip
    return wandb.init(project=_project(), settings=quiet, reinit="finish_previous", **about)


def send(what: Tracked, mode: Mode) -> None:
    """Make one run of W&B for a method; the same results are one run, and are sent once.

    Raises:
        NoAnswer: not everything was sent.
    """
    (what.out / "locks").mkdir(exist_ok=True)
    with FileLock(what.out / "locks" / "tracking.lock"):  # two processes would write the same run twice
        folder = _find(what) or _write(what)
        _set_aside(what, folder)
        if mode == "online":
            _sync(folder, [*folder.rglob("*"), *what.files])
            _mark_superseded(what.out)


def _folders(what: Tracked) -> list[Path]:
    """The folders of all W&B runs that were made here for a method, complete or not."""
    return sorted((what.out / "wandb").glob(f"offline-run-*-{what.stem}-*"))


def _id(what: Tracked) -> str:
    return f"{what.stem}-{what.content}{PICTURES if what.files else ''}"


def _find(what: Tracked) -> Path | None:
    """The folder of the run with these results, if it has been made."""
    for folder in _folders(what):
        same = folder.name.endswith(f"-{_id(what)}")
        # results that were sent with pictures need not be sent without; pictures that were not sent must not be sent
        more = folder.name.endswith(f"-{what.stem}-{what.content}{PICTURES}") and _was_sent(folder)
        if (same or more) and (folder / WRITTEN).is_file():
            return folder
    return None


def _was_sent(folder: Path) -> bool:
    return any(folder.glob("*.wandb.synced"))


def _write(what: Tracked) -> Path:
    """Write a run's files; returns their folder."""
    run = _init(
        mode="offline", dir=str(what.out), id=_id(what), name=what.name, group=what.group, job_type="method",
        tags=what.tags, config=what.config,
    )  # fmt: skip
    with run:
        run.define_metric("loss/*", step_metric="iteration")
        for step, values in enumerate(what.curves):
            run.log({"iteration": step, **values}, step=step)
        columns = list(what.rows[0])
        logged = {"rows": wandb.Table(columns=columns, data=[[row[column] for column in columns] for row in what.rows])}
        if what.samples:
            logged["samples"] = [wandb.Image(picture, caption=name) for name, picture in what.samples]
        run.log(logged)
        run.summary.update(what.summary)
        if what.files:
            artifact = wandb.Artifact(what.stem, type="method", metadata=run.config.as_dict())
            for path in what.files:
                artifact.add_file(str(path), path.relative_to(what.folder).as_posix(), policy="immutable")
            run.log_artifact(artifact)
        folder = Path(run.dir).parent
    wandb.teardown()  # a finished run may not be fully written to the disk yet
    (folder / WRITTEN).touch()
    return folder


def _set_aside(what: Tracked, current: Path) -> None:
    """Move the method's other runs to where `wandb sync` of a folder does not find them; remove incomplete ones."""
    for folder in _folders(what):
        if folder == current:
            continue
        if (folder / WRITTEN).is_file():
            (what.out / "wandb" / SUPERSEDED).mkdir(exist_ok=True)
            folder.rename(what.out / "wandb" / SUPERSEDED / folder.name)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in (what.out / "wandb" / SUPERSEDED).glob(f"offline-run-*-{_id(what)}"):
        shutil.rmtree(folder, ignore_errors=True)  # the same results once more: the run at the server counts again


def _mark_superseded(out: Path) -> None:
    """Tag at the server the runs whose files were set aside, and remove those files.

    Raises:
        NoAnswer: the server does not answer; the files are kept for the next attempt.
    """
    folders = sorted((out / "wandb" / SUPERSEDED).glob("offline-run-*"))
    try:
        for folder in folders:
            name = folder.name.split("-", 3)[3]
            try:
                run = wandb.Api().run(f"{_entity()}/{_project()}/{name}")
                run.tags = [*dict.fromkeys([*run.tags, SUPERSEDED])]
                run.update()
            except wandb.errors.RunNotFoundError:  # it was never sent
                pass
            shutil.rmtree(folder, ignore_errors=True)
    except (wandb.Error, ValueError) as error:
        raise NoAnswer(f"earlier runs could not be tagged {SUPERSEDED!r}: {error}") from None


class NoAnswer(FacecloakError):
    """The server did not take a run."""


def _sync(folder: Path, files: list[Path]) -> None:
    """Send a run, which has these files, unless it was sent already.

    Raises:
        NoAnswer: not everything was sent.
    """
    if _was_sent(folder):
        return
    again = f"`wandb sync {folder}` tries again"
    wait = _wait() + sum(path.stat().st_size for path in files) / RATE
    try:
        sent = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", str(folder)], capture_output=True, text=True, timeout=wait
        )
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"not sent within {wait:.0f} seconds; {again}") from None
    if sent.returncode:
        raise NoAnswer(f"{(sent.stderr.strip() or 'no reason given').splitlines()[-1]}; {again}")


def _entity() -> str:
    """The user or team that runs are sent to."""
    api = wandb.Api()
    return api.settings["entity"] or api.default_entity


@contextmanager
def trial_run(config: dict[str, Any]) -> Iterator[wandb.Run]:
    """The run of a trial that W&B's agent started: logged values reach the server at once.

    Args:
        config: in addition to the parameters, which W&B knows.
    """
    _check_environment()
    about = {"job_type": "trial", "group": config["suite"], "config": config}
    try:
        run = _init(**about)
    except Exception as error:
        print(f"Weights & Biases does not answer ({error}); the trial runs anyway.", file=sys.stderr)
        run = _init(mode="disabled", **about)
    with run:
        yield run


def register_sweep(content: dict[str, Any]) -> str:
    """Make a sweep at W&B from the content of a sweep file; returns its path, ENTITY/PROJECT/ID.

    Raises:
        FacecloakError: nobody is logged in, or the server refuses.
    """
    try:
        _logged_in()
        entity, project = content.get("entity"), content.get("project") or _project()
        name = wandb.sweep(content, entity=entity, project=project)
        return f"{entity or _entity()}/{project}/{name}"
    except (wandb.Error, ValueError) as error:
        raise FacecloakError(f"Weights & Biases did not accept the sweep: {error}") from None


def sweep_runs(path: str) -> list[dict[str, Any]]:
    """``name``, ``state``, ``config`` and ``summary`` of each run of a sweep, in the order in which they were made.

    Raises:
        FacecloakError: nobody is logged in, or the server does not answer.
    """
    try:
        _logged_in()
        runs = wandb.Api().sweep(path).runs
        found = [(run.created_at, run.name, run) for run in runs]
        return [
            {"name": run.id, "state": run.state, "config": dict(run.config), "summary": dict(run.summary)}
            for _, _, run in sorted(found, key=lambda each: each[:2])
        ]
    except (wandb.Error, ValueError) as error:
        raise FacecloakError(f"Weights & Biases did not return the trials of {path}: {error}") from None


def _logged_in() -> None:
    _check_environment()
    if not wandb.login(prompt=False, verify=False):
        raise FacecloakError("Nobody is logged in to Weights & Biases: run `wandb login`, or leave out --backend.")


def send_methods(
    methods: Iterable[tuple[Method, list[Path]]], mode: Mode, images: bool, say: Callable[[str, bool], None]
) -> int:
    """Send methods one after the other; returns how many could not be sent.

    Args:
        methods: each with the folders of its judgements.
        images: include pictures and files, which show faces.
        say: called with a line for each method, and whether it reports an error.
    """
    failed = 0
    for method, judgements in methods:
        title = f"{method.method} ({method.suite}, {method.objective}, settings {method.settings_hash[:6]})"
        try:
            send(tracked_method(method.run, judgements, images), mode)
            say(f"{mode}: {title}", False)
        except Exception as error:  # the next one may succeed
            failed += 1
            if isinstance(error, NoAnswer):
                mode = "offline"  # otherwise each of the remaining methods would wait as long
            say(f"error: {title}: {' '.join(str(error).split())[:300]}", True)
    return failed


def send_runs(runs: Iterable[Path], mode: Mode | None, images: bool, say: Callable[[str, bool], None]) -> int:
    """Send the results of finished runs that W&B does not have yet; returns how many methods could not be sent.

    Args:
        runs: the ``--out`` of benchmarks, or folders of such folders.
        mode: None means the mode that `default_mode` finds.
        images, say: see `send_methods`.

    Raises:
        FacecloakError: no such folder, or nothing has been judged in it.
    """
    _check_environment()
    methods = find_methods(runs)
    if not methods:
        raise FacecloakError(f"{', '.join(map(str, runs))}: nothing has been judged there yet.")
    return send_methods(methods.items(), mode or default_mode(), images, say)


def judged_methods(lines: Iterable[str]) -> Iterator[tuple[Method, list[Path]]]:
    """Methods when they are finished, with all their judgements.

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


def _with_judgements(methods: Iterable[Method]) -> Iterator[tuple[Method, list[Path]]]:
    for run in dict.fromkeys(method.run for method in methods):
        found = find_methods([run])
        yield from ((method, found[method]) for method in methods if method in found)


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
        _check_environment()
        mode = options.wandb or default_mode()
        return min(1, send_methods(judged_methods(_input()), mode, options.wandb_images, say))

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
