"""Named parameters of a batch: one row a portrait, one column a parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch


class Table:
    """Rows of named numbers; ``table.name`` is a column, B×1×1, ready to be broadcast over pixels.

    Attributes:
        names: of the columns.
        values: float32 B×P.
    """

    names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, values: torch.Tensor) -> None:
        if values.ndim != 2 or values.shape[1] != len(self.names):
            raise ValueError(f"{type(self).__name__} has {len(self.names)} columns, not {tuple(values.shape)}.")
        self.values = values.float()

    def __getattr__(self, name: str) -> torch.Tensor:
        if name.startswith("_") or name not in self.names:
            raise AttributeError(f"{type(self).__name__} has no column {name!r}")
        return self.values[:, self.names.index(name), None, None]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice) -> Table:
        return type(self)(self.values[rows])

    def to(self, device: torch.device | str) -> Table:
        """The same rows on another device."""
        return type(self)(self.values.to(device))

    def with_(self, **columns: float | torch.Tensor) -> Table:
        """A copy with some columns set, each to a number or to B numbers."""
        values = self.values.clone()
        for name, value in columns.items():
            values[:, self.names.index(name)] = torch.as_tensor(value, dtype=torch.float32, device=values.device)
        return type(self)(values)

    def colour(self, name: str) -> torch.Tensor:
        """The three columns ``name_r, name_g, name_b`` as B×3×1×1."""
        first = self.names.index(f"{name}_r")
        return self.values[:, first : first + 3, None, None]


def rows(table: type[Table], draw: Callable[[np.random.Generator], dict[str, float]], keys: list[list[int]]) -> Table:
    """One row a key, each from its own random stream, so that a row does not depend on the others of its batch."""
    drawn = [draw(np.random.Generator(np.random.PCG64(key))) for key in keys]
    values = np.array([[row[name] for name in table.names] for row in drawn], dtype=np.float32)
    return table(torch.from_numpy(values.reshape(len(keys), len(table.names))))
