"""The page of a sweep in a real browser: what it shows, and what is not in its file."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from optuna.trial import TrialState

from benchmarks.sweep.ends import END
from benchmarks.sweep.files import load_sweep
from benchmarks.sweep.page import write_page
from benchmarks.sweep.report import VALUES
from benchmarks.sweep.study import ask, open_study
from tests.benchmarks.leaderboard.page_visits import EVIL, column, head, numbers

pytest_plugins = ["tests.benchmarks.leaderboard.page_fixtures"]
FILE = Path(__file__).parents[3] / "sweeps" / "embeddings.yaml"
TRIALS = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A sweep with trials that are complete, ended early, running and failed; one has no PSNR, and the name is evil."""
    folder = tmp_path_factory.mktemp("sweep")
    content = yaml.safe_load(FILE.read_text()) | {"name": EVIL, "description": "what it is for"}
    content["parameters"]["facecloak.mode"] = {"values": ["one", EVIL, True]}
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    sweep = load_sweep(folder / "mine.yaml")
    study = open_study(sweep, "sqlite://")
    for number in range(TRIALS):
        trial = ask(study, sweep, "sqlite://", "me")
        trial.set_user_attr(VALUES, sweep.values(trial.params))
        if number == TRIALS - 1:
            break  # it is running and has judged nothing
        psr, psnr = 5.0 * number, None if number == 3 else 30.0 - number
        for name, value in {"objective": psr, "psr": psr, "psnr": psnr, "seconds_per_image": 1.5}.items():
            if value is not None:
                trial.set_user_attr(name, value)
        study.tell(trial, None if number == 5 else psr, state=TrialState.PRUNED if number == 5 else TrialState.COMPLETE)
    failed = ask(study, sweep, "sqlite://", "me")
    failed.set_user_attr("objective", 99.0)  # after its first cell
    failed.set_user_attr(END, "out of memory")
    study.tell(failed, state=TrialState.FAIL)
    study.tell(ask(study, sweep, "sqlite://", "me"), state=TrialState.FAIL)  # it was surplus, and is not shown
    write_page(study, sweep, folder / "out")
    return SimpleNamespace(study=study, sweep=sweep, file=folder / "out" / "sweep.html", ready="#trials table")


@pytest.fixture
def data(made):
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', made.file.read_text(), re.DOTALL)
    return json.loads(block[1])


def test_every_trial_is_a_line_and_the_best_says_how_to_go_on(visit, data, made):
    page = visit()
    assert page.title().endswith("a sweep of facecloak") and "hacked" not in page.title().split(",")[-1]
    assert "10 finished trials, 1 ended early, 1 out of memory, 1 running." in page.inner_text("#summary")
    assert page.inner_text("#best-title") == "Best: trial 10, score 50.0"
    assert page.inner_text("#again") == data["again"]
    assert data["again"].startswith("facecloak benchmark pocket --methods facecloak --config ")
    scores = numbers(column(page, "objective", "#trials"))
    assert (
        scores == [50, 45, 40, 35, 30, 25, 20, 15, 10, 5, 0]
        and column(page, "objective", "#trials")[-2:] == ["missing"] * 2
    )
    head(page, "=facecloak.lr", "#trials").locator("button").click()
    rates = [float(text) for text in column(page, "=facecloak.lr", "#trials")]
    assert rates == sorted(rates, reverse=True) and len(rates) == TRIALS + 1


def test_a_trial_that_is_chosen_shows_its_command_and_is_marked_everywhere(visit, data):
    page = visit()
    page.locator('#history .mark[data-trial="4"]').click()
    assert page.inner_text("#command") == next(each["command"] for each in data["trials"] if each["number"] == 4)
    assert page.inner_text("#chosen-title") == "trial 4, finished" and "30.0" not in page.inner_text("#chosen dl")
    marked = page.locator(".hot:not(.reach)").evaluate_all("all => all.map(e => e.dataset.trial)")
    assert marked == ["4", "4", "4"]  # in the history, the front and the lines
    page.click("#close")
    assert page.is_hidden("#chosen")
    page.locator("#trials .open").first.click()
    assert page.inner_text("#chosen-title") == "trial 10, finished"


def test_marks_can_be_reached_by_keyboard(visit):
    page = visit()
    page.locator('#pareto .mark[data-trial="0"]').focus()
    assert page.inner_text("#status").startswith("trial 0, finished: score 0.0, PSR 0.0 %, 30.0 dB; ")
    page.keyboard.press("Enter")
    assert page.inner_text("#chosen-title") == "trial 0, finished"


def test_the_charts_show_the_trials_that_they_can(visit):
    page = visit()
    assert page.locator("#history .mark").count() == TRIALS - 1
    assert page.locator("#pareto .mark").count() == TRIALS - 2  # without the one that has no PSNR
    assert page.locator("#history .mark.early").count() == 1 and page.locator("#history .mark.best").count() == 1
    front = page.locator("#pareto .mark.on-front").evaluate_all("all => all.map(e => Number(e.dataset.trial))")
    assert sorted(front) == [0, 1, 2, 4, 6, 7, 8, 9, 10]  # each has more PSR and less PSNR than the one before
    assert page.locator("#parallel .line").count() == TRIALS - 1
    assert page.locator("#parallel .name").all_text_contents()[-1:] == ["score"]
    assert page.locator("#importance rect").count() == 4
    places = page.locator("#history .mark .dot").evaluate_all("all => all.map(e => Number(e.getAttribute('cy')))")
    assert places == sorted(places, reverse=True)  # a higher score is further up


def test_light_and_dark_and_a_phone(visit):
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = visit(), visit(scheme="dark")
    assert light.evaluate(ground) == "rgb(255, 255, 255)" != dark.evaluate(ground)
    assert visit(width=390).evaluate("document.documentElement.scrollWidth") <= 390


def test_a_sweep_without_results_has_a_page(tmp_path, made):
    study = open_study(made.sweep, "sqlite://")
    ask(study, made.sweep, "sqlite://", "me")
    write_page(study, made.sweep, tmp_path)
    text = (tmp_path / "sweep.html").read_text()
    assert '"best":null' in text
