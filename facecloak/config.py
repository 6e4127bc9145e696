"""Typed settings from YAML and the command line, and their hash."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from facecloak.errors import FacecloakError
from facecloak.io import sha256_json
from facecloak.registry import unknown_name

Settings = TypeVar("Settings")


def parse_settings(
    cls: type[Settings], values: Mapping[str, Any], arguments: Sequence[str] = (), name: str = ""
) -> Settings:
    """Build a settings dataclass, every value checked against its type.

    Args:
        cls: a frozen dataclass.
        values: typed values (a preset, a YAML file), flat.
        arguments: what the user typed, as ``field=value``; these win.
        name: what the settings are of, for error messages.

    Raises:
        FacecloakError: an unknown field (with a suggestion) or a value of the wrong type.
    """
    types = get_type_hints(cls)
    fields = [field.name for field in dataclasses.fields(cls)]
    for field in [*values, *(argument.split("=", 1)[0] for argument in arguments)]:
        if field not in fields:
            raise unknown_name(f"setting of {name or cls.__name__}", str(field), fields)
    for field, value in values.items():
        if value is None and type(None) not in get_args(types[field]):  # the parser lets null pass for any type
            raise FacecloakError(f"{name or cls.__name__}: {field} needs a value, got null.")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "settings")
    try:
        typed = parser.parse_object({"settings": dict(values)})
        merged = parser.parse_args([f"--settings.{argument}" for argument in arguments], namespace=typed)
        return parser.instantiate(merged)["settings"]
    except (ArgumentError, TypeError, ValueError) as error:
        reason = " ".join(str(error).replace("settings.", "").replace("Parser key ", "").split())
        raise FacecloakError(f"{name or cls.__name__}: {reason}") from None


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a YAML mapping; `FacecloakError` when it is missing, damaged, not a mapping, or has a key twice."""
    try:
        with open(path) as file:
            value = _Loader(file).get_single_data()
    except FileNotFoundError:
        raise FacecloakError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise FacecloakError(f"{path}: a folder, not a YAML file.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FacecloakError(f"{path}: not valid YAML ({' '.join(str(error).split())}).") from None
    if not isinstance(value, dict):
        raise FacecloakError(f"{path}: expected a mapping of names to values.")
    return value


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which others silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Called for every mapping."""
        seen = []
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} stands there twice", problem_mark=key.start_mark)
            seen.append(key.value)
        return super().construct_mapping(node, deep)


def settings_hash(value: Any) -> str:
    """Hex SHA-256 of settings (a dataclass or plain mappings), independent of the order of keys."""
    return sha256_json(dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value)


def far_key(far: float) -> str:
    """How a false accept rate is written as a key: 0.1, 0.01, 0.001."""
    return f"{far:g}"
