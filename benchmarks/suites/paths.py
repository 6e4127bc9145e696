"""Where suites are; it loads no library, so that a misspelt name is found at once."""

from __future__ import annotations

import os
from pathlib import Path

from facecloak.errors import FacecloakError
from facecloak.registry import unknown_name

FOLDER = Path(__file__).parent


def list_suites() -> list[str]:
    """Names of the suites that ship with the package.

    Example:
        >>> "pocket" in list_suites()
        True
    """
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def suite_path(name: str) -> Path:
    """The YAML file of a suite.

    Args:
        name: see `list_suites`, or a path.

    Raises:
        FacecloakError: the suite is not known.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not os.path.isfile(path):
        raise (
            FacecloakError(f"{path}: no such file.")
            if path == Path(name)
            else unknown_name("suite", name, list_suites())
        )
    return path
