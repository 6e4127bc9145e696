"""Typed settings from YAML and the command line, and their hash."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from facecloak.errors import FacecloakError
from facecloak.io import sha256_json
from facecloak.registry import unknown_name

Settings = TypeVar("Settings")

ADAPTED = "+adapted"  # the end of the name of a recognizer that has learned from cloaked photos
LARGEST = 2**63 - 1  # whole numbers with more bits come back from JSON as floats
LARGEST_FILE, MOST_VALUES, DEEPEST = 2**20, 100_000, 40  # of a YAML file: bytes, values, levels


def parse_settings(
    cls: type[Settings], values: Mapping[str, Any], arguments: Sequence[str] = (), name: str = ""
) -> Settings:
    """Build a settings dataclass, every value checked against its type.

    Fields may be dataclasses themselves, or lists of them. Numbers must be finite and have at most 64 bits, so that
    JSON can hold them; a ``seed`` must be one that every random generator takes as it is.

    Args:
        cls: a frozen dataclass.
        values: typed values (a preset, a YAML file).
        arguments: what the user typed, as ``field=value``; these win.
        name: what the settings are of, for error messages.

    Raises:
        FacecloakError: an unknown field (with a suggestion), a missing one, or a value that cannot be, with its place.
    """
    name = name or cls.__name__
    _check_numbers(values, name)
    settings = _parse(cls, values, arguments, name, "")
    _check_numbers(settings, name)
    return settings


def _check_numbers(settings: Any, name: str) -> None:
    for place, number in _numbers(settings):
        if isinstance(number, int) and not -LARGEST - 1 <= number <= LARGEST:
            raise FacecloakError(f"{name}: {place} is too large a number: whole numbers have at most 64 bits.")
        if not math.isfinite(number):
            raise FacecloakError(f"{name}: {place} must be a finite number, got {number}.")
        if place == "seed" and not 0 <= number <= LARGEST:  # torch lets negative ones wrap
            raise FacecloakError(f"{name}: seed must be between 0 and 2^63 - 1, got {number}.")


def _parse(cls: type[Settings], values: Mapping, arguments: Sequence[str], name: str, place: str) -> Settings:
    """`parse_settings` of what is at ``place`` ("", or such as ``targets.pairs[0].``) in the whole."""
    types = get_type_hints(cls)
    _check_fields(cls, types, values, arguments, name, place)
    nested = {field for field, kind in types.items() if _inner(kind)}
    parser = _parser(cls, frozenset(nested))
    try:
        flat = {field: value for field, value in values.items() if field not in nested}
        typed = parser.parse_object({"settings": flat})
        if arguments:
            typed = parser.parse_args([f"--settings.{argument}" for argument in arguments], namespace=typed)
    except (ArgumentError, TypeError, ValueError) as error:
        raise FacecloakError(f"{name}: {_reason(error, types, place)}") from None
    except OverflowError:  # a whole number for a float; those in values have been checked
        raise FacecloakError(f"{name}: a number is too large in {_clip(' '.join(arguments))}.") from None
    built = {
        field: _parse_nested(types[field], values[field], name, f"{place}{field}") for field in nested & values.keys()
    }
    return cls(**typed.get("settings", Namespace()).as_dict(), **built)


@cache  # building one takes as long as parsing with it, and a suite's pairs share theirs
def _parser(cls: type, nested: frozenset[str]) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "settings", skip=set(nested))
    return parser


def _check_fields(
    cls: type, types: Mapping[str, Any], values: Mapping, arguments: Sequence[str], name: str, place: str
) -> None:
    fields = [field.name for field in dataclasses.fields(cls)]
    given = [*values, *(argument.split("=", 1)[0] for argument in arguments)]
    for field in given:
        if field not in fields:
            raise unknown_name(f"setting of {name}", f"{place}{field}", [f"{place}{known}" for known in fields])
    for field, value in values.items():
        if value is None and type(None) not in get_args(types[field]):  # the parser lets null pass for any type
            raise FacecloakError(f"{name}: {place}{field} needs a value, got null.")
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in given:
            raise FacecloakError(f"{name}: {place}{field.name} is missing.")


def _inner(kind: Any) -> type | None:
    """The dataclass of a field's type, where that is a dataclass, one or None, or a list of them."""
    items = get_args(kind) if get_origin(kind) in (list, UnionType) else (kind,)
    return next((item for item in items if dataclasses.is_dataclass(item)), None)


def _parse_nested(kind: Any, value: Any, name: str, place: str) -> Any:
    is_list = get_origin(kind) is list
    if value is None and NoneType in get_args(kind):
        return None
    if not isinstance(value, list if is_list else Mapping):
        expected = "a list" if is_list else "a mapping of names to values"
        raise FacecloakError(f'{name}: "{place}": Expected {expected}. Got value: {_short(value)}')
    if is_list:
        return [_parse_nested(_inner(kind), item, name, f"{place}[{index}]") for index, item in enumerate(value)]
    return _parse(_inner(kind), value, (), name, f"{place}.")


