"""The command line of a trial: written as a sweep file's ``command`` says, and read back."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facecloak.cli.arguments import positive
from facecloak.errors import FacecloakError
from facecloak.io import read_json

MODULE = "benchmarks.sweep.trial"
FLOOR = 24.0  # dB
ENV, PYTHONS, MODULES = "${env}", ("${interpreter}", "python", "python3"), (MODULE, "${program}")
ARGS, NO_BOOLEAN_FLAGS, JSON_FILE = "${args}", "${args_no_boolean_flags}", "${args_json_file}"
PREFIXES = {"${args_no_hyphens}": "", "${args_append_hydra}": "+", "${args_override_hydra}": "++"}
# every form in which W&B's agents type the parameters
MACROS = (ARGS, "${args_no_equals}", NO_BOOLEAN_FLAGS, "${args_json}", JSON_FILE, *PREFIXES)
VARIABLE = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
PAIR = re.compile(r"\+{0,2}([A-Za-z_][\w.-]*=.*)", re.DOTALL)  # a parameter that is typed without hyphens


def read_command(path: Path, command: Any, program: str) -> list[str]:
    """The arguments of a trial in a sweep file, with one of `MACROS` in the place of the parameters.

    Args:
        path: of the file, for messages.
        program: the file's ``program``.

    Raises:
        FacecloakError: it is not a command of this project's trials, or a variable of the environment is not set.
    """
    rule = f"{path}: command must begin with {ENV}, {PYTHONS[0]}, -m, {MODULE}, and have one {ARGS}."
    if not isinstance(command, list):
        raise FacecloakError(rule)
    for place, part in enumerate(command):
        if isinstance(part, bool) or not isinstance(part, (str, int, float)):
            raise FacecloakError(f"{path}: command[{place}] must be text, got {part!r}.")
    typed = [str(part) for part in command]
    head = typed[1:4] if typed[:1] == [ENV] else typed[:3]
    if len(head) < 3 or head[0] not in PYTHONS or head[1] != "-m" or head[2] not in MODULES:
        raise FacecloakError(rule)
    if head[2] != MODULE and program != MODULE:
        raise FacecloakError(f"{path}: program must be {MODULE}, which is ${{program}} in command; got {program!r}.")
    rest = [VARIABLE.sub(lambda found: _variable(path, found), part) for part in typed[len(head) + (typed[0] == ENV) :]]
    for part in rest:
        if "${" in part and part not in MACROS:
            raise FacecloakError(f"{path}: command: {part} is not supported here; of W&B's macros, {', '.join(MACROS)} "
                                 "and ${envvar:NAME} are.")  # fmt: skip
    if sum(part in MACROS for part in rest) != 1:
        raise FacecloakError(rule)
    return rest


def _variable(path: Path, found: re.Match[str]) -> str:
    if found[1] not in os.environ:
        raise FacecloakError(f"{path}: command has {found[0]}, but ${found[1]} is not set.")
    return os.environ[found[1]]


def words(macro: str, values: dict[str, Any], nested: frozenset[str], json_file: Path) -> list[str]:
    """What a macro stands for.

    Args:
        values: by the parameters' names.
        nested: names of parameters that are nested in the file; W&B's agents do not take them for flags.
        json_file: the file that `JSON_FILE` stands for.
    """
    if macro in PREFIXES:
        return [f"{PREFIXES[macro]}{name}={value}" for name, value in values.items()]
    if macro == "${args_no_equals}":
        return [word for name, value in values.items() for word in (f"--{name}", str(value))]
    if macro == "${args_json}":
        return [json.dumps(values)]
    if macro == JSON_FILE:
        return [str(json_file)]
    flags = {name for name, value in values.items() if isinstance(value, bool) and name not in nested}
    if macro == ARGS or not flags:
        return [f"--{name}={value}" for name, value in values.items()]
    return [f"--{name}" if name in flags else f"--{name}={value}" for name, value in values.items()
            if name not in flags or value]  # fmt: skip


def plain_words(arguments: list[str]) -> list[str]:
    """The arguments of a trial with each parameter typed as ``--name=value``, whichever macro has typed it.

    Raises:
        FacecloakError: JSON is damaged, or a file of it is missing.
    """
    return [*_plain(arguments)]


def _plain(arguments: list[str]) -> Iterator[str]:
    left = [*arguments]
    while left:
        word = left.pop(0)
        if word.startswith("--") and "=" not in word:
            if left and not left[0].startswith("--"):
                yield f"{word}={left.pop(0)}"
            else:  # a flag of W&B's is a setting, whose name has a dot
                yield f"{word}=True" if "." in word else word
        elif word.startswith("{"):
            yield from _of_json(word, _parsed(word))
        elif word.endswith(".json"):
            yield from _of_json(word, read_json(Path(word)))
        else:
            pair = PAIR.fullmatch(word)
            yield f"--{pair[1]}" if pair and not Path(word).is_file() else word


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _of_json(word: str, values: Any) -> list[str]:
    if not isinstance(values, dict):
        raise FacecloakError(f"{word}: expected JSON with a value for each parameter.")
    return [f"--{name}={value}" for name, value in values.items()]


class _Parser(argparse.ArgumentParser):
    """Reports errors as the rest of facecloak does; a sweep must not mistake them for the end of a trial."""

    def error(self, message: str) -> None:
        """Called for arguments that cannot be parsed."""
        raise FacecloakError(message)


def read_arguments(arguments: list[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """The options of a trial, and ``method.field`` → value of its settings, as typed by any of W&B's macros.

    Raises:
        FacecloakError: an argument is unknown.
    """
    parser = _Parser(prog=f"python -m {MODULE}", description="One trial of a sweep: a small benchmark and its score.")
    parser.add_argument("suite", help="name or path of a YAML file")
    for name in ("methods", "targets", "black-box"):
        parser.add_argument(f"--{name}", type=lambda text: text.split(","), help="comma-separated")
    parser.add_argument("--objective", choices=("impersonation", "obfuscation"), help="default: the suite's")
    parser.add_argument("--limit", type=positive, help="photos of each group")
    parser.add_argument("--floor", type=float, default=FLOOR, help=f"lowest PSNR in dB without penalty ({FLOOR})")
    parser.add_argument("--out", type=Path, default=Path("runs/trials"), help="folder (default: runs/trials)")
    parser.add_argument("--devices", type=positive, default=1, help="processes or GPUs (default: 1)")
    parser.add_argument("--accelerator", choices=("auto", "cpu", "gpu"), default="auto")
    options, rest = parser.parse_known_args(plain_words(arguments))
    return options, _settings(rest)


def _settings(typed: list[str]) -> dict[str, str]:
    """``method.field`` → value, from arguments typed as ``--method.field=value``; the last one wins.

    W&B's agents type nested parameters as ``--method={'field': value}``.

    Raises:
        FacecloakError: an argument has neither form.
    """
    found: dict[str, str] = {}
    for text in typed:
        name, sign, value = text.removeprefix("--").partition("=")
        nested = _flat(name, _literal(value))
        if not text.startswith("--") or not sign or not all("." in each for each in nested or {name}):
            raise FacecloakError(f"unknown argument {text!r}; settings are given as --method.field=value")
        found |= nested or {name: value}
    return found


def _literal(text: str) -> Any:
    """The mapping that a Python text describes; None if it is not a mapping."""
    try:
        return ast.literal_eval(text) if text.startswith("{") else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _flat(name: str, value: Any) -> dict[str, str]:
    """Dotted names → values as typed; empty if the value is not a mapping."""
    if not isinstance(value, dict):
        return {}
    found: dict[str, str] = {}
    for key, inner in value.items():
        found |= _flat(f"{name}.{key}", inner) or {f"{name}.{key}": str(inner)}
    return found
