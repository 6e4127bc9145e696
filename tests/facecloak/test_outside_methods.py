"""Methods of other packages: by the path of their class, by name, and by an entry point."""

import sys
import textwrap

import pandas as pd
import pytest

import facecloak
from benchmarks import METHODS
from facecloak.cli.main import main
from facecloak.errors import FacecloakError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a method, and its metadata as pip would install them."""
    (tmp_path / "site" / "mine").mkdir(parents=True)
    (tmp_path / "site" / "mine" / "__init__.py").touch()
    (tmp_path / "site" / "mine" / "dark.py").write_text(
        textwrap.dedent("""
        from dataclasses import dataclass
        from facecloak import Protected, ProtectionMethod

        @dataclass(frozen=True)
        class Settings:
            by: float = 0.2

        class Darken(ProtectionMethod):
            Settings = Settings

            def protect(self, batch):
                return Protected((batch.images - self.settings.by).clamp(-1, 1), [None] * len(batch.ids))
    """)
    )
    about = tmp_path / "site" / "mine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[facecloak.methods]\ndarken = mine.dark:Darken\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield tmp_path / "site"
    METHODS._loaded.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def test_a_class_is_benchmarked_by_its_path(package, toys, tmp_path):
    arguments = ["--methods", "none,mine.dark:Darken", "--Darken.by=0.5", "--black-box", "ada"]
    assert main(["benchmark", str(toys), *arguments, "--out", str(tmp_path / "out"), "--wandb", "disabled"]) == 0
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    assert set(table["method"]) == {"none", "Darken"} and set(table["preset"]) == {"default", "default*"}


def test_a_registered_class_is_a_method_by_name(package, toys, tmp_path):
    from mine.dark import Darken

    facecloak.register_method("darken", Darken)
    facecloak.register_method("darken", Darken)
    found = facecloak.benchmark(str(toys), methods=["darken"], black_boxes=["ada"], out=tmp_path / "out")
    assert set(found.table["method"]) == {"darken"}
    with pytest.raises(FacecloakError, match="is not a ProtectionMethod"):
        facecloak.register_method("int", int)
    with pytest.raises(FacecloakError, match="cannot be named 'a b'"):
        facecloak.register_method("a b", Darken)
    with pytest.raises(FacecloakError, match="named 'pgd' already"):
        facecloak.register_method("pgd", Darken)


def test_an_installed_package_brings_its_methods(package, monkeypatch):
    for name in ("benchmarks",):
        monkeypatch.delitem(sys.modules, name)
    import benchmarks

    assert "darken" in benchmarks.METHODS and benchmarks.METHODS["darken"].__name__ == "Darken"
