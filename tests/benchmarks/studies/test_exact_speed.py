"""The study of the exact method's speed: only variants that make the same pictures get a ratio."""

import dataclasses
import itertools
from types import SimpleNamespace

import pytest

import facecloak
from benchmarks.harness.methods import load_method
from benchmarks.studies import exact_speed
from facecloak.errors import FacecloakError


def load():
    return load_method(
        "facecloak", "pocket", target="1", black_box="pocket_dense", start_step=19, embedding_iterations=1,
        iterations=1, accelerator="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def batch():
    return facecloak.load_suite("pocket").batch(target="1", limit=2)


def test_the_same_photos_alone_and_in_a_batch_are_compared(batch, monkeypatch):
    clock = itertools.count(1).__next__  # each look at it takes a second
    monkeypatch.setattr(exact_speed, "time", SimpleNamespace(perf_counter=clock))
    table = exact_speed.compare(load, batch, [exact_speed.ALONE, "channels-last"], 1)
    assert [*table["variant"]] == [exact_speed.ALONE, "channels-last"]
    assert [*table["as it is"]] == [*table["seconds per photo"]] == ["0.50"] * 2  # two photos
    assert [*table["times faster"]] == ["1.00"] * 2


def test_a_variant_that_makes_other_pictures_gets_no_ratio(batch, monkeypatch):
    def stronger(method):
        method.settings = dataclasses.replace(method.settings, lr=1.0)

    monkeypatch.setitem(exact_speed.VARIANTS, "stronger", stronger)
    with pytest.raises(FacecloakError, match=r"stronger: \d+\.\d% of the pixels differ by more than 1"):
        exact_speed.compare(load, batch, ["stronger"], 1)


def test_an_unknown_variant_is_refused(capsys):
    with pytest.raises(SystemExit):
        exact_speed.main(["--variants", "magic"])
    assert "there is no 'magic'; there are one photo at a time, channels-last" in capsys.readouterr().err
