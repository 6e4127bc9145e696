"""Mistakes give one clear line and exit status 2, or a recorded outcome of the image; failures never look finished."""

import errno
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import torch
import yaml

import benchmarks.results.store
from baselines.naive import NoProtection
from facecloak.cli.main import main
from facecloak.method import Protected
from tests.toys import write_suite


def change(suite, **values):
    content = yaml.safe_load(suite.read_text())
    suite.write_text(yaml.safe_dump({**content, **values}))


def fails(capsys, *arguments) -> str:
    """The error line of a command that must fail."""
    assert main([str(argument) for argument in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    return lines[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "facecloack"], "Did you mean 'facecloak'?"),
        (["--methods", "blur:strong"], "no preset of blur named 'strong'"),
        (["--methods", "blur", "--blur.sigmas=3"], "Did you mean 'sigma'?"),
        (["--methods", "blur", "--blur.sigma=much"], "sigma"),
        (["--methods", "blur", "--blur.sigma=-1"], "sigma must be a number above 0"),
        (["--methods", "facecloak", "--facecloak.start_step=20"], "start_step must be between"),
        (["--methods", "facecloak", "--facecloak.lr=0"], "lr and embedding_lr must be above 0"),
        (["--methods", "none", "--blur.sigma=3"], "'blur' is not one of the methods of this run (none)"),
        (["--targets", "3"], "Known: 1, 2."),
        (["--black-box", "adda"], "Did you mean 'ada'?"),
        (["--config", "missing.yaml"], "missing.yaml: no such file"),
        (["--objective", "obfuscation", "--targets", "1"], "leave --targets out"),
        (["--accelerator", "gpu"], "There is no GPU here"),
        (["--methods", "blur,facecloak", "--facecloak.precision=fp16", "--accelerator", "cpu"], "fp16 needs a GPU"),
    ],
)
def test_a_wrong_argument_is_one_line(toys, tmp_path, capsys, arguments, message):
    assert message in fails(capsys, "benchmark", toys, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists(), "something was made before"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["benchmark", "poket"], "Did you mean 'pocket'?"),
        (["benchmark", "pocket", "--methods", "none,facecloack"], "Did you mean 'facecloak'?"),
        (["protect", "me.jpg", "--method", "pdg:single"], "Did you mean 'pgd'?"),
    ],
)
def test_a_misspelt_name_is_found_before_libraries_are_loaded(arguments, said):
    program = f"import sys; from facecloak.cli.main import main; print(main({arguments}), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said in done.stderr and done.stdout == "2 False\n"


def test_an_unknown_argument_is_named(toys, capsys):
    with pytest.raises(SystemExit):
        main(["benchmark", str(toys), "--limits", "3"])
    assert "--limits" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["list", "--a.b=1"], ["calibrate", "x", "--out", "y", "--a.b=1"], ["benchmark", "x", "--methods", ""]]
)
def test_a_stray_or_empty_argument_is_named(capsys, arguments):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "unknown argument '--a.b=1'" in (error := capsys.readouterr().err) or "must be at least one name" in error


def test_a_target_without_a_test_photo_is_refused(toys, tmp_path, capsys):
    content = yaml.safe_load(toys.read_text())
    del content["targets"]["pairs"][0]["test"]
    change(toys, targets=content["targets"])
    assert "targets.pairs[0].test is missing" in fails(capsys, "benchmark", toys, "--out", tmp_path / "out")


def test_a_second_folder_that_is_missing(toys, tmp_path, capsys):
    change(toys, sources={"folder": str(tmp_path / "toys" / "photos"), "second": str(tmp_path / "gone")})
    assert "gone: no such folder" in fails(capsys, "benchmark", toys, "--out", tmp_path / "out")


def test_a_target_without_a_face_is_found_before_any_work(toys, tmp_path, capsys):
    """The toys are patterns, in which MTCNN finds no face."""
    change(toys, detect=True)
    assert "100.png: no face found" in fails(capsys, "benchmark", toys, "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "protections").exists()


def test_an_unknown_suite_is_suggested(capsys):
    assert "Did you mean 'celeba_hq_pairs'?" in fails(capsys, "benchmark", "celeba_hq_pair")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"surrogates": ["ada", "bob"], "methods": {"pgd": {}}}, "the black box ada is one of the surrogates"),
        ({"image_size": "big"}, '"image_size": Expected'),
        ({"image_size": 0}, "image_size must be between 1 and 16384"),
        ({"fars": None}, "fars needs a value"),
        ({"fars": [0.05]}, "no threshold at FAR 0.05"),
        ({"methods": {"blur": None}}, "methods"),
        ({"features": "mtccn"}, "Did you mean 'mtcnn'?"),
        ({"recognizers": ["ada"]}, "recognizers must have two or more names"),
        ({"crop": "tight"}, "crop must be mtcnn, arcface or"),
        ({"colour": 1}, "There is no setting of"),
        ({"default_targets": ["7"]}, "named '7'"),
        ({"methods": {"blur": {"sigma": "wide"}}}, "sigma"),
    ],
)
def test_a_wrong_suite_is_one_line(toys, tmp_path, capsys, values, message):
    change(toys, **values)
    arguments = ["--black-box", "ada", "--out", tmp_path / "out"]
    assert message in fails(
        capsys, "benchmark", toys, "--methods", "pgd" if "surrogates" in values else "blur", *arguments
    )


