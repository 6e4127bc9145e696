"""``submission.json``: what the check finds in it, and where a board shows it."""

import json

import pytest

from benchmarks.leaderboard.results import load_results
from facecloak.errors import FacecloakError
from tests.benchmarks.handmade import answer, write_run

GOOD = {
    "method": "pgd", "authors": "A. Example | B. Example", "paper": "Mine, 2026", "code": "https://example.org/mine.git",
    "commit": "0123abc", "tuned_on": "40 drawn people", "saw_suite": False,
}  # fmt: skip


@pytest.fixture
def submitted(tmp_path):
    return write_run(tmp_path / "mine", methods=("pgd",))


def write(run, content):
    (run / "submission.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_a_good_submission_passes_and_a_board_shows_it(submitted, tmp_path, capsys):
    write(submitted, GOOD)
    assert answer(capsys, submitted)[0] == 0
    results = load_results(submitted)
    assert [each.tuned_on for each in results.submissions] == ["40 drawn people"]
    results.write(tmp_path / "board")
    text, page = ((tmp_path / "board" / name).read_text() for name in ("leaderboard.md", "index.html"))
    assert r"| pgd | A. Example \| B. Example | Mine, 2026 |" in text and "| 40 drawn people | no |" in text
    assert '"tuned_on":"40 drawn people"' in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"saw_suite": "no"}, "saw_suite must be true or false, got 'no'"),
        ({"commit": "main"}, "commit must be 7 to 40 hexadecimal digits, got 'main'"),
        ({"code": "http://example.org"}, "code must be an https address, got 'http://example.org'"),
        ({"authors": " "}, "authors must be a text, got ' '"),
        ({"tuned_on": "two\nlines"}, "tuned_on must be one line of 500 characters at most"),
        ({"paper": "x" * 501}, "paper must be one line of 500 characters at most"),
        ({"authors": ["A"]}, "authors must be a text, got ['A']"),
        ({"rating": 5}, "'rating' is not known"),
        ({"method": None}, "method must be a text, got None"),
        ({"method": "tip_im"}, "method is 'tip_im', the run holds pgd"),
    ],
)
def test_each_fault_is_named(submitted, capsys, change, said):
    write(submitted, GOOD | change)
    status, lines, _ = answer(capsys, submitted)
    assert status == 1 and len(lines) == 1 and f"{submitted}: submission.json: {said}" in lines[0]


def test_what_is_missing_and_what_is_no_json_is_named(submitted, capsys):
    write(submitted, {name: GOOD[name] for name in GOOD if name not in ("paper", "commit")})
    assert "paper is missing; commit is missing." in answer(capsys, submitted)[1][0]
    for text, said in (("[1]", "must be a mapping"), ("{", "not valid JSON")):
        write(submitted, text)
        status, lines, _ = answer(capsys, submitted)
        assert status == 1 and said in lines[0]
    with pytest.raises(FacecloakError, match="submission.json: not valid JSON"):
        load_results(submitted)


def test_a_run_with_more_than_its_method_is_a_finding(run, capsys):
    write(run, GOOD)
    assert "method is 'pgd', the run holds none, pgd" in answer(capsys, run)[1][0]
