"""`python -m benchmarks.studies.fairness`: groups of pocket's people, against counts by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.studies import fairness
from benchmarks.studies.fairness import MEASURES, compare, describe, main, measure
from benchmarks.suites.suite import load_suite
from facecloak import benchmark
from facecloak.errors import FacecloakError
from facecloak.pocket.drawing.identity import identities


def test_groups_are_what_people_are_drawn_from():
    people = [source.name for source in load_suite("pocket").load_sources()]
    table = describe(people)
    assert table["sex"].value_counts().to_dict() == {"women": 12, "men": 12}
    assert table["skin"].value_counts().to_dict() == {"darker": 14, "lighter": 10}
    for name in people[::5]:
        drawn = identities([int(name)])
        assert (table.loc[name, "sex"] == "women") == bool(drawn.feminine.item())
        assert (table.loc[name, "skin"] == "darker") == (drawn.melanin.item() > 0.55)
    with pytest.raises(FacecloakError, match="anna is not one of the people"):
        describe(["anna"])


def test_rates_and_differences_are_those_of_the_records(tmp_path, capsys):
    results = benchmark("pocket", methods=["none", "blur"], objective="obfuscation", limit=2, out=tmp_path / "run")
    lines = measure(results)
    assert len(lines) == 2 * 8 * 5 and {*lines["method"]} == {"none", "blur"}
    blur = lines[lines["method"] == "blur"]
    assert blur["psr"].mean() == pytest.approx(
        100 * results.table.query("far == 0.01 and method == 'blur'")["psr"].mean()
    )
    assert main([str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    assert "women − men" in capsys.readouterr().out
    table = compare(lines).set_index(["method", "measure", "groups"])
    for kind, groups, names in (
        ("sex", "women − men", ("women", "men")),
        ("skin", "lighter − darker", ("lighter", "darker")),
    ):
        row = table.loc["blur", "dodging", groups]
        sides = [blur.loc[blur[kind] == name, "dodging"].mean() for name in names]
        assert (
            row["difference"] == pytest.approx(sides[0] - sides[1]) and row["low"] <= row["difference"] <= row["high"]
        )
    assert len(table) == 2 * len(MEASURES) * 2 and len(pd.read_csv(tmp_path / "out" / "fairness.csv")) == len(table)
    written = pd.read_csv(tmp_path / "out" / "fairness.csv", dtype=str)
    texts = [f"{row:z.1f}".replace("-", "−") for row in compare(lines)["difference"]]
    assert written["difference"].tolist() == texts and any(text.startswith("−") for text in texts)
    assert not written["95 %"].str.contains("['+-]").any()


def test_an_interval_of_a_difference_covers_it_about_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(fairness, "MEASURES", {"dodging": "dodging"})
    monkeypatch.setattr(fairness, "GROUPS", {"sex": ("women", "men")})
    hits = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        people = [f"{number}" for number in range(24)]
        sex = np.where(np.arange(24) < 12, "women", "men")
        own = random.uniform(20, 80, 24) + np.where(sex == "women", 10, 0)  # women have 10 points more
        (row,) = compare(pd.DataFrame({"method": "m", "id": people, "sex": sex, "dodging": own})).to_dict("records")
        hits += row["low"] <= 10 <= row["high"]
    assert 85 <= hits <= 99
