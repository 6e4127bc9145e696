"""The lazy registry of names."""

import sys

import pytest

from facecloak.errors import FacecloakError
from facecloak.registry import Registry, unknown_name


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module that exists and is not imported."""
    (tmp_path / "lazy_toy_method.py").write_text("class Toy: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "lazy_toy_method"
    sys.modules.pop("lazy_toy_method", None)


def test_a_module_is_imported_when_its_entry_is_first_asked_for(module):
    registry = Registry("method", {"toy": f"{module}:Toy", "gone": "no_such_module_at_all:Gone"})
    assert "toy" in registry and "other" not in registry
    assert list(registry) == ["toy", "gone"] and len(registry) == 2
    assert module not in sys.modules
    assert registry["toy"] is sys.modules[module].Toy


def test_a_name_in_two_tables_is_refused_with_both_targets():
    with pytest.raises(ValueError, match=r"two methods are named 'a': x:A and y:B"):
        Registry("method", {"a": "x:A"}, {"b": "x:B", "a": "y:B"})


@pytest.mark.parametrize("target", ["module.Class", "a:b:c", ""])
def test_a_malformed_target_is_refused_at_once(target):
    with pytest.raises(ValueError, match="expected 'module:attribute'"):
        Registry("method", {"a": target})


def test_an_unknown_name_is_met_with_the_nearest_one():
    registry = Registry("method", {"blur": "x:A", "pixelate": "x:B"})
    with pytest.raises(FacecloakError, match=r"no method named 'blurr'\. Did you mean 'blur'\? Known: blur, pixelate"):
        registry["blurr"]


def test_nothing_is_suggested_for_a_name_that_is_near_to_none():
    assert "Did you mean" not in str(unknown_name("method", "zzz", ["blur"]))
    assert "Known: none" in str(unknown_name("method", "zzz", []))


def test_an_entry_of_another_class_is_refused():
    registry = Registry("method", {"path": "pathlib:Path", "pure": "pathlib:PurePath"}, base="pathlib:Path")
    assert registry["path"].__name__ == "Path"
    with pytest.raises(TypeError, match="method 'pure': pathlib:PurePath is not a Path"):
        registry["pure"]


@pytest.mark.parametrize("name", [float("nan"), [[1]], {"a": 1}, None, 3])
def test_anything_that_a_file_may_have_for_a_name_is_refused_in_words(name):
    assert f"There is no method named {name!r}." in str(unknown_name("method", name, ["pgd", "blur"]))
