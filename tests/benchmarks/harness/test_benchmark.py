"""`facecloak benchmark` from the command line, on the toy suite."""

import json

import numpy as np
import pandas as pd

from baselines.naive import Blur
from benchmarks.harness.runner import Runner
from benchmarks.results.schema import COLUMNS
from benchmarks.results.store import forget_judgements
from facecloak.cli.main import main
from facecloak.faces import AlignedCrop
from facecloak.io import read_image, sha256, write_png
from facecloak.method import Protected
from tests.facecloak.cloak.pipeline import save_pipeline
from tests.toys import write_photo, write_suite


def long(out):
    return pd.read_csv(out / "leaderboard.csv")


def test_the_leaderboard_has_a_row_per_judgement_and_far(toys, tmp_path, capsys):
    assert main(["benchmark", str(toys), "--out", str(tmp_path / "out")]) == 0
    table = long(tmp_path / "out")
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 2 * 3 * 2  # methods, black boxes, FARs
    assert set(table["n_images"]) == {4}
    printed = capsys.readouterr().out
    assert "identical" in printed and "blur" in printed and "ada" in printed


def test_no_protection_has_the_clean_rate_and_identical_images(toys, tmp_path):
    main(["benchmark", str(toys), "--methods", "none", "--out", str(tmp_path / "out")])
    table = long(tmp_path / "out")
    assert (table["psr"] == table["psr_clean"]).all()
    assert (table["dodging"] == table["dodging_clean"]).all()
    assert table["psnr"].isna().all() and (table["n_identical"] == 4).all()
    assert (table["cosine_rise_black_box"].abs() < 1e-6).all()
    assert not np.isinf(table.select_dtypes("number")).any().any()
    wide = pd.read_csv(tmp_path / "out" / "leaderboard_wide.csv")
    assert list(wide["psnr"]) == ["identical"]


def test_the_judge_reads_the_pictures_and_not_the_method(toys, tmp_path):
    """Pictures swapped for the target's test photo before judging: every image must succeed."""
    out = tmp_path / "out"
    main(["benchmark", str(toys), "--methods", "none", "--black-box", "ada", "--out", str(out)])
    (protection,) = (out / "protections").iterdir()
    target = read_image(toys.parent / "targets" / "100_test.png")
    for outcome in (protection / "outcomes").glob("*.json"):
        write_png(protection / "images" / f"{outcome.stem}.png", target)
        record = json.loads(outcome.read_text())
        record["png_sha256"] = sha256(protection / "images" / f"{outcome.stem}.png")
        outcome.write_text(json.dumps(record))
    forget_judgements(protection)
    main(["benchmark", str(toys), "--methods", "none", "--black-box", "ada", "--out", str(out)])
    table = long(out)
    assert (table["psr"] == 1).all() and (table["rank1_targeted"] == 1).all()


def test_rates_follow_from_the_stored_cosines(toys, tmp_path):
    out = tmp_path / "out"
    main(["benchmark", str(toys), "--methods", "blur", "--black-box", "bob", "--out", str(out)])
    (path,) = out.glob("protections/*/judgements/none/bob/records.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for _, row in long(out).iterrows():
        to_target = [record["cosine"]["target"] for record in records]
        to_self = [record["cosine"]["self"] for record in records]
        assert row["psr"] == np.mean([cosine > row["threshold"] for cosine in to_target])
        assert row["dodging"] == np.mean([cosine < row["threshold"] for cosine in to_self])
        joint = [a > row["threshold"] > b for a, b in zip(to_target, to_self, strict=True)]
        assert row["joint"] == np.mean(joint)


def test_obfuscation_is_judged_by_dodging(toys, tmp_path):
    arguments = ["benchmark", str(toys), "--methods", "blur", "--objective", "obfuscation"]
    main([*arguments, "--out", str(tmp_path / "out")])
    table = long(tmp_path / "out")
    assert set(table["target"]) == {"synthetic"}
    assert (table["psr"] == table["dodging"]).all()
    assert table["joint"].isna().all()


def test_a_longer_limit_keeps_what_is_finished(toys, tmp_path):
    out = tmp_path / "out"
    arguments = ["benchmark", str(toys), "--methods", "blur", "--black-box", "ada", "--out", str(out)]
    main([*arguments, "--limit", "2"])
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("protections/*/images/*.png")}
    main(arguments)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("protections/*/images/*.png")}
    assert len(before) == 2 and len(after) == 4
    assert before.items() <= after.items()
    assert set(long(out)["n_images"]) == {4}


def test_overwrite_makes_everything_again(toys, tmp_path):
    out = tmp_path / "out"
    arguments = ["benchmark", str(toys), "--methods", "blur", "--black-box", "ada", "--out", str(out)]
    main(arguments)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("protections/*/images/*.png")}
    main([*arguments, "--mode", "overwrite"])
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("protections/*/images/*.png")}
    assert before.keys() == after.keys() and not before.items() & after.items()


