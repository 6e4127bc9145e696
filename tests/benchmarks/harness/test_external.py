"""`facecloak evaluate --out`: a run of another tool's pictures, checked, and in one table with the suite's own runs."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.harness.evaluate import evaluate_folders
from benchmarks.harness.plan import Request, make_plan
from benchmarks.harness.rejudge import judge_run, rejudge
from benchmarks.harness.runner import Runner
from benchmarks.results.store import find_judgements, find_protections, read_judgement
from benchmarks.results.table import long_table
from benchmarks.suites.suite import load_suite
from facecloak.errors import FacecloakError
from facecloak.io import read_image, write_png
from tests.toys import write_photo

RATES = ["psr", "psr_clean", "dodging", "joint", "psnr", "ssim", "rank1_targeted"]


@pytest.fixture
def benchmark(toys, tmp_path):
    """A run of blur on the toy suite."""
    plan = make_plan(load_suite(str(toys)), Request(out=tmp_path / "out", methods=["blur"]))
    Runner(plan).run()
    return tmp_path / "out"


def evaluate(toys, tmp_path, **options):
    folders = {"originals": toys.parent / "photos", "protected": tmp_path / "made", "others": toys.parent / "seconds"}
    return evaluate_folders(**{**folders, "suite": str(toys), "out": tmp_path / "tool", "name": "tool"} | options)


def test_the_same_pictures_have_the_same_numbers_whoever_made_them(toys, benchmark, tmp_path):
    (images,) = benchmark.glob("protections/*/images")
    shutil.copytree(images, tmp_path / "made")
    found = evaluate(toys, tmp_path)
    assert not found.errors
    own = long_table(find_judgements([benchmark]))
    assert list(found.table["black_box"]) == list(own["black_box"])
    pd.testing.assert_frame_equal(found.table[RATES], own[RATES])
    both = long_table(find_judgements([benchmark, tmp_path / "tool"]))  # they may be in one table
    assert set(both["method"]) == {"blur", "tool"} and both["manifest_sha256"].nunique() == 1


def test_a_tools_run_is_judged_again_and_by_others(toys, benchmark, tmp_path):
    (images,) = benchmark.glob("protections/*/images")
    shutil.copytree(images, tmp_path / "made")
    evaluate(toys, tmp_path, black_boxes=["ada"])
    skipped: list[str] = []
    assert not list(rejudge([tmp_path / "tool"], skipped)) and not skipped
    assert len(judge_run(tmp_path / "tool", ["bob"]).folders) == 1


def test_photos_of_ones_own_are_a_suite_of_their_own(toys, tmp_path):
    for person in range(3):
        write_photo(tmp_path / "mine" / f"m{person}.png", 20 + person)
        write_photo(tmp_path / "more" / f"m{person}.png", 20 + person, shot=1)
        write_photo(tmp_path / "made" / f"m{person}.png", 100, shot=1)  # the target itself
    found = evaluate(toys, tmp_path, originals=tmp_path / "mine", others=tmp_path / "more")
    assert set(found.table["suite"]) == {"toys_mine"} and (found.table["psr"] == 1).all()
    shutil.rmtree(tmp_path / "mine")  # the run keeps what it needs
    skipped: list[str] = []
    assert not list(rejudge([tmp_path / "tool"], skipped)) and not skipped


def test_what_is_missing_or_broken_counts_as_failed_or_unusable(toys, tmp_path):
    for person in range(4):
        write_photo(tmp_path / "mine" / f"m{person}.png", 20 + person)
        write_photo(tmp_path / "made" / f"m{person}.png", 100, shot=1)
    (tmp_path / "mine" / "m0.png").write_bytes(b"no picture")
    (tmp_path / "made" / "m1.png").unlink()
    write_png(tmp_path / "made" / "m2.png", np.zeros((32, 64, 3), dtype=np.uint8))
    found = evaluate(toys, tmp_path, originals=tmp_path / "mine", others=None)
    row = found.table.iloc[0]
    assert (row["n_images"], row["n_unusable"], row["n_failed"], row["n_psr"]) == (4, 1, 2, 3)
    assert found.errors.keys() == {"m0", "m1", "m2"} and "64×32, its original is 64×64" in found.errors["m2"]
    assert row["psr"] == pytest.approx(1 / 3)


def test_an_older_picture_of_the_same_tool_is_judged_no_more(toys, tmp_path):
    shutil.copytree(toys.parent / "photos", tmp_path / "made")
    first = evaluate(toys, tmp_path, black_boxes=["ada"]).table
    assert (first["n_identical"] == 4).all()
    changed = read_image(tmp_path / "made" / "p0.png")
    Image.fromarray(255 - changed).save(tmp_path / "made" / "p0.png")
    second = evaluate(toys, tmp_path, black_boxes=["ada"]).table
    assert (second["n_identical"] == 3).all() and len(find_protections([tmp_path / "tool"])) == 1


def test_what_protect_attacked_is_a_white_box(toys, tmp_path):
    shutil.copytree(toys.parent / "photos", tmp_path / "made")
    (tmp_path / "made" / "protect.json").write_text(json.dumps({"photos": [{"surrogates": ["ada", "cyd"]}]}))
    table = evaluate(toys, tmp_path).table
    assert dict(table.groupby("black_box")["white_box"].first()) == {"ada": True, "bob": False, "cyd": True}
    for folder in find_judgements([tmp_path / "tool"]):
        assert read_judgement(folder).rows[0]["surrogates"] == "ada+cyd"


def test_a_picture_without_an_original_is_refused(toys, tmp_path):
    shutil.copytree(toys.parent / "photos", tmp_path / "made")
    write_photo(tmp_path / "made" / "stranger.png", 9)
    with pytest.raises(FacecloakError, match="stranger"):
        evaluate(toys, tmp_path)
