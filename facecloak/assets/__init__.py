"""What the project does not ship and can download: weights, models, photos, by name, with hash and licence.

Adding one is an entry of table.yaml. A user's own table, named by $FACECLOAK_ASSETS, adds entries or replaces them.
"""

from facecloak.assets.fetch import fetch
from facecloak.assets.store import asset_folder, cache_dir, is_here, provenance, state
from facecloak.assets.table import Asset, RemoteFile, find_asset, list_assets

__all__ = [
    "Asset",
    "RemoteFile",
    "asset_folder",
    "cache_dir",
    "fetch",
    "find_asset",
    "is_here",
    "list_assets",
    "provenance",
    "state",
]
