"""How often an attack reaches the recognizers that it attacks, with the attacked photo and with another one."""

import pandas as pd
import pytest
import torch

from benchmarks.studies.white_box import ANOTHER, ATTACKED, main, measure, table_of
from benchmarks.suites.suite import load_suite
from facecloak import benchmark, load_recognizer
from facecloak.data import to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.io import read_image

BOXES = ["pocket_ir", "pocket_mobile"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return benchmark(
        "pocket", methods=["none", "pgd:single"], targets=["1"], limit=2, white_boxes=BOXES,
        settings={"pgd": {"iterations": 2}}, out=tmp_path_factory.mktemp("white"),
    )  # fmt: skip


def test_rates_are_those_of_the_pictures(run):
    lines, suite = measure(run.runs[0], "pocket"), load_suite("pocket")
    assert set(lines["method"]) == {"pgd:single"} and len(lines) == 2 * 2 * 2  # none attacks nobody
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
                assert line["matches"] == bool(own @ other > threshold), line


def test_another_photo_gives_what_the_run_says(run):
    lines = measure(run.runs[0], "pocket")
    own = run.table.query("far == 0.01 and method == 'pgd'").set_index("black_box")
    for name, part in lines[lines["with"] == ANOTHER].groupby("recognizer"):
        row = own.loc[name]
        assert (part["matches"].mean(), part["matches_clean"].mean()) == (row["psr"], row["psr_clean"])


def test_the_table_has_the_best_first():
    lines = pd.DataFrame(
        {"method": method, "recognizer": "a", "id": str(number), "with": kind, "matches": won, "matches_clean": False}
        for method, rates in {"weak": (False, False), "strong": (True, False)}.items()
        for number in range(4)
        for kind, won in zip((ATTACKED, ANOTHER), rates, strict=True)
    )
    table = table_of(lines)
    assert table["method"].tolist() == ["strong", "weak"] and table["results"].tolist() == [4, 4]
    assert table[f"{ATTACKED}, %"].tolist() == ["100.0 (51 to 100)", "0.0 (0 to 49)"]
    assert table[f"{ANOTHER}, %"].tolist() == ["0.0 (0 to 49)"] * 2


def test_the_command_writes_the_table(run, tmp_path, capsys):
    assert main([str(run.runs[0]), "--out", str(tmp_path)]) == 0
    assert "| pgd:single |" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "white_box.csv")["results"].tolist() == [4]


def test_a_run_of_another_kind_is_refused(tmp_path):
    results = benchmark("pocket", methods=["none"], targets=["1"], limit=1, black_boxes=["pocket_ir"], out=tmp_path)
    with pytest.raises(FacecloakError, match="no impersonation on pocket that attacks a recognizer"):
        measure(results.runs[0], "pocket")
