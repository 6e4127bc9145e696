"""Sends the methods of one run's folder: writes their runs of W&B, sends them together, and sees that they arrived.

A run of W&B is first written to files and then sent as a whole (`wandb sync`), so that no curve is ever sent twice. Its
id depends on its content: the same results have the same id and are sent once. W&B's client says that it has sent a run
whatever the server answered; so the server is asked what it has, before and after. A run of which it has only a part
would be doubled if it were sent again, and is replaced by one with another id. When a method has more results, they are
sent as a new run of the same name; the files of the earlier run are moved to ``wandb/superseded``. Once the server has
the new run, the earlier one gets the tag ``superseded`` there and its files are removed. All this can be killed at any
moment; the next `send` then completes it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from benchmarks.tracking import folders, server
from benchmarks.tracking.client import NoAnswer, longest_wait, one_line
from benchmarks.tracking.content import Tracked
from benchmarks.tracking.tracker import Mode
from facecloak.errors import FacecloakError

RATE = 1e5  # lowest expected speed of sending, bytes per second
PARALLEL = 16  # runs that the client sends at a time
GONE = "previously created and deleted"  # what W&B says about the id of a run that was deleted


class NotSent(FacecloakError):
    """The server did not take all of a run."""


class Plan(NamedTuple):
    """What is to be done about a method.

    Attributes:
        what: the data.
        name: id of its run.
        is_there: the server has all of it already.
        halves: ids of runs of the same results of which the server has only a part.
        tags: of the run at the server.
    """

    what: Tracked
    name: str
    is_there: bool = False
    halves: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def send(batch: list[Tracked], mode: Mode) -> dict[str, FacecloakError]:
    """Make one run of W&B for each method of one run's folder; the same results are one run, and are sent once.

    Returns:
        stem → why the server does not have all of it, for each method that was not sent; `NoAnswer` if it is silent.
    """
    out = batch[0].out
    (out / "locks").mkdir(exist_ok=True)
    with FileLock(out / "locks" / "tracking.lock"):  # two processes would write the same run twice
        sent = {what.stem: folder for what in batch if (folder := folders.find_sent(what))}
        for what in batch:
            if what.stem in sent:
                folders.set_aside(what, sent[what.stem])
        pending = [what for what in batch if what.stem not in sent]
        if mode == "offline":
            return _write([Plan(what, folders.run_id(what)) for what in pending])[1]
        errors = _send(pending) if pending else {}
        for what in batch:
            if what.stem not in errors:
                with _kept(errors, what):
                    _tag(what)
        return errors


def _send(pending: list[Tracked]) -> dict[str, FacecloakError]:
    """Write and send what the server does not have; returns why it does not have all of some."""
    errors: dict[str, FacecloakError] = {}
    try:
        there = server.find_runs(name for what in pending for name in folders.ids(what))
    except NoAnswer as error:
        _write([Plan(what, folders.run_id(what)) for what in pending])
        return {what.stem: error for what in pending}
    plans = []
    for what in pending:
        with _kept(errors, what):
            plans.append(_plan(what, there))
    made, failed = _write(plans)
    errors |= failed
    plans = [plan for plan in plans if plan.what.stem in made]
    for plan in plans:
        if plan.is_there:
            with _kept(errors, plan.what):
                if folders.SUPERSEDED in plan.tags:
                    server.untag(plan.name)
                (made[plan.what.stem] / folders.SENT).touch()
    left = [plan for plan in plans if not plan.is_there]
    if left:
        complaints = sync(left[0].what, [made[plan.what.stem] for plan in left])
        errors |= _prove(left, made, complaints)
    return errors


@contextmanager
def _kept(errors: dict[str, FacecloakError], what: Tracked) -> Iterator[None]:
    """Keep the error of one method, so that the others go on."""
    try:
        yield
    except FacecloakError as error:
        errors[what.stem] = error
    except Exception as error:  # of the client
        errors[what.stem] = NotSent(one_line(error))


def _plan(what: Tracked, there: dict[str, server.Found]) -> Plan:
    """Under which id a method is to be sent.

    Raises:
        FacecloakError: it was deleted at the server, or too many attempts ended in the middle.
    """
    own = {folders.id_of(folder): folder for folder in folders.folders(what)}
    known = tuple(name for name in folders.ids(what) if name in there)
    for name in known:
        media = server.media_of(own[name]) if name in own else []
        if not server.missing(there[name], folders.lines(what), folders.artifacts(what), media):
            others = tuple(other for other in known if other != name)
            return Plan(what, name, True, others, tuple(there[name].tags))
    for name in folders.ids(what):
        if name in own and (own[name] / folders.DELETED).exists() and name not in there:
            raise _gone(name)
    free = next((name for name in folders.ids(what) if name not in known), None)
    if free is None:
        raise NotSent(f"{len(known)} attempts ended in the middle; delete their runs at W&B: {', '.join(known)}")
    return Plan(what, free, halves=known)


def _gone(name: str) -> NotSent:
    return NotSent(f"somebody has deleted run {name} at W&B, which takes it again only when it is undeleted there")


def _write(plans: list[Plan]) -> tuple[dict[str, Path], dict[str, FacecloakError]]:
    """The folders of the methods' runs by stem, which are written unless they have been, and errors by stem."""
    made: dict[str, Path] = {}
    new: list[tuple[Tracked, Path]] = []
    errors: dict[str, FacecloakError] = {}
    for plan in plans:
        what = plan.what
        same = [each for each in folders.folders(what) if folders.id_of(each) == plan.name]
        found = folders.find_written(what)
        if plan.is_there:
            found = next((each for each in same if (each / folders.WRITTEN).is_file()), None)
        if found is None or folders.id_of(found) != plan.name:
            for each in same:
                shutil.rmtree(each)
            found = None
            with _kept(errors, what):
                found = folders.write(what, plan.name)
                new.append((what, found))
        if found:
            made[what.stem] = found
    if new:
        folders.finish(new)
    for plan in plans:
        if plan.what.stem in made:
            folders.set_aside(plan.what, made[plan.what.stem])
            for half in plan.halves:
                folders.supersede(plan.what, half)
    return made, errors


