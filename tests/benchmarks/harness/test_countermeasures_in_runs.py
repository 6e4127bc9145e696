"""Countermeasures in whole runs: judged at once or later, resumed, checked, and shown."""

import json
import os
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmarks.harness.countermeasures import find_countermeasures, generator
from benchmarks.leaderboard.results import Results, load_results
from benchmarks.results import store
from benchmarks.results.table import tabulate
from facecloak import benchmark, judge, load_recognizer
from facecloak.data import to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.io import read_image
from tests.forked import run
from tests.toys import write_recognizer

DONE = ["jpeg30", "crop5", "noise8"]
COST = ["seconds_per_image", "amortised_seconds_per_image", "peak_memory_mb"]


@pytest.fixture
def later(toys, tmp_path):
    """A finished run that was judged after countermeasures when it was finished."""
    benchmark(str(toys), methods=["none", "blur"], out=tmp_path / "later")
    pictures = {path: path.stat().st_mtime_ns for path in (tmp_path / "later").glob("protections/*/images/*")}
    results = judge(tmp_path / "later", countermeasures=DONE)
    assert {path: path.stat().st_mtime_ns for path in pictures} == pictures  # nothing was protected again
    return results


def test_judged_at_once_or_later_the_rows_are_the_same(toys, tmp_path, later):
    at_once = benchmark(str(toys), methods=["none", "blur"], countermeasures=DONE, out=tmp_path / "once")
    assert {*at_once.table["countermeasure"]} == {"none", *DONE}
    pd.testing.assert_frame_equal(at_once.table.drop(columns=COST), later.table.drop(columns=COST))
    assert len(at_once.judgements) == 4 * 6


def test_cosines_are_those_of_the_altered_pictures(later):
    """Computed again without the harness; the photo that a picture is compared with is not altered."""
    images = later.images.set_index(["countermeasure", "method", "black_box", "id"])
    folder = next(path for path in later.protections.values() if path.name.startswith("blur"))
    suite = next(iter(later.runs)).parent / "toys"

    def embedding(image):
        pixels = crop(to_tensor([image]), torch.tensor([[4.0, 4, 60, 60]]), recognizer.input_size)
        return recognizer(pixels)[0]

    recognizer = load_recognizer("ada", differentiable=False)
    test = embedding(read_image(suite / "targets" / "100_test.png"))
    for name in DONE:
        (found,) = find_countermeasures([name])
        for path, column, method in (
            (folder / "images" / "p2.png", "cosine_target", "blur"),
            (suite / "photos" / "p2.png", "cosine_clean_target", "blur"),
        ):
            altered = found.load()(read_image(path), generator(name, "p2"))
            if altered.shape[0] != 64:
                altered = np.asarray(Image.fromarray(altered).resize((64, 64), Image.Resampling.LANCZOS))
            cosine = float(embedding(altered) @ test)
            assert images.loc[(name, method, "ada", "p2"), column] == pytest.approx(cosine, abs=1e-5)


def test_the_board_is_about_published_pictures_and_the_matrix_about_all(tmp_path, later):
    without = published_only(later)
    board = later.summary(far=0.01).drop(columns="seconds_per_image")
    pd.testing.assert_frame_equal(board, without.summary(far=0.01).drop(columns="seconds_per_image"))
    lines = later.survival
    assert len(lines) == 2 * (1 + len(DONE)) and not lines["psr"].isna().any()
    rows = later.table[(later.table["far"] == 0.01) & (later.table["method"] == "blur")]
    for name, own in rows.groupby("countermeasure"):
        line = lines[(lines["countermeasure"] == name) & (lines["name"] == "blur:default")]
        assert line["psr"].item() == pytest.approx(own["psr"].mean())
        assert line["psr_clean"].item() == pytest.approx(own["psr_clean"].mean())
    later.write(tmp_path / "board")
    assert pd.read_csv(tmp_path / "board" / "countermeasures.csv")["countermeasure"].nunique() == 4
    assert (
        "as published | jpeg30 | noise8 | crop5 | worst | mean" in (tmp_path / "board" / "leaderboard.md").read_text()
    )
    assert (tmp_path / "board" / "plots" / "toys_impersonation_survival.png").is_file()
    without.write(tmp_path / "board")
    assert not (tmp_path / "board" / "countermeasures.csv").exists()
    assert not (tmp_path / "board" / "plots" / "toys_impersonation_survival.png").exists()


