"""The searches of each method's settings: the trials of `facecloak sweep`, and the best of them on more photos."""

import dataclasses

import pandas as pd
import pytest

from benchmarks.studies import searches
from benchmarks.sweep.command import read_arguments
from benchmarks.sweep.local import first_commands
from facecloak.errors import FacecloakError


def run(monkeypatch, score):
    """All lines of the search of pgd, and what each trial was called with, where ``score`` is of (ε, photos)."""
    seen = []

    def run_trial(arguments, report):
        options, settings = read_arguments(arguments)
        seen.append((options, settings))
        objective, psnr = score(int(settings.get("pgd.epsilon", 0)), options.limit)
        return {"objective": objective, "psr": objective} | ({} if psnr is None else {"psnr": psnr})

    monkeypatch.setattr(searches, "run_trial", run_trial)
    return searches.search(searches.FILES / "pgd.yaml", "runs/trials"), seen


def test_the_trials_are_those_of_the_sweep(monkeypatch, tmp_path):
    table, seen = run(monkeypatch, lambda epsilon, limit: (0.0, 30.0))
    assert table["trial"].tolist()[:13] == [-1, *range(12)]
    typed = [*first_commands(searches.FILES / "pgd.yaml", tmp_path, 10)][:10]
    names = ("epsilon", "iterations")
    words = [f"--pgd.{name}={settings[f'pgd.{name}']}" for _, settings in seen[1:11] for name in names]
    assert [word for line in typed for word in line.split() if word.startswith("--pgd.")] == words
    assert not seen[0][1] and len({str(settings) for _, settings in seen[1:13]}) > 8
    options = seen[0][0]
    assert (options.methods, options.black_box) == (["pgd"], ["pocket_irse", "pocket_mobile"])
    assert (options.objective, options.floor, str(options.out)) == ("impersonation", 24.0, "runs/trials")


def test_the_best_two_are_measured_again_on_more_photos(monkeypatch):
    table, seen = run(monkeypatch, lambda epsilon, limit: (float(epsilon), 40.0 - epsilon))
    assert [options.limit for options, _ in seen] == [1] * 13 + [3] * 3
    again, trials = table[13:], table[1:13]
    assert again["trial"].tolist()[0] == -1
    assert again["score"].tolist()[1:] == sorted(trials["score"], reverse=True)[:2]


def test_equal_scores_are_told_apart_by_quality(monkeypatch):
    table, _ = run(monkeypatch, lambda epsilon, limit: (50.0, 40.0 - epsilon))
    assert table[14:]["PSNR dB"].tolist() == sorted(table[1:13]["PSNR dB"], reverse=True)[:2]


def test_a_trial_without_a_psnr_comes_behind_its_equals(monkeypatch):
    """`run_trial` gives none if all pictures have failed, or are identical to their sources."""
    table, _ = run(monkeypatch, lambda epsilon, limit: (50.0, None if epsilon == 0 or epsilon > 25 else epsilon))
    assert pd.isna(table["PSNR dB"][0]) and table[1:13]["PSNR dB"].isna().sum() > 2
    assert table[14:]["PSNR dB"].tolist() == sorted(table[1:13]["PSNR dB"].dropna(), reverse=True)[:2]
    (line,) = searches.summary(table).to_dict("records")
    assert pd.isna(line["PSNR dB"]) and line["its PSNR dB"] == table[1:13]["PSNR dB"].max()


def test_the_number_of_trials_is_the_files(monkeypatch):
    sweep = searches.load_sweep(searches.FILES / "pgd.yaml")
    monkeypatch.setattr(searches, "load_sweep", lambda path: dataclasses.replace(sweep, run_cap=3))
    table, _ = run(monkeypatch, lambda epsilon, limit: (0.0, 30.0))
    assert len(table) == 4 + 3 and "best of 3" in searches.summary(table)
    with pytest.raises(FacecloakError, match=r"pgd\.yaml: run_cap is missing"):
        next(searches.trials_of(dataclasses.replace(sweep, run_cap=None)))


def test_two_trials_with_the_same_values_are_one(monkeypatch):
    """Trials draw their values independently, so that two may be the same."""
    own, first, *_ = [*searches.trials_of(searches.load_sweep(searches.FILES / "pgd.yaml"))]
    monkeypatch.setattr(searches, "trials_of", lambda sweep: [own, first, first, first])
    table, _ = run(monkeypatch, lambda epsilon, limit: (float(epsilon), 30.0))
    assert table["trial"].tolist() == [-1, 0, 0, 0, -1, 0]


def test_settings_are_shown_with_three_digits():
    assert searches._short("step=0.005246973887727632, norm=linf, epsilon=13") == "step=0.00525, norm=linf, epsilon=13"


@pytest.mark.parametrize("lucky", [8, 20, 32])
def test_the_summary_is_of_the_second_measurement(monkeypatch, lucky):
    table, _ = run(monkeypatch, lambda epsilon, limit: (100.0 - abs(epsilon - lucky) if limit == 1 else epsilon, 30.0))
    (line,) = searches.summary(table).to_dict("records")
    again = table[table["photos of a target"] == 3]
    assert line["its score"] == again["score"].max() and line["score"] == again["score"].iloc[0] == 0
    assert line["best of 12"] == again.loc[again["score"].idxmax(), "settings"]


def test_it_refuses_the_suites_own_people(monkeypatch, capsys):
    monkeypatch.delenv("FACECLOAK_POCKET", raising=False)
    assert searches.main(["--files", "pgd"]) == 2
    assert "--stages tuning" in capsys.readouterr().err


def test_what_is_written(monkeypatch, tmp_path):
    monkeypatch.setenv("FACECLOAK_POCKET", "elsewhere")
    monkeypatch.setattr(
        searches, "run_trial", lambda arguments, report: {"objective": 25.04, "psr": 30.0, "psnr": 23.504}
    )
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "earlier.csv").write_text("method,trial\nearlier,0\n")  # of a file that is not asked for
    assert searches.main(["--files", "pgd,lowkey", "--out", str(tmp_path)]) == 0
    table, best = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("searches", "searches_best"))
    assert len(table) == 2 * 16 and set(table["score"]) == {25.0} and set(table["PSNR dB"]) == {23.5}
    assert best["method"].tolist() == ["lowkey", "pgd"]