def _reason(error: Exception, types: Mapping[str, Any], place: str) -> str:
    """What a parser's message says, in one line, with the place of the value."""
    reason = re.sub(r'^(Parser key ")settings\.', rf'"{place}', " ".join(str(error).split()))
    reason = re.sub(r"^argument --settings\.", f"argument --{place}", reason)
    key, _, _ = reason.removeprefix(f'"{place}').partition('"')
    if "Does not validate against any of the Union subtypes" in reason and key in types:
        value = reason.partition("Given value: ")[2]
        return _clip(f'"{place}{key}": Expected {types[key]}. Got value: {value}')
    return _clip(reason)


def _short(value: Any) -> str:
    return _clip(" ".join(str(value).split()))


def _clip(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]} …"


def _numbers(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Every number in settings, with its place."""
    if isinstance(value, int | float):
        yield place, value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _numbers(getattr(value, field.name), f"{place}.{field.name}".lstrip("."))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _numbers(inner, f"{place}[{index}]")


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a YAML mapping; its keys, and those of all mappings in it, are strings.

    Numbers are read as YAML 1.2 and Weights & Biases read them: ``1e-4`` is one.

    Raises:
        FacecloakError: the file is missing, damaged, too large, not a mapping, or a key is there twice or not text.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise FacecloakError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise FacecloakError(f"{path}: a folder, not a YAML file.") from None
    except (OSError, ValueError) as error:
        raise FacecloakError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    if len(content) > LARGEST_FILE:
        raise FacecloakError(f"{path}: larger than 1 MiB, which is too large for a file of settings.")
    try:
        value = _Loader(content).get_single_data()
    except yaml.YAMLError as error:
        raise FacecloakError(f"{path}: not valid YAML ({_problem(error)}).") from None
    except RecursionError:
        raise FacecloakError(f"{path}: not valid YAML (nested too deeply).") from None
    if not isinstance(value, dict):
        raise FacecloakError(f"{path}: expected a mapping of names to values.")
    return value


def _problem(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return _short(f"{problem}, line {mark.line + 1}, column {mark.column + 1}" if mark and problem else error)


def to_yaml(value: Any) -> str:
    """Plain values as YAML that `read_yaml` reads back as they are: the text "1e5" is not a number then."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """Refuses what others accept silently: a key that is there twice, a key that is not text, data without an end."""

    def get_single_node(self) -> yaml.Node | None:
        """Called once, before values are built: names that stand for values (``&a``, ``*a``) can multiply them."""
        root = super().get_single_node()
        waiting, count = [(root, 0)] if root else [], 0
        while waiting:
            node, depth = waiting.pop()
            count += 1
            if depth > DEEPEST or count > MOST_VALUES:
                problem = f"more than {DEEPEST} levels or {MOST_VALUES} values, or a value that contains itself"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
            if isinstance(node, yaml.MappingNode):
                waiting += [(inner, depth + 1) for pair in node.value for inner in pair]
            elif isinstance(node, yaml.SequenceNode):
                waiting += [(inner, depth + 1) for inner in node.value]
        return root

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        """Called for every mapping."""
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} is there twice", problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        mapping = super().construct_mapping(node, deep)
        for key in mapping:
            if not isinstance(key, str):
                problem = f"the key {key} is not text: put it in quotes"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return mapping

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Called for every value; PyYAML fails in many ways at a date such as 2026-13-45."""
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()  # half of a surrogate pair is text that no file can hold
            return value
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
            problem = f"this is not what its form or tag says ({node.tag.rpartition(':')[2]})"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


class _Dumper(yaml.SafeDumper):
    """Puts text in quotes that `_Loader` would read as a number."""


for kind in (_Loader, _Dumper):
    # YAML 1.1, which PyYAML reads, has no number without a dot or whose exponent has no sign
    number = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$")
    kind.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))


class Checked:
    """Settings that refuse values which make no sense; `check` is for their ``__post_init__``.

    Attributes:
        name: of the method or part that they are of, for messages.
    """

    name: ClassVar[str]

    def check(self, rule: str, holds: bool) -> None:
        """Raise `FacecloakError` with the rule if it is broken."""
        if not holds:
            raise FacecloakError(f"{self.name}: {rule}.")


def settings_hash(value: Any) -> str:
    """Hex SHA-256 of settings (a dataclass or plain mappings), independent of the order of keys."""
    return sha256_json(dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value)


def far_key(far: float) -> str:
    """How a false accept rate is written as a key: 0.1, 0.01, 0.001."""
    return f"{far:g}"
