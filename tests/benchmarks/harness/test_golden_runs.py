"""The pictures, cosines and rates of small runs are those of the golden files, to the last bit on the same platform."""

import json

import pytest

from tests.benchmarks.harness.golden_runs import FOLDER, RUNS, platform, run

ROUNDING = 1e-9  # tolerance of means; cosines and pictures are compared exactly


@pytest.mark.parametrize("name", RUNS)
def test_a_run_gives_the_golden_pictures_cosines_and_rates(name, tmp_path, monkeypatch):
    golden = json.loads((FOLDER / f"{name}.json").read_text())
    if golden["platform"] != platform():
        pytest.skip(
            f"the golden files were made on {golden['platform']}, this is {platform()}: gradients round otherwise"
        )
    monkeypatch.setenv("FACECLOAK_WEIGHTS", "")  # the run sets it; restored afterwards
    cells = run(name, tmp_path)["cells"]
    assert cells.keys() == golden["cells"].keys()
    for cell, expected in golden["cells"].items():
        assert cells[cell]["photos"] == expected["photos"], cell
        for far, rates in expected["rates"].items():
            found = cells[cell]["rates"][far]
            numbers = {column: value for column, value in rates.items() if isinstance(value, float)}
            assert {column: found[column] for column in numbers} == pytest.approx(numbers, abs=ROUNDING), (cell, far)
            rest = {column: value for column, value in rates.items() if column not in numbers}
            assert {column: found[column] for column in rest} == rest, (cell, far)
