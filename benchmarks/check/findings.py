"""`facecloak leaderboard --check`: whether the files of results are complete, in the right form and consistent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.check.albums import album_problems
from benchmarks.check.between import Photos, describe_photos, differing, doubled, far_problems, photo_problems
from benchmarks.check.images import Pictures, picture_problems, read_pictures, unknown_files
from benchmarks.check.provenance import description_problems, judgement_problems
from benchmarks.check.records import record_problems
from benchmarks.check.rows import form_problems, rows_problems
from benchmarks.results.forms import protection_problems
from benchmarks.results.records import check_records
from benchmarks.results.schema import Problem
from benchmarks.results.store import Judgement, find_protections, judgements_of, read_judgement, run_of
from benchmarks.results.submission import read_submission
from facecloak.errors import FacecloakError
from facecloak.io import read_json

UNREADABLE = (FacecloakError, OSError, RecursionError)


class Finding(NamedTuple):
    """A problem that was found.

    Attributes:
        folder: folder of the judgement or of the protection.
        far: FAR of the row; None if the problem is not in a single row.
        text: what is wrong.
    """

    folder: Path
    far: float | None
    text: str

    def __str__(self) -> str:
        where = "" if self.far is None else f", FAR {self.far:g}"
        text = f"{self.folder}{where}: {self.text}"
        # other people's files may contain characters that move a terminal's cursor, or that cannot be printed
        return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


@dataclass
class Checked:
    """What has been checked so far.

    Attributes:
        protections, judgements: number of each.
        sound: judgements whose rows have the right form.
        photos: judgement's folder → content of its records about unprotected photos, if they have the right form.
    """

    protections: int = 0
    judgements: int = 0
    sound: list[Judgement] = field(default_factory=list)
    photos: dict[Path, Photos] = field(default_factory=dict)


def findings(
    runs: Sequence[Path],
    checked: Checked | None = None,
    show: Callable[[Iterable[Path]], Iterable[Path]] = iter,
) -> Iterator[Finding]:
    """Problems in each protection and its judgements, then between judgements.

    Args:
        runs: folders of runs, or folders of such folders.
        checked: is filled with what has been checked.
        show: wraps the protections while they are checked, to show the progress.

    Raises:
        FacecloakError: as in `find_protections`.
    """
    checked = Checked() if checked is None else checked
    for protection in show(find_protections(runs)):
        checked.protections += 1
        try:
            yield from _protection_findings(protection, checked)
        except UNREADABLE as error:  # the others are still checked
            yield Finding(protection, None, f"cannot be checked: {error}")
    yield from _submission_findings(checked.sound)
    for rule in (doubled, differing, far_problems):
        yield from (Finding(*each) for each in rule(checked.sound))
    yield from (Finding(*each) for each in photo_problems(checked.sound, checked.photos))


def _submission_findings(judgements: Iterable[Judgement]) -> Iterator[Finding]:
    """What is wrong with the ``submission.json`` of the runs that have one."""
    methods: dict[Path, set[str]] = {}
    for judgement in judgements:
        methods.setdefault(run_of(judgement.folder), set()).add(judgement.protection["method"])
    for run, names in sorted(methods.items()):
        try:
            submission = read_submission(run)
        except FacecloakError as error:
            yield Finding(run, None, str(error).removeprefix(f"{run}/"))
            continue
        if submission and names != {submission.method}:
            held = ", ".join(sorted(names))
            yield Finding(run, None, f"submission.json: method is {submission.method!r}, the run holds {held}")


def _protection_findings(protection: Path, checked: Checked) -> Iterator[Finding]:
    about = read_json(protection / "protection.json")
    judgements = judgements_of(protection)
    problems = [f"protection.json: {problem}" for problem in protection_problems(about)]
    if not problems and not judgements:
        problems = ["not complete: no recognizer has judged its pictures"]
    if problems:  # all other rules rely on that form
        yield from (Finding(protection, None, problem) for problem in problems)
        return
    pictures, problems = read_pictures(protection, about["surrogates"])
    problems += [*description_problems(protection, about), *album_problems(about, pictures)]
    yield from (Finding(protection, None, problem) for problem in problems)
    for problem in picture_problems(protection, pictures, about["suite"], about["image_size"]):
        yield Finding(protection, None, problem)
    for problem in unknown_files(protection, judgements):
        yield Finding(protection, None, problem)
    for folder in judgements:
        checked.judgements += 1
        try:
            for problem in _judgement_problems(folder, pictures, checked):
                yield Finding(folder, *problem)
        except UNREADABLE as error:
            yield Finding(folder, None, f"cannot be checked: {error}")


def _judgement_problems(folder: Path, pictures: Pictures, checked: Checked) -> Iterator[Problem]:
    judgement = read_judgement(folder)
    if judgement is None:
        yield None, "not complete: there is no judgement.json"
        return
    problems = [*form_problems(judgement.rows)]
    yield from problems
    if problems:  # all other rules rely on that form
        return
    checked.sound.append(judgement)
    yield from rows_problems(judgement.rows)
    yield from judgement_problems(judgement)
    records, problems = check_records(folder)
    yield from problems
    if not problems:
        checked.photos[folder] = describe_photos(records)
        yield from record_problems(judgement, records, pictures)
