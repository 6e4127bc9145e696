"""Names → "module:attribute", imported when first asked for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from facecloak.errors import FacecloakError

MOST_NAMED = 40  # in a message


def unknown_name(kind: str, name: Any, known: Iterable[str], command: str = "facecloak list") -> FacecloakError:
    """The error for a name that nobody registered, with the nearest known one; a file may have anything for a name.

    Args:
        command: what shows the known names, where they are too many for a message.
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = f"{len(known)}, see `{command}`" if len(known) > MOST_NAMED else ", ".join(known) or "none"
    return FacecloakError(f"There is no {kind} named {name!r}.{hint} Known: {listed}.")


class Registry(Mapping[str, Any]):
    """A lazy mapping of names to classes or functions.

    Args:
        kind: what the entries are, for error messages ("method", "recognizer").
        *tables: mappings name → ``"package.module:attribute"``.
        base: the class, as ``"package.module:attribute"``, that every entry must be a subclass of.

    Raises:
        ValueError: a name is in two tables, or a target is not of the form ``module:attribute``.
    """

    def __init__(self, kind: str, *tables: Mapping[str, str], base: str | None = None) -> None:
        self.kind = kind
        self._base = base
        self._targets: dict[str, str] = {}
        self._loaded: dict[str, Any] = {}
        for table in tables:
            for name, target in table.items():
                if name in self._targets:
                    raise ValueError(f"two {kind}s are named {name!r}: {self._targets[name]} and {target}")
                if target.count(":") != 1:
                    raise ValueError(f"{kind} {name!r}: expected 'module:attribute', got {target!r}")
                self._targets[name] = target

    def register(self, name: str, entry: Any) -> None:
        """Add an entry that is loaded already; adding the same one again changes nothing.

        Raises:
            FacecloakError: the name is not a plain one or belongs to another entry, or the entry is not of the right
                class.
        """
        if not isinstance(name, str) or not name.isidentifier():
            raise FacecloakError(f"A {self.kind} cannot be named {name!r}: letters, digits and _ only.")
        if not self._is_right(entry):
            raise FacecloakError(f"{self.kind} {name!r}: {entry!r:.80} is not a {self._base.split(':')[1]}.")
        if name in self and self[name] is not entry:
            raise FacecloakError(f"There is a {self.kind} named {name!r} already: {self[name]!r:.80}.")
        self._loaded[name] = entry

    def _is_right(self, entry: Any) -> bool:
        return self._base is None or (isinstance(entry, type) and issubclass(entry, import_entry(self._base)))

    def __getitem__(self, name: str) -> Any:
        """Import and return the entry; `FacecloakError` with a suggestion for an unknown name."""
        if name in self._loaded:
            return self._loaded[name]
        if name not in self._targets:
            raise unknown_name(self.kind, name, self)
        entry = import_entry(self._targets[name])
        if not self._is_right(entry):
            raise TypeError(f"{self.kind} {name!r}: {self._targets[name]} is not a {self._base.split(':')[1]}")
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._targets or name in self._loaded

    def __iter__(self) -> Iterator[str]:
        return iter({**self._targets, **self._loaded})

    def __len__(self) -> int:
        return len({**self._targets, **self._loaded})


def import_entry(target: str) -> Any:
    """What ``"package.module:attribute"`` names."""
    module, attribute = target.split(":")
    return getattr(import_module(module), attribute)
