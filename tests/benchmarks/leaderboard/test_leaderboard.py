"""The contents of the tables, and when a cell is judged again."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.leaderboard.averages import wide_table
from benchmarks.results.store import find_judgements
from benchmarks.results.table import long_table
from facecloak.cli.main import main
from tests.toys import write_photo, write_recognizer


def long(out):
    return pd.read_csv(out / "leaderboard.csv")


def test_rows_of_other_photos_do_not_mix(toys, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert main(["benchmark", str(toys), "--methods", "none", "--limit", "2", *out]) == 0
    assert main(["benchmark", str(toys), "--methods", "blur", "--limit", "3", *out]) == 2
    assert "differs from this run in manifest_sha256" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("protections/blur*"))


def test_runs_of_one_folder_add_up_to_one_table(toys, tmp_path):
    out = ["--out", str(tmp_path / "out")]
    main(["benchmark", str(toys), "--methods", "none,blur", *out])
    whole = (tmp_path / "out" / "leaderboard.csv").read_bytes()
    main(["benchmark", str(toys), "--methods", "none", "--black-box", "ada", *out])
    assert (tmp_path / "out" / "leaderboard.csv").read_bytes() == whole
    main(["benchmark", str(toys), "--methods", "blur", "--blur.sigma=2", *out])
    table = long(tmp_path / "out")
    assert len(table) == 3 * 3 * 2 and set(table["preset"]) == {"default", "default*"}


def test_wide_averages_count_every_cell_once(toys, tmp_path):
    out = tmp_path / "out"
    main(
        ["benchmark", str(toys), "--methods", "none,blur,blur:default", "--black-box", "ada,ada,bob", "--out", str(out)]
    )
    wide = pd.read_csv(out / "leaderboard_wide.csv").set_index("method")
    assert list(wide["n_images"]) == [8, 8] and wide["average psr"].notna().all()
    headline = long(out).query("far == 0.01 and method == 'blur'")
    assert wide.loc["blur", "average dodging"] == pytest.approx(100 * headline["dodging"].mean())
    next(out.glob("protections/blur*/judgements/none/bob/judgement.json")).unlink()
    table = long_table(find_judgements([out]))
    assert np.isnan(wide_table(table).set_index("method").loc["blur", "average psr"])  # missing, not averaged away


def change_target_test(root):
    write_photo(root / "targets" / "100_test.png", 55)


def change_gallery(root):
    write_photo(root / "seconds" / "p3.png", 56)


def change_threshold(root):
    table = json.loads((root / "thresholds.json").read_text())
    table["ada"]["fars"]["0.01"]["threshold"] = -1
    (root / "thresholds.json").write_text(json.dumps(table))


def change_judge(root):
    """Another network under the name of the judge, with thresholds that are not bound to weights."""
    table = json.loads((root / "thresholds.json").read_text())
    table["ada"]["weights_sha256"] = None
    (root / "thresholds.json").write_text(json.dumps(table))
    write_recognizer(root / "weights", "ada", seed=1)


@pytest.mark.parametrize("change", [change_target_test, change_gallery, change_threshold, change_judge])
def test_what_a_judgement_depends_on_is_judged_again(toys, tmp_path, change):
    arguments = ["benchmark", str(toys), "--methods", "blur", "--black-box", "ada", "--limit", "3", "--out"]
    main([*arguments, str(tmp_path / "out")])
    before = long(tmp_path / "out")
    change(toys.parent)
    main([*arguments, str(tmp_path / "out")])
    main([*arguments, str(tmp_path / "fresh")])
    skip = ["seconds_per_image", "amortised_seconds_per_image", "peak_memory_mb"]
    after, fresh = long(tmp_path / "out").drop(columns=skip), long(tmp_path / "fresh").drop(columns=skip)
    pd.testing.assert_frame_equal(after, fresh)
    assert not before.drop(columns=skip).equals(after) or change is change_gallery


def test_what_a_benchmark_writes_passes_the_check(toys, tmp_path, capsys):
    """Black and white boxes, both objectives, a photo that cannot be read."""
    (toys.parent / "photos" / "p3.png").write_bytes(b"no picture")
    out = ["--out", str(tmp_path / "run" / "out")]
    main(["benchmark", str(toys), "--methods", "none,blur,pgd:ensemble", "--targets", "all", *out])
    main(["benchmark", str(toys), "--methods", "pgd:ensemble", "--white-box", "ada", *out])
    main(["benchmark", str(toys), "--methods", "none,pgd:single", "--objective", "obfuscation", *out])
    capsys.readouterr()
    assert main(["leaderboard", "--check", str(tmp_path / "run")]) == 0, capsys.readouterr().out
    assert "25 judgements" in capsys.readouterr().out
