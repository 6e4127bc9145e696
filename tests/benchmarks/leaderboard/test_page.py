"""The leaderboard's page, used in a real browser as people use it: tables, filters, drill-down."""

import json
import re

from tests.benchmarks.leaderboard.page_visits import EVIL, column, head, numbers

pytest_plugins = ["tests.benchmarks.leaderboard.page_fixtures"]


def test_numbers_sort_as_numbers_in_both_directions_and_missing_is_last(visit):
    page = visit()
    assert head(page, "average").get_attribute("aria-sort") == "descending"
    for key in ("average", "distance"):
        for _ in range(2):
            head(page, key).locator("button").click()
            direction, texts = head(page, key).get_attribute("aria-sort"), column(page, key)
            assert numbers(texts) == sorted(numbers(texts), reverse=direction == "descending")
            known = len(numbers(texts))
            assert all(text.startswith("missing") for text in texts[known:])
    assert column(page, "average")[-1].startswith("missing") and "0.0" in " ".join(column(page, "average"))
    assert head(page, "average").get_attribute("aria-sort") == "none"
    assert "sorted by fd_pocket" in page.inner_text("#status")


def test_every_column_sorts_and_equal_rows_keep_their_order(visit):
    page = visit()
    for place in range(page.locator(".board.measured thead th").count()):
        button = page.locator(".board.measured thead th").nth(place).locator("button")
        button.click()
        assert page.locator(".board.measured thead th").nth(place).get_attribute("aria-sort") != "none"
    head(page, "name").locator("button").click()
    names = column(page, "name")
    head(page, "cells").locator("button").click()
    cells = dict(zip(column(page, "name"), column(page, "cells"), strict=True))
    whole = [name for name in column(page, "name") if cells[name] == "4"]
    assert column(page, "name") != names and whole == [name for name in names if cells[name] == "4"]


def test_missing_cells_say_so_and_how_many(visit):
    page = visit()
    texts = dict(zip(column(page, "name"), column(page, "average"), strict=True))
    assert texts["bad:default"] == "missing (3 of 4 cells)"
    boxes = dict(zip(column(page, "name"), column(page, "box bob"), strict=True))
    assert boxes["bad:default"] == "missing (1 of 2 targets)" and boxes["many:default"] == "missing (0 of 2 targets)"
    assert re.fullmatch(r"75\.0\s*30–95\s*", texts["strong:default"])
    assert "identical" in column(page, "psnr")


def test_text_methods_and_recognizers_filter(visit):
    page = visit()
    page.fill("#find", "STRO")
    assert column(page, "name") == ["strong:default"]
    assert "1 of 6 measured lines" in page.inner_text("#status")
    page.fill("#find", "")
    page.click("#methods summary")
    page.uncheck('#methods input[value="weak:default"]')
    assert "weak:default" not in column(page, "name") and len(column(page, "name")) == 5
    assert page.inner_text("#methods summary").startswith("Methods: 6 of 7")  # with the reported one
    page.click("#methods summary")
    page.click("#boxes summary")
    page.uncheck('#boxes input[value="ada"]')
    assert head(page, "box ada").count() == 0 and head(page, "box bob").count() == 1


def test_white_box_and_reported_lines_stand_apart(visit):
    page = visit()
    assert column(page, "name", ".board.white") == ["strong:default white box"]
    assert column(page, "name", ".board.reported") == ["Published reported"]
    assert column(page, "box ada", ".board.reported") == ["80.0"]
    assert "Published" not in " ".join(column(page, "name"))


def test_another_far_and_another_board(visit):
    page = visit()
    page.select_option("#far", "0.1")
    texts = dict(zip(column(page, "name"), column(page, "average"), strict=True))
    assert texts["strong:default"].startswith("75.0") and texts["none:default"].startswith("25.0")
    assert head(page, "pocket_perceptual").count() == 0
    page.select_option("#suite", label="toys, obfuscation")
    assert page.inner_text("#board-title") == "toys, obfuscation" and column(page, "name") == ["weak:default"]
    assert column(page, "pocket_perceptual") == ["0.125"] and head(page, "lpips").count() == 0  # nobody has that
    assert page.locator("#plots img").count() == 4


def test_a_record_is_reached_by_keyboard_and_is_the_files(visit, made):
    page = visit()
    page.locator(".board.measured .open", has_text="strong:default").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "cells-title"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "open":
            break
    page.keyboard.press("Enter")
    title = page.inner_text("#cell-title")
    assert (
        title == "strong:default, target 1, judged by ada"
        and page.evaluate("document.activeElement.id") == "cell-title"
    )
    folder = made.board.judgements["strong_1_ada_cyd_impersonation/none/ada"].folder
    record_ = json.loads((folder / "records.jsonl").read_text().splitlines()[1])
    rows = dict(zip(column(page, "id", ".images"), column(page, "target", ".images"), strict=True))
    assert rows["p1"] == f"{record_['cosine']['target']:.4f}" == "0.6500"
    assert column(page, "won", ".images") == ["success", "success", "success", "no"]
    assert column(page, "ssim", ".images")[0] == "0.9123" and column(page, "seconds", ".images")[0] == "0.250"
    values = page.inner_text("#cell .pair")
    assert "strength" in values and "w ada" in values and "2026-01-02" in values
    page.locator("#cell .close").focus()
    page.keyboard.press("Enter")
    assert page.locator(".images").is_hidden()


def test_sorting_by_keyboard_keeps_the_focus(visit):
    page = visit()
    head(page, "ssim").locator("button").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.dataset.key") == "ssim"


def test_many_images_are_shown_a_hundred_at_a_time(visit):
    page = visit()
    page.locator(".board.measured .open", has_text="many:default").click()
    page.locator("#cells .open").first.click()
    assert len(column(page, "id", ".images")) == 100
    page.locator("#cell .pager button", has_text="Next").click()
    page.locator("#cell .pager button", has_text="Next").click()
    assert column(page, "id", ".images") == [f"q{place}" for place in range(200, 230)]


def test_what_a_cell_says_is_text(visit):
    page = visit()
    assert f"{EVIL}:default" in column(page, "name")
    page.locator(".board.measured .open", has_text="hacked").click()
    page.locator("#cells .open").first.click()
    assert EVIL in column(page, "error", ".images")
    assert page.title() == "facecloak leaderboard" and page.locator("script:not([type])").count() == 1


def test_a_cell_says_that_it_is_open_and_closes_where_it_was_opened(visit):
    page = visit()
    page.locator(".board.measured .open", has_text="strong:default").click()
    button = page.locator("#cells .open").first
    for opened in (True, False, True):
        button.focus()
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-expanded") == str(opened).lower()
        assert page.locator("#cell").is_visible() == opened
    name = button.inner_text()
    for _ in range(2):  # descending: another cell comes first
        head(page, "cell", "#cells").locator("button").click()
        open_ones = page.locator('#cells .open[aria-expanded="true"]')
        assert open_ones.all_inner_texts() == [name]
    page.locator("#cells .open").last.click()
    assert page.locator('#cells .open[aria-expanded="true"]').count() == 1
    last = page.locator("#cells .open").last.inner_text()
    head(page, "psr", "#cells").locator("button").click()
    page.locator("#cell .close").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.innerText") == last and page.locator("#cell").is_hidden()
    assert page.locator('#cells .open[aria-expanded="true"]').count() == 0
    page.locator("#cells .open").first.click()
    page.locator(".board.measured .open", has_text="weak:default").click()
    assert page.locator("#cell").is_hidden() and page.locator('#cells .open[aria-expanded="true"]').count() == 0