def published_only(results):
    """The same results, from the judgements of published pictures only."""
    kept = {name: each for name, each in results.judgements.items() if "/none/" in name}
    return Results(tabulate(kept.values()), results.published, kept, runs=results.runs)


def test_a_column_of_which_a_judge_is_missing_has_no_rate(later):
    """Otherwise it would be the mean over fewer judges, beside means over all."""
    folder = next(each.folder for name, each in later.judgements.items() if "/jpeg30/bob" in name and "blur" in name)
    (folder / "judgement.json").unlink()
    lines = load_results(later.runs[0]).survival.set_index(["countermeasure", "name"])["psr"]
    assert np.isnan(lines["jpeg30", "blur:default"]) and not np.isnan(lines["jpeg30", "none:default"])
    assert not np.isnan(lines["noise8", "blur:default"])


def test_a_run_that_is_killed_while_it_judges_goes_on(toys, tmp_path, later):
    def patch():
        write, calls = store.write_json, []

        def dying(path, value):
            if path.name == "judgement.json":
                calls.append(path)
                if len(calls) == 5:
                    os.kill(os.getpid(), signal.SIGKILL)
            write(path, value)

        store.write_json = dying

    out, names = tmp_path / "out", ",".join(DONE)
    arguments = ["benchmark", toys, "--methods", "none,blur", "--countermeasures", names, "--out", out]
    assert run(*arguments, patch=patch).returncode == -signal.SIGKILL
    ended = run(*arguments)
    assert ended.returncode == 0 and "4 of 24 judgements were done before" in ended.stdout, ended.stdout
    table = load_results(out).table
    pd.testing.assert_frame_equal(table.drop(columns=COST), later.table.drop(columns=COST))
    assert "24 existed already" in run("judge", out, "--countermeasures", names).stdout


def test_the_check_computes_altered_cosines_again(later):
    home = later.runs[0]
    sound = run("leaderboard", "--check", "--rejudge", home)
    assert sound.returncode == 0 and not sound.stderr.strip().startswith("not judged"), sound.stdout + sound.stderr
    (folder, *_) = [each.folder for name, each in later.judgements.items() if "/jpeg30/" in name and "blur" in name]
    lines = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    lines[0]["cosine"]["self"] += 1e-3
    (folder / "records.jsonl").write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
    found = run("leaderboard", "--check", "--rejudge", home)
    assert found.returncode == 1 and "jpeg30" in found.stdout and "the picture gives" in found.stdout


def test_what_cannot_be_done_is_said_before_anything_is_protected(toys, tmp_path):
    for names, said in (("jpg30", "Did you mean"), ("purify301", "needs a diffusion model, but suite toys has none")):
        with pytest.raises(FacecloakError, match=said):
            benchmark(str(toys), countermeasures=[names], out=tmp_path / "out")
        assert not (tmp_path / "out" / "protections").exists()
    benchmark(str(toys), methods=["none"], out=tmp_path / "out")
    with pytest.raises(FacecloakError, match="nothing to judge again"):
        judge(tmp_path / "out")
    with pytest.raises(FacecloakError, match="nowhere: no such folder"):
        judge(tmp_path / "nowhere")


def test_thresholds_of_a_recognizer_whose_weights_have_changed_are_not_used(toys, tmp_path):
    benchmark(str(toys), methods=["none"], out=tmp_path / "out")
    write_recognizer(toys.parent / "weights", "ada", seed=1)
    with pytest.raises(FacecloakError, match="ada"):
        judge(tmp_path / "out", countermeasures=["jpeg30"])
    assert not list((tmp_path / "out").glob("protections/*/judgements/jpeg30"))


def test_they_are_listed_with_what_they_do():
    said = run("list").stdout
    assert "purify301" in said and "saved as JPEG of quality 30" in said
