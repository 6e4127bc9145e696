"""A server on this machine, and a table of assets that points to it."""

import pytest

from facecloak.assets import store as stores
from facecloak.config import to_yaml
from tests.standins import serve


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.delenv("FACECLOAK_OFFLINE")
    monkeypatch.setenv("FACECLOAK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stores, "_verified", set())
    with serve() as web:
        yield web


@pytest.fixture
def table(tmp_path, monkeypatch, web):
    """Write one's own table; files are below the server."""

    def write(**entries):
        for entry in entries.values():
            entry.setdefault("about", "a test")
            entry.setdefault("licence", "non-commercial research")
            if "files" in entry:
                entry.setdefault("base", [web.url])
        (tmp_path / "assets.yaml").write_text(to_yaml(entries))
        monkeypatch.setenv("FACECLOAK_ASSETS", str(tmp_path / "assets.yaml"))

    return write
