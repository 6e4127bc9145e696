"""The noise baselines in the whole harness: what is attacked and recorded, white boxes, target sets, resuming."""

import json

import numpy as np
import pandas as pd
import pytest
from skimage.data import astronaut

from benchmarks.harness.plan import Request, make_plan
from benchmarks.suites.suite import load_suite
from facecloak.cli.main import main
from facecloak.errors import FacecloakError
from facecloak.io import read_image, write_png
from tests.toys import write_photo

NOISE = ["pgd", "mi_fgsm", "ti_dim", "tip_im"]
BOTH = [f"{name}:{surrogates}" for name in NOISE for surrogates in ("single", "ensemble")]


def protections(*arguments, **options):
    return [task.protection for task in tasks(*arguments, **options)]


def tasks(suite, tmp_path, methods, **options):
    return make_plan(load_suite(str(suite)), Request(out=tmp_path / "out", methods=methods, **options)).tasks


def test_one_surrogate_is_the_first_other_one(toys, tmp_path):
    plan = tasks(toys, tmp_path, ["mi_fgsm:single", "mi_fgsm:ensemble"])
    found = {(t.protection.preset, judge): t.protection.surrogates for t in plan for judge in t.judges}
    assert found == {
        ("single", "ada"): ("bob",), ("single", "bob"): ("ada",), ("single", "cyd"): ("ada",),
        ("ensemble", "ada"): ("bob", "cyd"), ("ensemble", "bob"): ("ada", "cyd"), ("ensemble", "cyd"): ("ada", "bob"),
    }  # fmt: skip


def test_one_surrogate_of_a_white_box_is_the_white_box(toys, tmp_path):
    plan = tasks(toys, tmp_path, ["tip_im:single", "tip_im:ensemble"], white_boxes=["bob"])
    assert [task.protection.surrogates for task in plan] == [("bob",), ("ada", "bob", "cyd")]
    assert all(task.judges == ["bob"] for task in plan)


@pytest.mark.parametrize("objective", ["impersonation", "obfuscation"])
def test_a_white_box_is_fooled_and_marked(toys, tmp_path, objective):
    """The saved pictures are judged with another photo than the attacked one; the toys need a large ε."""
    wide = [f"--{name}.epsilon=40" for name in NOISE]
    arguments = ["benchmark", str(toys), "--methods", ",".join(BOTH), "--objective", objective, "--white-box", "ada"]
    assert main([*arguments, *wide, "--limit", "2", "--out", str(tmp_path / "out")]) == 0
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv").query("far == 0.01")
    assert len(table) == 8 and table["white_box"].all()
    assert set(table["method"] + ":" + table["preset"]) == {f"{name}*" for name in BOTH}
    single = table["preset"] == "single*"
    assert set(table.loc[single, "surrogates"]) == {"ada"}
    assert set(table.loc[~single, "surrogates"]) == {"ada+bob+cyd"}
    assert (table["psr_clean"] < 1).all()
    strong = table["method"].isin(["pgd", "mi_fgsm", "tip_im"]) & single
    assert (table.loc[strong, "psr"] == 1).all()
    if objective == "impersonation":
        assert (table["cosine_rise_surrogates"] > 0.1).all()


def test_no_saved_pixel_moves_further_than_epsilon(toys, tmp_path):
    out = tmp_path / "out"
    main(["benchmark", str(toys), "--methods", ",".join(NOISE), "--black-box", "ada", "--out", str(out)])
    for name, epsilon in {"pgd": 16, "mi_fgsm": 16, "ti_dim": 16, "tip_im": 12}.items():
        pictures = sorted(out.glob(f"protections/{name}_*/images/*.png"))
        assert len(pictures) == 4
        for picture in pictures:
            source = read_image(toys.parent / "photos" / picture.name).astype(int)
            assert np.abs(read_image(picture).astype(int) - source).max() == epsilon


def test_a_run_in_parts_ends_with_the_pictures_of_a_whole_one(toys, tmp_path):
    """The photos are split into other batches, and p2's random views must not depend on that."""
    methods = ["--methods", "ti_dim,tip_im,pgd:random_start", "--black-box", "ada"]
    main(["benchmark", str(toys), *methods, "--batch-size", "4", "--out", str(tmp_path / "whole")])
    parts = ["benchmark", str(toys), *methods, "--batch-size", "1", "--out", str(tmp_path / "parts")]
    main([*parts, "--limit", "2"])
    main(parts)
    whole = {path.relative_to(tmp_path / "whole"): path for path in (tmp_path / "whole").glob("protections/*/images/*")}
    assert len(whole) == 12
    for place, path in whole.items():
        one, other = read_image(path).astype(int), read_image(tmp_path / "parts" / place).astype(int)
        assert (one != other).mean() < 1e-3  # float32: a gradient close to 0 may have either sign


def test_a_target_set_holds_all_targets_and_its_pictures_depend_on_them(toys, tmp_path):
    (alone,) = protections(toys, tmp_path, ["tip_im"], black_boxes=["ada"])
    (own,) = protections(toys, tmp_path, ["tip_im:set"], black_boxes=["ada"])
    assert alone.other_targets == () and [other.name for other in own.other_targets] == ["2"]
    (synthetic,) = protections(toys, tmp_path, ["tip_im:set"], black_boxes=["ada"], objective="obfuscation")
    assert [other.name for other in synthetic.other_targets] == ["1", "2"]
    write_photo(toys.parent / "targets" / "200.png", 77)
    assert protections(toys, tmp_path, ["tip_im"], black_boxes=["ada"])[0].key == alone.key
    assert protections(toys, tmp_path, ["tip_im:set"], black_boxes=["ada"])[0].key != own.key


def test_of_a_target_set_a_photo_takes_what_is_nearest(toys, tmp_path):
    """Target 2 is made a double of every photo's person: photos that may choose take it, not the cell's target."""
    for photo in (toys.parent / "photos").iterdir():
        write_photo(photo, 200, shot=5)
    out = tmp_path / "out"
    arguments = ["--methods", "tip_im,tip_im:set", "--white-box", "ada", "--tip_im.iterations=10", "--limit", "1"]
    assert main(["benchmark", str(toys), *arguments, "--out", str(out)]) == 0
    table = pd.read_csv(out / "leaderboard.csv").query("far == 0.01").set_index("preset")
    rise = table["cosine_rise_black_box"]
    assert rise["default*"] > rise["set*"]


def test_protect_attacks_the_single_surrogate_and_may_choose_the_target(toys, tmp_path):
    write_png(tmp_path / "portrait.png", astronaut()[:400])
    arguments = ["protect", str(tmp_path / "portrait.png"), "--suite", str(toys), "--method", "tip_im:single"]
    pictures = {}
    for targets in ("single", "set"):
        out = tmp_path / targets
        assert main([*arguments, f"--tip_im.targets={targets}", "--tip_im.epsilon=40", "--out", str(out)]) == 0
        (outcome,) = json.loads((out / "protect.json").read_text())["photos"]
        assert outcome["surrogates"] == ["ada"] == list(outcome["faces"][0]["cosine_to_target_after"])
        assert outcome["faces"][0]["cosine_to_original_after"]["ada"] < 0.9
        pictures[targets] = read_image(out / "portrait.png")
    assert not np.array_equal(pictures["single"], pictures["set"])


def test_presets_that_come_to_the_same_are_refused(toys, tmp_path):
    with pytest.raises(FacecloakError, match="mi_fgsm:single and mi_fgsm:robfr have the same settings"):
        tasks(toys, tmp_path, ["mi_fgsm:single", "mi_fgsm:robfr"])
