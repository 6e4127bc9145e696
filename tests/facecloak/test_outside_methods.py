"""Methods and recognizers of other packages, found by a path, by name, and by an entry point."""

import shutil
import sys
import textwrap

import pandas as pd
import pytest
import torch

import facecloak
from benchmarks import METHODS
from facecloak.cli.main import main
from facecloak.errors import FacecloakError
from facecloak.recognizers import Checkpoint, checkpoints, weights_file
from facecloak.testing import check_recognizer


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a method, and its metadata, as pip would install them."""
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


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A pocket recognizer's weights under another name, and a pool that is as before afterwards."""
    file = shutil.copy(weights_file("pocket_ir"), tmp_path / "mine.safetensors")
    monkeypatch.setattr(checkpoints, "POOL", {**checkpoints.POOL})
    monkeypatch.setattr(checkpoints.CHECKPOINTS, "_loaded", {})
    yield str(file)
    checkpoints._register_outside.cache_clear()


def test_a_registered_recognizer_is_one_by_name(weights, tmp_path):
    checkpoint = Checkpoint("facecloak.pocket.recognizers:ir", weights, "nowhere", 64)
    facecloak.register_recognizer("mine", checkpoint)
    facecloak.register_recognizer("mine", checkpoint)
    check_recognizer("mine")
    photo = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    own, original = facecloak.load_recognizer("mine"), facecloak.load_recognizer("pocket_ir")
    assert torch.equal(own(photo), original(photo)) and own.weights_sha256 == original.weights_sha256
    with pytest.raises(FacecloakError, match="named 'pocket_ir' already"):
        facecloak.register_recognizer("pocket_ir", checkpoint)
    with pytest.raises(FacecloakError, match="is not a facecloak.recognizers.Checkpoint"):
        facecloak.register_recognizer("other", weights)
    (tmp_path / "mine.safetensors").unlink()
    with pytest.raises(FacecloakError, match=r"'mine' needs .*mine\.safetensors: get it from nowhere"):
        facecloak.load_recognizer("mine")


def test_an_installed_package_brings_its_recognizers(package, weights):
    (package / "mine" / "nets.py").write_text(
        "from facecloak.recognizers import Checkpoint\n"
        f"NET = Checkpoint('facecloak.pocket.recognizers:ir', {weights!r}, 'nowhere', 64)\n"
    )
    entries = package / "mine-1.0.dist-info" / "entry_points.txt"
    entries.write_text("[facecloak.recognizers]\nnet = mine.nets:NET\n")
    checkpoints._register_outside.cache_clear()
    assert next(entry for entry in facecloak.list_recognizers() if entry.name == "net").present
    assert facecloak.load_recognizer("net", differentiable=True).name == "net"
    entries.write_text("[facecloak.recognizers]\nbad = mine.nowhere:NET\n")
    checkpoints._register_outside.cache_clear()
    with pytest.raises(FacecloakError, match=r"Recognizer 'bad': cannot import mine\.nowhere:NET"):
        facecloak.list_recognizers()