def sync(first: Tracked, made: list[Path]) -> str:
    """Let W&B's client send runs; returns the errors that it saw, as text.

    Its success says only that it has ended.
    """
    out = first.out.resolve()
    size = sum(path.stat().st_size for folder in made for path in folder.rglob("*") if path.is_file())
    size += sum(path.stat().st_size for path in first.files)
    for folder in made:
        (folder / folders.TRIED).touch()
    wait = longest_wait() * (1 + len(made) // PARALLEL) + size / RATE
    logs = out / "wandb" / "logs"
    before = {*logs.glob("debug-sync*.log")}
    names = [str(folder.resolve().relative_to(out)) for folder in made]
    process = subprocess.Popen(
        [sys.executable, "-m", "wandb", "sync", "-n", str(PARALLEL), *names], cwd=out, text=True,
        env={**os.environ, "WANDB_DIR": str(out)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        _, said = process.communicate(timeout=wait)
    except subprocess.TimeoutExpired:
        said = f"ERROR not sent within {wait:.0f} seconds"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # W&B's background process too
            process.wait()
    new = [log.read_text(errors="replace") for log in sorted({*logs.glob("debug-sync*.log")} - before)]
    return "\n".join([*filter(_is_error, said.splitlines()), *(line for log in new for line in _errors(log))])


def _is_error(line: str) -> bool:
    return "ERROR" in line or "Error" in line


def _errors(log: str) -> list[str]:
    """The messages of the errors in a log of W&B's client; some of these requests succeeded when they were repeated."""
    return [line for line in log.splitlines() if '"level":"ERROR"' in line]


def _prove(plans: list[Plan], made: dict[str, Path], complaints: str) -> dict[str, FacecloakError]:
    """Mark the runs of which the server has everything; returns what it does not have of the others.

    Args:
        complaints: errors that the client saw. The names of files are asked for only if there are any.
    """
    lacking: dict[str, FacecloakError] = {}
    for pause in (0, *(() if complaints else server.LATE)):
        time.sleep(pause)
        left = [plan for plan in plans if pause == 0 or plan.what.stem in lacking]
        try:
            there = server.find_runs(plan.name for plan in left)
        except NoAnswer as error:
            return {plan.what.stem: error for plan in left}
        for plan in left:
            lacking.pop(plan.what.stem, None)
            with _kept(lacking, plan.what):
                _see(plan, there, made[plan.what.stem], complaints)
        if not lacking:
            break
    return lacking


def _see(plan: Plan, there: dict[str, server.Found], folder: Path, complaints: str) -> None:
    """Mark a run as sent.

    Raises:
        FacecloakError: the server does not have all of it.
    """
    media = server.media_of(folder) if complaints else []
    what = server.missing(there.get(plan.name), folders.lines(plan.what), folders.artifacts(plan.what), media)
    if not what:
        (folder / folders.SENT).touch()
        return
    own = [line for line in complaints.splitlines() if plan.name in line]
    if any(GONE in line for line in own) and plan.name not in there:
        (folder / folders.DELETED).touch()
        raise _gone(plan.name)
    for mark in folder.glob("*.synced"):
        mark.unlink()  # W&B's client would never send it again
    reason = _reason(own or complaints.splitlines())
    raise (NoAnswer if "not sent within" in complaints else NotSent)(f"{what}{reason}")


def _reason(complaints: list[str]) -> str:
    """What the client said first, in parentheses."""
    if not complaints:
        return ""
    said = complaints[0].partition("ERROR ")[2] or complaints[0]
    if complaints[0].startswith("{"):
        fields = json.loads(complaints[0])
        said = " ".join(str(fields[name]) for name in ("msg", "status", "error") if fields.get(name))
    return f" ({one_line(said)[:150]})"


def _tag(what: Tracked) -> None:
    """Tag at the server the runs that the method's run has replaced, and remove their files.

    Raises:
        NoAnswer: the server does not answer; the files are kept for the next attempt.
    """
    for folder in folders.superseded(what):
        server.tag_superseded(folders.id_of(folder))
        shutil.rmtree(folder, ignore_errors=True)
