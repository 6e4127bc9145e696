"""How often an attack reaches the recognizers that it attacks, with the attacked photo and with another one."""

import shutil

import pandas as pd
import pytest
import torch

from benchmarks.studies.white_box import ANOTHER, ATTACKED, main, measure, table_of
from benchmarks.suites.suite import load_suite
from facecloak import benchmark, load_recognizer
from facecloak.data import to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.io import read_image, read_json, write_json

BOXES = ["pocket_ir", "pocket_mobile"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return benchmark(
        "pocket", methods=["none", "pgd:single"], targets=["1"], limit=2, white_boxes=BOXES,
        settings={"pgd": {"iterations": 2}}, out=tmp_path_factory.mktemp("white"),
    )  # fmt: skip


def test_rates_are_those_of_the_pictures(run):
    lines, suite = measure(run.runs[0], "pocket"), load_suite("pocket")
    assert set(lines["method"]) == {"pgd:single*"} and len(lines) == 2 * 2 * 2  # none attacks nobody
    target = suite.load_target("1", "impersonation")
    for folder in run.runs[0].glob("protections/pgd*"):
        recognizer = next(name for name in BOXES if name in (folder / "protection.json").read_text())
        network = load_recognizer(recognizer)
        threshold = suite.load_thresholds(recognizer, network.weights_sha256)["fars"]["0.01"]["threshold"]
        for picture in (folder / "images").glob("*.png"):
            sides = to_tensor([read_image(path) for path in (picture, target.image, target.test)])
            with torch.no_grad():
                own, attacked, another = network(crop(sides, torch.tensor([suite.crop] * 3), network.input_size))
            for kind, other in ((ATTACKED, attacked), (ANOTHER, another)):
                asked = {"recognizer": recognizer, "id": picture.stem, "with": kind}
                (line,) = lines[(lines[list(asked)] == pd.Series(asked)).all(axis=1)].to_dict("records")
                assert line["cosine"] == pytest.approx(float(own @ other), abs=1e-5)
                assert line["matches"] == 100 * bool(own @ other > threshold), line


def test_another_photo_gives_what_the_run_says(run):
    lines = measure(run.runs[0], "pocket")
    own = run.table.query("far == 0.01 and method == 'pgd'").set_index("black_box")
    for name, part in lines[lines["with"] == ANOTHER].groupby("recognizer"):
        row = own.loc[name]
        means = [part[column].mean() for column in ("matches", "matches_clean")]
        assert means == [100 * row["psr"], 100 * row["psr_clean"]]


@pytest.fixture
def other(run, tmp_path):
    """A copy of the run, and the folder of the pictures that attack the first recognizer."""
    copied = shutil.copytree(run.runs[0], tmp_path / "run")
    folder = next(each for each in copied.glob("protections/pgd*") if BOXES[0] in read(each)["weights"])
    return copied, folder


def read(protection):
    return read_json(protection / "protection.json")


def test_a_picture_that_has_changed_is_an_error(other):
    copied, folder = other
    picture = min(folder.glob("images/*.png"))
    picture.write_bytes(b"another picture")
    with pytest.raises(FacecloakError, match=f"1 of 2 pictures .* that of {picture.stem}; run the benchmark again"):
        measure(copied, "pocket")


def test_a_photo_that_failed_matches_nobody_and_counts(run, other):
    before, (copied, folder) = measure(run.runs[0], "pocket"), other
    won = before[(before["matches"] == 100) & (before["recognizer"] == BOXES[0])]["id"].iloc[0]
    path = folder / "outcomes" / f"{won}.json"
    write_json(path, read_json(path) | {"error": "made up", "png_sha256": None})
    (folder / "images" / f"{won}.png").unlink()
    after = measure(copied, "pocket")
    failed = (after["id"] == won) & (after["recognizer"] == BOXES[0])
    assert failed.sum() == 2 and len(after) == len(before)
    assert (after[failed]["matches"] == 0).all() and after[failed]["cosine"].isna().all()
    pd.testing.assert_frame_equal(after[~failed], before[~failed])
    pd.testing.assert_series_equal(after["matches_clean"], before["matches_clean"])
    assert table_of(after)["results"].tolist() == [4]


def test_two_settings_of_a_method_have_two_rows(other):
    copied, folder = other
    twin = shutil.copytree(folder, folder.with_name("pgd_twin"))
    write_json(twin / "protection.json", read(folder) | {"settings_hash": "abcdef0123"})
    table = table_of(measure(copied, "pocket")).set_index("method")
    assert {*table.index} == {"pgd:single* abcdef", f"pgd:single* {read(folder)['settings_hash'][:6]}"}
    assert table.loc["pgd:single* abcdef", "results"] == 2


def test_the_table_has_the_best_first():
    lines = pd.DataFrame(
        {
            "method": method,
            "recognizer": judge,
            "id": str(number),
            "with": kind,
            "matches": 100.0 * won,
            "matches_clean": 0.0,
        }
        for method, rates in {"weak": (False, False), "strong": (True, False)}.items()
        for judge in "ab"
        for number in range(4)
        for kind, won in zip((ATTACKED, ANOTHER), rates, strict=True)
    )
    table = table_of(lines)
    assert table["method"].tolist() == ["strong", "weak"] and table["results"].tolist() == [8, 8]
    # Wilson's interval of 4 of 4 photos, whose two results are not independent
    assert table[f"{ATTACKED}, %"].tolist() == ["100.0 (51 to 100)", "0.0 (0 to 49)"]
    assert table[f"{ANOTHER}, %"].tolist() == ["0.0 (0 to 49)"] * 2


def test_the_command_writes_the_table(run, tmp_path, capsys):
    assert main([str(run.runs[0]), "--out", str(tmp_path)]) == 0
    assert "| pgd:single* |" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "white_box.csv")["results"].tolist() == [4]


def test_a_run_of_another_kind_is_refused(tmp_path):
    results = benchmark("pocket", methods=["none"], targets=["1"], limit=1, black_boxes=["pocket_ir"], out=tmp_path)
    with pytest.raises(FacecloakError, match="no impersonation on pocket that attacks a recognizer"):
        measure(results.runs[0], "pocket")
