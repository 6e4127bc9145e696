"""The page's tables of countermeasures and of equal quality, made from a whole run and used in a real browser."""

from types import SimpleNamespace

import pytest

from facecloak import curves, judge
from tests.benchmarks.leaderboard.page_visits import column, head, numbers
from tests.toys import write_suite

pytest_plugins = ["tests.benchmarks.leaderboard.page_fixtures"]

DONE = ["jpeg30", "noise8", "blur2"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("tables")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FACECLOAK_WEIGHTS", str(root / "toys" / "weights"))
        patched.setenv("FACECLOAK_SHARED", str(root / "nothing"))
        curves(str(write_suite(root / "toys")), methods=["none", "blur"], out=root / "run")
        results = judge(root / "run", countermeasures=DONE)
    results.write(root / "out")
    return SimpleNamespace(file=root / "out" / "index.html", results=results, ready="#survival table")


def test_the_matrix_shows_each_method_after_each_countermeasure(visit, made):
    page, table = visit(), "#survival .board"
    assert page.locator("#survival").is_visible()
    heads = page.locator(f"{table} thead th").evaluate_all("heads => heads.map(each => each.dataset.key)")
    assert heads == ["name", "worst", "mean", "none", "jpeg30", "blur2", "noise8"]
    assert head(page, "none", table).inner_text().strip() == "as published"
    assert "saved as JPEG of quality 30" in head(page, "jpeg30", table).locator("button").get_attribute("title")
    lines = made.results.survival.set_index(["name", "countermeasure"])
    for name, rate in zip(column(page, "name", table), column(page, "blur2", table), strict=True):
        assert float(rate) == pytest.approx(100 * lines.loc[(name, "blur2"), "psr"], abs=0.51)
    for name, worst, mean in zip(*(column(page, key, table) for key in ("name", "worst", "mean")), strict=True):
        rates = [100 * lines.loc[(name, each), "psr"] for each in DONE]
        assert float(worst) == pytest.approx(min(rates), abs=0.51)
        assert float(mean) == pytest.approx(sum(rates) / 3, abs=0.51)
    cell = page.locator(f"{table} tbody tr:first-child .heat").nth(2)
    assert "95 % interval" in cell.get_attribute("title") and "unprotected" in cell.get_attribute("title")
    assert "Unprotected photos still matched to their own person: as published" in page.inner_text("#survival")
    means = numbers(column(page, "mean", table))
    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_number_of_the_matrix_can_be_read_on_its_ground(visit, scheme):
    """Contrast of at least 4.5 (WCAG 2, AA), computed from what the browser shows."""
    page = visit(scheme=scheme)
    contrasts = page.locator("#survival .heat").evaluate_all(
        """cells => {
          const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          const light = (color) => {
            canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => part / 255)
              .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
              .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
          };
          return cells.map((cell) => {
            const style = getComputedStyle(cell);
            const [one, other] = [light(style.color), light(style.backgroundColor)].sort((a, b) => b - a);
            return (one + 0.05) / (other + 0.05);
          });
        }"""
    )
    assert len(contrasts) >= 10 and min(contrasts) >= 4.5, sorted(contrasts)[:5]


def test_methods_are_compared_at_equal_quality(visit, made):
    page, table = visit(), "#levels .board"
    shown = dict(zip(column(page, "name", table), column(page, "PSR at 30 dB, %", table), strict=True))
    wanted = made.results.equal_quality().set_index("method")["PSR at 30 dB, %"]
    assert {*shown} == {"blur", "none"} and shown["none"] == "missing"
    blur = wanted["blur"]
    assert shown["blur"] == f"{blur.mean:.1f}{blur.low:.1f}–{blur.high:.1f}"
    bounds = {"PSR at 30 dB, %": [50, 40, 60, True], "LPIPS at PSR 50 %": [0.2, None, None, True]}
    views = (
        "levels => Object.entries(levels).map((each) => levelView(...each).map((part) => part.textContent).join(' '))"
    )
    assert page.evaluate(views, bounds) == ["≥ 50.0 40.0–60.0", "≤ 0.200"]
    assert "at least the value of the nearest one" in " ".join(page.inner_text("#levels .hint").split())
    plots = page.locator("#plots img").evaluate_all("images => images.map(each => each.alt)")
    assert any("over each method's strengths" in alt for alt in plots)
    assert any("after each countermeasure" in alt for alt in plots)