def test_what_failed_is_tried_again_and_nothing_else(toys, tmp_path, monkeypatch):
    arguments = ["benchmark", str(toys), "--methods", "blur", "--black-box", "ada", "--out", str(tmp_path / "out")]
    protect = Blur.protect

    def fail(self, batch):
        made = protect(self, batch)
        return Protected(made.images, ["no luck" if name == "p1" else None for name in batch.ids])

    with monkeypatch.context() as patch:
        patch.setattr(Blur, "protect", fail)
        assert main(arguments) == 1
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/protections/*/images/*.png")}
    assert main(arguments) == 1  # kept as they are
    assert main([*arguments, "--mode", "failed"]) == 0
    now = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/protections/*/images/*.png")}
    assert stamps.items() <= now.items() and {path.stem for path in set(now) - set(stamps)} == {"p1"}
    assert main(["leaderboard", "--check", str(tmp_path / "out")]) == 0


def test_an_overwrite_that_is_interrupted_goes_on_without_old_images(toys, tmp_path, monkeypatch):
    arguments = ["benchmark", str(toys), "--methods", "blur,none", "--black-box", "ada", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    images = sorted((tmp_path / "out").glob("protections/*/images/*.png"))
    before = [path.stat().st_mtime_ns for path in images]
    original, calls = Runner._protect, []

    def interrupt(runner, protection):
        calls.append(protection)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(runner, protection)

    with monkeypatch.context() as patched:
        patched.setattr(Runner, "_protect", interrupt)
        assert main([*arguments, "--mode", "overwrite"]) == 2
    assert main(arguments) == 0
    assert all(path.stat().st_mtime_ns > old for path, old in zip(images, before, strict=True))


def test_a_changed_picture_is_made_again(toys, tmp_path):
    out = tmp_path / "out"
    arguments = ["benchmark", str(toys), "--methods", "blur", "--black-box", "ada", "--out", str(out)]
    main(arguments)
    picture = next(out.glob("protections/*/images/*.png"))
    good = picture.read_bytes()
    picture.write_bytes(good[: len(good) // 2])
    forget_judgements(picture.parents[1])
    assert main(arguments) == 0
    assert picture.read_bytes() == good


def test_a_changed_photo_is_protected_again(toys, tmp_path):
    out = tmp_path / "out"
    arguments = ["benchmark", str(toys), "--methods", "blur", "--black-box", "ada", "--out", str(out)]
    main(arguments)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("protections/*/images/*.png")}
    write_photo(toys.parent / "photos" / "p2.png", 77)
    main(arguments)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("protections/*/images/*.png")}
    assert {name for name in before if before[name] != after[name]} == {"p2.png"}


def test_settings_give_protections_of_their_own(toys, tmp_path):
    out = tmp_path / "out"
    for sigma in ("2", "3"):
        main(["benchmark", str(toys), "--methods", "blur", f"--blur.sigma={sigma}", "--out", str(out)])
    assert len(list((out / "protections").iterdir())) == 2
    assert len(list(out.glob("protections/*/judgements/none/*"))) == 6


def test_a_twin_of_the_judge_is_no_surrogate(toys, tmp_path, capsys):
    """The same network under another name."""
    weights = toys.parent / "weights"
    sidecar = json.loads((weights / "ada.json").read_text()) | {"name": "bob"}
    (weights / "bob.json").write_text(json.dumps(sidecar))
    thresholds = json.loads((toys.parent / "thresholds.json").read_text())
    thresholds["bob"] = thresholds["ada"]
    (toys.parent / "thresholds.json").write_text(json.dumps(thresholds))
    save_pipeline(tmp_path / "pipeline")
    arguments = ["--methods", "facecloak", f"--facecloak.backbone={tmp_path / 'pipeline'}", "--black-box", "ada"]
    assert main(["benchmark", str(toys), *arguments, "--out", str(tmp_path / "out")]) == 2
    assert "the black box ada is one of the surrogates, under the name bob" in capsys.readouterr().err


def test_an_undetected_face_is_in_no_rate(toys, tmp_path, monkeypatch):
    """The detector finds no face in the protected picture of p1."""
    out = tmp_path / "out"
    arguments = ["benchmark", str(toys), "--methods", "blur", "--black-box", "ada", "--out", str(out)]
    main(arguments)
    lost = read_image(next(out.glob("protections/*/images/p1.png")))
    find = AlignedCrop.__call__
    monkeypatch.setattr(AlignedCrop, "__call__", lambda self, i: None if np.array_equal(i, lost) else find(self, i))
    forget_judgements(next(out.glob("protections/*")))
    main(arguments)
    table = long(out)
    assert set(table["n_undetected"]) == {1} and set(table["n_psr"]) == {3} and set(table["n_failed"]) == {0}
    records = [
        json.loads(line)
        for line in next(out.glob("protections/*/judgements/*/*/records.jsonl")).read_text().splitlines()
    ]
    assert [record["detected"] for record in records] == [True, False, True, True]


def test_groups_attack_the_target_of_their_name(tmp_path, monkeypatch):
    root = tmp_path / "toys"
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(root / "weights"))
    groups = {"1": str(root / "photos"), "2": str(root / "seconds2")}
    suite = write_suite(root, sources={"groups": groups}, default_targets=["1", "2"])
    for person in (7, 8, 9):
        write_photo(root / "seconds2" / f"q{person}.png", person)
    main(["benchmark", str(suite), "--methods", "none", "--out", str(tmp_path / "out")])
    table = long(tmp_path / "out")
    assert dict(table.groupby("target")["n_images"].first()) == {1: 4, 2: 3}
    assert table["dodging"].isna().all()  # no second photos


def test_obfuscation_concerns_every_group(tmp_path, monkeypatch):
    root = tmp_path / "toys"
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(root / "weights"))
    suite = write_suite(root, sources={"groups": {"1": str(root / "photos")}, "second": str(root / "seconds")})
    arguments = ["--methods", "none", "--objective", "obfuscation", "--out", str(tmp_path / "out")]
    assert main(["benchmark", str(suite), *arguments]) == 0
    assert set(long(tmp_path / "out")["n_images"]) == {4}
