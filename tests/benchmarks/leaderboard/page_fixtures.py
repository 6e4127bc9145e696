"""Fixtures of the tests that use the leaderboard's page, or another one (its own `made`), in a real browser."""

import shutil
from types import SimpleNamespace

import pytest

from benchmarks.leaderboard.page.document import write_page
from benchmarks.leaderboard.plots.families import write_plots
from tests.benchmarks.board_toys import board_of, record, write_cell, write_runs
from tests.benchmarks.leaderboard.page_visits import EVIL

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The page of two runs, with a method whose name tries to inject code, and an image that failed."""
    root = tmp_path_factory.mktemp("board")
    records = [record(f"p{place}", 0.3 + place / 10, 20.0 + place) for place in range(3)]
    records.append(record("p3", None, None, error=EVIL))
    folders = write_runs(root / "runs")
    folders.append(write_cell(root / "runs" / "second", EVIL, records=records))
    many = [record(f"q{place}", 0.3, 30.0) for place in range(230)]
    folders.append(write_cell(root / "runs" / "second", "many", records=many, manifest_sha256="m"))
    folders.append(write_cell(root / "runs" / "second", "weak", objective="obfuscation", pocket_perceptual=0.125))
    board = board_of(folders)
    write_plots(board, root / "out")
    write_page(board, root / "out")
    return SimpleNamespace(root=root, board=board, file=root / "out" / "index.html", ready="#board-tables table")


@pytest.fixture
def visit(browser, made):
    """Opens the page; in the end there must be no console message and no request other than the page itself."""
    contexts, said, asked = [], [], []

    def open_page(width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(made.file.as_uri())
        page.wait_for_selector(made.ready)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [made.file.as_uri()] * len(contexts)
