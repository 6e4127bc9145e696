"""The public names: lazy, documented, and used as in a notebook, on the embedded suite."""

import inspect
import logging
import signal
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import facecloak
from facecloak.errors import FacecloakError
from facecloak.io import read_image
from tests.toys import write_photo

SMALL = {"pgd": {"iterations": 2}}


def test_the_import_is_quick_and_every_name_is_there():
    program = "import sys, facecloak; print(sorted({'torch', 'pandas', 'benchmarks'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
    assert [name for name in facecloak.__all__ if not hasattr(facecloak, name)] == []
    assert set(facecloak.__all__) <= set(dir(facecloak))
    with pytest.raises(AttributeError, match="no attribute 'protekt'"):
        facecloak.protekt  # noqa: B018


@pytest.mark.parametrize("name", [name for name in facecloak.__all__ if name[0].islower()])
def test_public_functions_say_what_they_take_raise_and_how_they_are_used(name):
    function = getattr(facecloak, name)
    text = inspect.getdoc(function)
    assert "Example:" in text and ">>>" in text, name
    given = [each for each in inspect.signature(function).parameters.values()]
    assert not given or "Raises:" in text, name
    undescribed = [each.name for each in given if "Args:" in text and f"{each.name}" not in text.split("Args:")[1]]
    assert undescribed == [], name


@pytest.mark.parametrize("name", [name for name in facecloak.__all__ if name[0].isupper()])
def test_public_classes_have_an_example(name):
    assert ">>>" in inspect.getdoc(getattr(facecloak, name)).partition("Example:")[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return facecloak.benchmark(
        "pocket", methods=["none", "pgd:single"], targets=["1"], limit=2, settings=SMALL,
        black_boxes=["pocket_dense", "pocket_ir"], out=folder,
    )  # fmt: skip


def test_a_benchmark_gives_its_results_and_goes_on(results):
    assert len(results.table) == 2 * 2 * 3 and set(results.table["method"]) == {"none", "pgd"}
    again = facecloak.benchmark(
        "pocket", methods=["none", "pgd:single"], targets=["1"], limit=2, settings=SMALL,
        black_boxes=["pocket_dense", "pocket_ir"], out=results.runs[0],
    )  # fmt: skip
    pd.testing.assert_frame_equal(again.table, results.table)
    assert results.check() == []


def test_images_are_what_the_table_counts(results):
    images = results.images
    assert len(images) == 2 * 2 * 2
    table = results.table.query("far == 0.01 and method == 'pgd'").set_index("black_box")
    for box, rows in images.query("method == 'pgd'").groupby("black_box"):
        won = rows["cosine_target"] > table.loc[box, "threshold"]
        assert won.mean() == table.loc[box, "psr"]
        for column in ("psnr", "ssim", "pocket_perceptual"):
            assert rows[column].mean() == pytest.approx(table.loc[box, column])
    assert "lpips" in images


def test_the_summary_is_the_mean_over_judges_in_per_cent(results):
    summary = results.summary(far=0.1).set_index("method")
    rows = results.table.query("far == 0.1 and method == 'pgd'")
    assert summary.loc["pgd:single*", "psr"] == pytest.approx(100 * rows["psr"].mean())
    with pytest.raises(FacecloakError, match=r"No row has FAR 0\.5; there are 0\.001, 0\.01, 0\.1"):
        results.summary(far=0.5)


def test_plots_and_the_leaderboard_follow(results, tmp_path):
    assert results.plot("heat").axes and results.plot().axes
    with pytest.raises(FacecloakError, match="Did you mean 'pareto'"):
        results.plot("paretto")
    results.write(tmp_path / "board")
    assert {"index.html", "long.csv", "plots"} <= {path.name for path in (tmp_path / "board").iterdir()}


def test_a_method_protects_a_batch(results):
    suite = facecloak.load_suite("pocket")
    method = facecloak.load_method("pgd:single", suite, target="1", black_box="pocket_dense", iterations=2)
    batch = suite.batch(target="1", limit=2)
    before = batch.images.clone()
    made = method.predict_step(batch)
    assert torch.equal(batch.images, before) and made.errors == [None, None]
    rows = results.table.query("method == 'pgd' and black_box == 'pocket_dense'")
    folder = results.protections[rows["run_id"].iloc[0]] / "images"
    for name, image in zip(batch.ids, made.images, strict=True):  # the same pictures as the benchmark's
        pixels = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        assert np.array_equal(pixels, read_image(folder / f"{name}.png"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"spec": "pgdd"}, "Did you mean 'pgd'"),
        ({"spec": "pgd:nothing"}, "preset of pgd"),
        ({"spec": "pgd", "iterationss": 2}, "iterations"),
        ({"spec": "pgd", "target": "9"}, "target of suite pocket"),
        ({"spec": "pgd", "black_box": "nobody"}, "recognizer of suite pocket"),
        ({"spec": "diffam"}, "must be trained"),
        ({"spec": "nowhere.at_all:Mine"}, "cannot import nowhere"),
        ({"spec": "facecloak.method:Mine"}, "has no Mine"),
        ({"spec": "facecloak.data:Batch"}, "is not a ProtectionMethod"),
    ],
)
def test_what_cannot_be_loaded_is_named(given, said):
    given = dict(given)
    with pytest.raises(FacecloakError, match=said):
        facecloak.load_method(given.pop("spec"), "pocket", **given)


def test_nothing_is_printed_and_nothing_global_is_left_changed(toys, tmp_path, capsys):
    before = (signal.getsignal(signal.SIGTERM), logging.getLogger("pytorch_lightning").level, list(warnings.filters))
    facecloak.benchmark(str(toys), methods=["blur"], black_boxes=["ada"], out=tmp_path / "out")
    facecloak.judge(tmp_path / "out", ["bob"])
    write_photo(tmp_path / "a" / "1.png", 1)
    write_photo(tmp_path / "b" / "1_cloaked.png", 1)
    found = facecloak.evaluate(tmp_path / "a", tmp_path / "b", suite=str(toys), name="tool", out=tmp_path / "tool")
    assert set(found.table["method"]) == {"tool"}
    said = capsys.readouterr()
    assert said.out == "" and said.err == ""
    after = (signal.getsignal(signal.SIGTERM), logging.getLogger("pytorch_lightning").level, list(warnings.filters))
    assert before == after
