"""Tables that are shown and written; output that is silenced during some work comes back afterwards."""

import logging
import warnings

import pandas as pd
import pytest

from benchmarks.console import RunProgress, quietly, show


def test_levels_and_filters_are_as_before_even_after_an_error():
    lightning = logging.getLogger("pytorch_lightning")
    before = lightning.level, list(warnings.filters)
    with pytest.raises(ValueError, match="x"), quietly():
        assert lightning.level == logging.ERROR and warnings.filters != before[1]
        raise ValueError("x")
    assert (lightning.level, warnings.filters) == before


def test_a_long_run_without_a_bar_says_now_and_then_how_far_it_is(capsys, monkeypatch):
    """In a pipe there is no bar, and nothing of it may be needed."""
    monkeypatch.setattr(RunProgress, "EVERY", -1.0)
    progress = RunProgress()
    with progress.running(5, "photo"):
        progress.begin("pgd:default, target 1")
        progress.advance(2)
        progress.advance(9)
    assert capsys.readouterr().out.splitlines() == [
        "2 of 5 photos done, now at pgd:default, target 1", "5 of 5 photos done, now at pgd:default, target 1",
    ]  # fmt: skip


def test_a_table_is_written_and_printed(tmp_path, capsys):
    show(tmp_path / "new", "study", pd.DataFrame({"method": ["pgd", "=1"], "PSR": [50.0, None]}))
    assert (tmp_path / "new" / "study.csv").read_bytes() == b"method,PSR\npgd,50.0\n'=1,\n"
    assert capsys.readouterr().out == "| method | PSR |\n| --- | ---: |\n| pgd | 50.0 |\n| =1 | nan |\n\n"
