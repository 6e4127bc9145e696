"""How the leaderboard's page looks and behaves in a real browser, and the contents of its file."""

import json
import re
import shutil

import pytest

from benchmarks.leaderboard.page import data as page_data
from benchmarks.leaderboard.page.document import write_page
from benchmarks.leaderboard.page.template import PARTS, to_json
from benchmarks.results.store import find_judgements
from facecloak.errors import FacecloakError
from tests.benchmarks.board_toys import board_of

pytest_plugins = ["tests.benchmarks.leaderboard.page_fixtures"]

PIXEL = """name => {
  const canvas = document.createElement('canvas').getContext('2d');
  canvas.drawImage(document.querySelector(name), 0, 0);
  return canvas.getImageData(9, 9, 1, 1).data[0];
}"""


def test_the_slider_moves_by_keyboard(visit):
    page = visit()
    page.select_option("#sample-method", "weak:default")
    clip = "getComputedStyle(document.querySelector('.compare .after')).clipPath"
    before = page.evaluate(clip)
    page.focus("#sample-slider")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.input_value("#sample-slider") == "52" and page.evaluate(clip) == "inset(0px 0px 0px 52%)" != before
    assert page.get_attribute("#sample-slider", "aria-valuetext") == "52 % original, 48 % protected"
    assert page.evaluate(
        "[...document.querySelectorAll('#samples img')].every(i => i.complete && i.naturalWidth === 32)"
    )
    assert page.evaluate(PIXEL, "#samples figure > img") == pytest.approx(128 + 10 * 5, abs=6)


def test_dark_by_preference_and_by_button(visit):
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = visit(), visit(scheme="dark")
    assert light.evaluate(ground) == "rgb(255, 255, 255)" != dark.evaluate(ground)
    light.click("#theme")
    assert light.evaluate(ground) == dark.evaluate(ground)
    assert light.get_attribute("#theme", "aria-pressed") == "true"


def test_a_phone_scrolls_the_table_and_not_the_page(visit):
    page = visit(width=390)
    page.locator(".board.measured .open", has_text="strong:default").click()
    page.locator("#cells .open").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    region = page.locator(".board.measured .scroll")
    assert region.evaluate("e => e.scrollWidth > e.clientWidth")
    left = "e => e.querySelector('tbody th').getBoundingClientRect().left"
    before = region.evaluate(left)
    region.evaluate("e => { e.scrollLeft = 200; }")
    assert region.evaluate(left) == pytest.approx(before, abs=2)  # the method stays visible


def test_plots_have_words_for_who_does_not_see_them(visit):
    page = visit()
    assert all(
        "toys, impersonation" in alt for alt in page.locator("#plots img").evaluate_all("all => all.map(i => i.alt)")
    )
    assert page.evaluate("[...document.querySelectorAll('#plots img')].every(i => i.complete && i.naturalWidth > 100)")
    assert page.locator("th:not([scope])").count() == 0 and page.locator("table:not(:has(caption))").count() == 0


def test_the_policy_lets_nothing_in(made):
    text = made.file.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy
    assert text.count("<script") == 3 and not re.search(r'(src|href)="(?!#)', text)
    assert str(made.root) not in text


def test_the_same_cells_give_the_same_page(made, tmp_path):
    shutil.copytree(made.root / "runs", tmp_path / "elsewhere")
    shutil.copytree(made.root / "out" / "plots", tmp_path / "out" / "plots")
    write_page(board_of([*reversed(find_judgements([tmp_path / "elsewhere"]))]), tmp_path / "out")
    assert (tmp_path / "out" / "index.html").read_bytes() == made.file.read_bytes()


def test_of_too_many_records_the_first_of_each_cell_are_kept(made, monkeypatch):
    monkeypatch.setattr(page_data, "BUDGET", 2 * page_data.ROOM * len(made.board.judgements))
    found = page_data.describe_records(made.board.named, made.board.records)
    assert found["shown"] == 2 and {len(cell["id"]) for cell in found["cells"]} == {2}
    assert max(cell["n"] for cell in found["cells"]) == 230


def test_json_cannot_close_its_element():
    assert "<" not in to_json({"</script>": "<!--"}) and json.loads(to_json("</script>\u2028é")) == "</script>\u2028é"


def test_a_page_without_its_plots_is_not_written(made, tmp_path):
    with pytest.raises(FacecloakError, match="no such plot"):
        write_page(made.board, tmp_path)
    assert not (tmp_path / "index.html").exists()


def luminance(colour):
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [r":root \{", r':root\[data-theme="dark"\] \{'])
def test_text_stands_out_from_its_ground(theme):
    """WCAG 2.1 asks for a contrast of 4.5 to 1."""
    block = re.search(theme + r"(.*?)\}", (PARTS / "page.css").read_text(), re.DOTALL)[1]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    grounds = {"text": "raised", "quiet": "badge", "accent": "raised", "good": "raised", "warm": "warm-ground"}
    for text, other in grounds.items():
        for ground in ("ground", "raised", other):
            low, high = sorted(luminance(colours[name]) for name in (text, ground))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)
