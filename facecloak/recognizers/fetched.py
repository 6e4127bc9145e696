"""What the families have in common whose recognizers are assets of the same name."""

from __future__ import annotations

from facecloak.assets import find_asset, list_assets


class Fetched:
    """Recognizers that are in the table of assets, under names that begin with the family's prefix.

    Args:
        kind: the family's name.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.prefix = f"{kind}:"

    def names(self) -> list[str]:
        """Names of the recognizers, fetched or not."""
        return [name for name in list_assets() if name.startswith(self.prefix)]

    def asset(self, name: str) -> str:
        """The asset with the weights, which has the recognizer's name."""
        return name

    def licence(self, name: str) -> str:
        """Licence of the weights."""
        return find_asset(name).licence
