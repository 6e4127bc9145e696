"""The study of crops: every recognizer under every crop, by the numbers that `calibrate` wrote."""

import csv

import numpy as np
import pytest

from benchmarks.studies import crops
from facecloak.alignment import TEMPLATE
from facecloak.config import read_yaml, to_yaml
from facecloak.io import read_json
from tests.toys import RECOGNIZERS, SIZE, write_suite


class FaceInTheMiddle:
    """Finds a face in every photo, since there is none in the toys."""

    def __init__(self, device="cpu"):
        pass

    def __call__(self, image):
        return (8.0, 8.0, 40.0, 40.0)

    def landmarks(self, image):
        return np.array(TEMPLATE) * SIZE / 112


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(tmp_path / "toys" / "weights"))
    monkeypatch.setattr("benchmarks.suites.suite.FaceDetector", FaceInTheMiddle)
    return write_suite(tmp_path / "toys", people=12, fars=[0.1])


def test_a_line_for_each_recognizer_and_crop(suite, tmp_path, capsys):
    assert crops.main(["--suite", str(suite), "--out", str(tmp_path / "out")]) == 0
    with open(tmp_path / "out" / "crops.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["recognizer"], line["crop"]) for line in lines] == [
        (name, crop) for name in RECOGNIZERS for crop in ("fixed", "mtcnn", "arcface")
    ]
    written = {name: read_json(tmp_path / "out" / f"{name}.json") for name in ("fixed", "mtcnn", "arcface")}
    assert [written[name]["ada"]["crop"] for name in written] == [[4, 4, 60, 60], "mtcnn", "arcface"]
    for line in lines:
        entry = written[line["crop"]][line["recognizer"]]
        assert line["FAR 0.1"] == f"{100 * entry['fars']['0.1']['tar']:.1f}" and line["AUC"] == f"{entry['auc']:.4f}"
    thresholds = {entry["ada"]["fars"]["0.1"]["threshold"] for entry in written.values()}
    assert len(thresholds) == 3  # each crop is really another one
    assert "| ada | fixed |" in capsys.readouterr().out


def test_a_suite_without_a_fixed_crop_has_no_line_for_it(suite, tmp_path):
    settings = read_yaml(suite) | {"crop": "mtcnn", "detect": True}
    suite.write_text(to_yaml(settings))
    table = crops.measure(str(suite), ["bob"], tmp_path / "out")
    assert table[["recognizer", "crop"]].values.tolist() == [["bob", "mtcnn"], ["bob", "arcface"]]


def test_a_recognizer_that_is_not_there_is_one_line(suite, tmp_path, capsys):
    assert crops.main(["--suite", str(suite), "--recognizers", "adda", "--out", str(tmp_path / "out")]) == 2
    assert "adda" in capsys.readouterr().err
