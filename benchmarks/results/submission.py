"""``submission.json``: what the people who submit a run say about it, beside what its files prove."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from facecloak.errors import FacecloakError
from facecloak.io import read_json

FILE = "submission.json"
LONGEST = 500  # characters of a text


@dataclass(frozen=True)
class Submission:
    """What a submitted run says about itself.

    Attributes:
        method: the method's name in the rows; the run holds only rows of it.
        authors: who made the method, as a paper lists them.
        paper: its title, year and address, or "none".
        code: https address of the method's code.
        commit: of that code, as git names it (7 to 40 hexadecimal digits).
        tuned_on: on which photos the settings were found, in a sentence.
        saw_suite: whether the method or its settings saw a photo of the suite before the run.
    """

    method: str
    authors: str
    paper: str
    code: str
    commit: str
    tuned_on: str
    saw_suite: bool


def read_submission(run: Path) -> Submission | None:
    """The submission of a run; None if it is not a submitted one.

    Raises:
        FacecloakError: the file cannot be read, or what is in it is not of the right form: all that is wrong.
    """
    file = run / FILE
    if not file.exists():
        return None
    content = read_json(file)
    if problems := [*form_problems(content)]:
        raise FacecloakError(f"{file}: {'; '.join(problems)}.")
    return Submission(**content)


def form_problems(content: object) -> Iterator[str]:
    """What is wrong with the content of a ``submission.json``."""
    if not isinstance(content, Mapping):
        yield "must be a mapping"
        return
    wanted = [field.name for field in fields(Submission)]
    for name in [name for name in wanted if name not in content]:
        yield f"{name} is missing"
    for name in [name for name in content if name not in wanted]:
        yield f"{name!r:.80} is not known (known: {', '.join(wanted)})"
    for name in wanted:
        if name not in content:
            continue
        value = content[name]
        if name == "saw_suite":
            if not isinstance(value, bool):
                yield f"saw_suite must be true or false, got {value!r:.80}"
        elif not isinstance(value, str) or not value.strip():
            yield f"{name} must be a text, got {value!r:.80}"
        elif len(value) > LONGEST or not value.isprintable():
            yield f"{name} must be one line of {LONGEST} characters at most"
        elif name == "code" and not re.fullmatch(r"https://\S+", value):
            yield f"code must be an https address, got {value!r:.80}"
        elif name == "commit" and not re.fullmatch(r"[0-9a-f]{7,40}", value):
            yield f"commit must be 7 to 40 hexadecimal digits, got {value!r:.80}"
