"""Seeded mutations of files that users write or bring; each must give a value or a FacecloakError."""

from __future__ import annotations

import copy
import datetime
import math
import random
import re
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import yaml

from facecloak.errors import FacecloakError

# text that no dumper writes, put into a file as it is
RAW = (
    "1e400",
    "1e-4",
    "2026-13-45",
    "&a [*a]",
    "&b {<<: *b}",
    "{[a]: b}",
    "{1: b}",
    "!!int x",
    '"\\ud800"',
    "9" * 5000,
)
ODD = (
    None, True, False, -1, 0, 1, 2.5, 10**30, math.nan, math.inf, -math.inf, "", " ", "a/b", "..", "1", "1e5", "\x07",
    "~nobody/x", "${x", "x" * 5000, "ü" * 60, [], {}, [[1]], [None], [0, 0, 0, 0], {"a": {}}, {"": 1},
    datetime.date(2026, 11, 26), *(f"@raw{index}@" for index in range(len(RAW))),
)  # fmt: skip


def mutate_value(value: Any, source: random.Random) -> Any:
    """A copy of nested lists and mappings with one to three of its nodes changed."""
    value = copy.deepcopy(value)
    for _ in range(source.randint(1, 3)):
        container, key = source.choice(list(_places(value)) or [(None, None)])
        if container is None:
            break
        change = source.choice(("replace", "replace", "replace", "delete", "twice", "rename"))
        if change == "delete":
            del container[key]
        elif change == "twice" and isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        elif change == "rename" and isinstance(container, dict):
            container[source.choice(("", "a/b", "..", 1, None, 2.5, math.nan, f"{key}s"))] = container.pop(key)
        else:
            container[key] = copy.deepcopy(source.choice(ODD))
    return value


def _places(value: Any) -> Iterable[tuple[Any, Any]]:
    """Every (container, key) in nested lists and mappings."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def mutate_yaml(content: bytes, source: random.Random) -> bytes:
    """A YAML file with some of its values, or some of its bytes, changed."""
    if source.random() < 0.25:
        return mutate_bytes(content, source)
    text = yaml.safe_dump(mutate_value(yaml.safe_load(content), source), sort_keys=False, allow_unicode=True)
    return re.sub(r"'?@raw(\d+)@'?", lambda found: RAW[int(found[1])], text).encode()


def mutate_bytes(content: bytes, source: random.Random) -> bytes:
    """The bytes with some of them changed, removed, inserted or repeated, or with everything after a place cut off."""
    changed = bytearray(content)
    for _ in range(source.randint(1, 4)):
        start, length = source.randrange(len(changed) + 1), source.randint(1, 12)
        change = source.choice(("flip", "flip", "remove", "insert", "repeat", "cut"))
        if change == "flip" and start < len(changed):
            changed[start] = source.randrange(256)
        elif change == "remove":
            del changed[start : start + length]
        elif change == "insert":
            changed[start:start] = source.choice(
                (b"\x00", b"\xff\xfe", b"{", b"- ", b"*a", b"&a ", b": ", b"\t", b"[" * 400)
            )
        elif change == "repeat":
            changed[start:start] = changed[start : start + length]
        elif change == "cut" and source.random() < 0.3:
            del changed[start:]
    return bytes(changed)


def tracebacks(
    files: Iterable[bytes], mutate: Callable[[bytes, random.Random], bytes], use: Callable[[bytes], object],
    count: int, seed: int = 0,
) -> list[str]:  # fmt: skip
    """Everything that ``use`` raises for ``count`` mutated files except one-line FacecloakErrors; one text for each."""
    files, found = list(files), []
    for number in range(count):
        content = mutate(files[number % len(files)], random.Random(f"{seed} {number}"))
        try:
            use(content)
        except FacecloakError as error:
            if "\n" in str(error):
                found.append(f"number {number}: more than one line: {error}")
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            found.append(f"number {number}: {type(error).__name__}: {error} ({place.filename}:{place.lineno})"[:400])
    return found
