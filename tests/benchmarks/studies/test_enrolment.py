"""`python -m benchmarks.studies.enrolment`: enrolled photos that are cloaked too."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from benchmarks.harness.plan import Request
from benchmarks.studies.enrolment import main, measure, second_suite
from benchmarks.suites.suite import load_suite
from facecloak import load_recognizer
from facecloak.data import to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.io import read_image


def test_each_case_compares_the_pictures_that_it_names(toys, tmp_path, capsys):
    arguments = ["--suite", str(toys), "--methods", "none,blur", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert "only the enrolled photo" in capsys.readouterr().out
    suite = load_suite(str(toys))
    lines = measure(suite, Request(out=tmp_path / "out", methods=["none", "blur"]))
    assert len(lines) == 2 * 3 * 4 * 4
    unmatched = lines.set_index(["method", "black_box", "id", "case"])["unmatched"]
    recognizer, box = load_recognizer("ada"), torch.tensor([[4.0, 4, 60, 60]])

    def embedding(path):
        with torch.no_grad():
            return recognizer(crop(to_tensor([read_image(path)]), box, recognizer.input_size))[0]

    cloaked = {
        side: next((tmp_path / "out" / side / "protections").glob("blur*")) / "images"
        for side in ("photos", "enrolled")
    }
    clean = {"photos": tmp_path / "toys" / "photos", "enrolled": tmp_path / "toys" / "seconds"}
    for person in ("p0", "p2"):
        for case, enrolled, photo in (
            ("neither", clean, clean), ("only the photo", clean, cloaked), ("only the enrolled photo", cloaked, clean),
            ("both", cloaked, cloaked),
        ):  # fmt: skip
            cosine = embedding(photo["photos"] / f"{person}.png") @ embedding(enrolled["enrolled"] / f"{person}.png")
            assert unmatched["blur", "ada", person, case] == 100.0 * bool(cosine < 0.4)
    plain = lines[lines["method"] == "none"].groupby("case")["unmatched"].mean()
    assert plain.nunique() == 1  # nothing is cloaked in any case
    table = pd.read_csv(tmp_path / "out" / "enrolment.csv")
    assert table.shape == (2, 5) and not table.isna().any(axis=None)
    assert np.isfinite(lines["unmatched"]).all()


def test_a_suite_without_second_photos_is_refused(toys):
    content = yaml.safe_load(toys.read_text())
    del content["sources"]["second"]
    toys.write_text(yaml.safe_dump(content))
    with pytest.raises(FacecloakError, match="no folder of second photos"):
        second_suite(load_suite(str(toys)))