def test_missing_weights_say_which_file_and_where_it_goes(toys, tmp_path, capsys):
    (tmp_path / "toys" / "weights" / "bob.onnx").unlink()
    line = fails(capsys, "benchmark", toys, "--out", tmp_path / "out")
    assert "bob.onnx" in line and str(tmp_path / "toys" / "weights") in line


def test_thresholds_of_other_weights_are_refused(toys, tmp_path, capsys):
    thresholds = tmp_path / "toys" / "thresholds.json"
    table = json.loads(thresholds.read_text())
    table["ada"]["weights_sha256"] = "0" * 64
    thresholds.write_text(json.dumps(table))
    assert "facecloak calibrate" in fails(capsys, "benchmark", toys, "--out", tmp_path / "out")


def test_an_empty_folder(toys, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    change(toys, sources={"folder": str(tmp_path / "empty")})
    assert f"{tmp_path / 'empty'}: no image in it" in fails(capsys, "benchmark", toys, "--out", tmp_path / "out")


def test_an_unreadable_photo_is_an_outcome_and_in_no_rate(toys, tmp_path, capsys):
    (tmp_path / "toys" / "photos" / "p1.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    (tmp_path / "toys" / "photos" / "p2.png").write_text("not a picture")
    arguments = ["benchmark", str(toys), "--methods", "none", "--out", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert "2 sources were unusable" in capsys.readouterr().err
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    assert set(table["n_unusable"]) == {2} and set(table["n_images"]) == {4} and set(table["n_psr"]) == {2}
    assert set(table["n_failed"]) == {0}
    assert (table["psr"] == table["psr_clean"]).all() and (table["joint"] == table["joint_clean"]).all()
    records = next((tmp_path / "out").glob("protections/*/judgements/*/*/records.jsonl")).read_text().splitlines()
    errors = {record["id"]: record["error"] for record in map(json.loads, records)}
    assert "not a readable image" in errors["p1"] and "not an image file" in errors["p2"]
    assert errors["p0"] is errors["p3"] is None


def test_a_photo_that_breaks_later_leaves_no_picture(toys, tmp_path):
    arguments = ["benchmark", str(toys), "--methods", "blur", "--black-box", "ada", "--out", str(tmp_path / "out")]
    main(arguments)
    (tmp_path / "toys" / "photos" / "p1.png").write_text("not a picture")
    assert main(arguments) == 1
    pictures = {path.name for path in (tmp_path / "out").glob("protections/*/images/*")}
    assert pictures == {"p0.png", "p2.png", "p3.png"}


def test_only_unreadable_photos_are_an_error(toys, tmp_path, capsys):
    for photo in (tmp_path / "toys" / "photos").iterdir():
        photo.write_text("not a picture")
    assert "none of 4 photos is usable" in fails(capsys, "benchmark", toys, "--out", tmp_path / "out")


def test_a_nan_is_an_outcome_of_its_image_alone(toys, tmp_path, monkeypatch):
    def protect(self, batch):
        images = batch.images.clone()
        for image, name in zip(images, batch.ids, strict=True):
            if name == "p2":
                image[0, 0, 0] = torch.nan
        return Protected(images, [None] * len(batch.ids))

    monkeypatch.setattr(NoProtection, "protect", protect)
    arguments = ["benchmark", str(toys), "--methods", "none", "--black-box", "ada", "--batch-size", "4"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 1
    pictures = {path.name for path in (tmp_path / "out").glob("protections/*/images/*")}
    assert pictures == {"p0.png", "p1.png", "p3.png"}
    assert set(pd.read_csv(tmp_path / "out" / "leaderboard.csv")["n_failed"]) == {1}


def test_a_folder_that_cannot_be_written(toys, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "cannot write there" in fails(capsys, "benchmark", toys, "--out", tmp_path / "file" / "out")


def test_a_disk_that_fills_up_loses_nothing(toys, tmp_path, capsys, monkeypatch):
    """There is no room for the third outcome; when there is room again, the same command continues."""
    arguments = ["benchmark", str(toys), "--methods", "blur", "--black-box", "ada", "--out", str(tmp_path / "out")]
    write, count = benchmarks.results.store.write_json, 0

    def full(path, value):
        nonlocal count
        count += path.parent.name == "outcomes"
        if count == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, value)

    with monkeypatch.context() as context:
        context.setattr(benchmarks.results.store, "write_json", full)
        line = fails(capsys, *arguments)
    assert "No space left on device" in line and "same command again" in line
    assert not list((tmp_path / "out").glob("protections/*/judgements/*/*/judgement.json"))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("protections/*/outcomes/*")}
    assert len(kept) == 2
    assert main(arguments) == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())


def test_two_sources_of_one_name(tmp_path, capsys, monkeypatch):
    root = tmp_path / "toys"
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(root / "weights"))
    suite = write_suite(root, sources={"groups": {"1": str(root / "photos"), "2": str(root / "seconds")}})
    assert "'p0' is in two groups" in fails(capsys, "benchmark", suite, "--out", tmp_path / "out")
