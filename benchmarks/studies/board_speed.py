"""`python -m benchmarks.studies.board_speed`: how long a large leaderboard takes, and whether its page stays quick."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.leaderboard.results import load_results
from benchmarks.results.records import SIDES
from benchmarks.results.schema import COLUMNS, SCHEMA_VERSION
from benchmarks.results.scoring import score
from benchmarks.results.store import (
    judgement_folder,
    protections_folder,
    read_protection,
    run_id,
    sources_folder,
    write_judgement,
    write_protection,
)
from facecloak.cli.guard import guarded
from facecloak.config import far_key, settings_hash
from facecloak.io import sha256_json, write_png

SUITE = "made-up"
SURROGATES = ["pocket"]
BOXES = ("dense", "inception", "ir", "irse", "mobile")
TARGETS = 10
THRESHOLDS = {0.1: 0.18, 0.01: 0.3, 0.001: 0.38}
SIDE = 256  # pixels
PICTURES = 4  # of each protection
BROWSER = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def write_judgements(run: Path, judgements: int, images: int) -> list[Path]:
    """Write made-up judgements below a run's folder: methods × 10 targets × 5 recognizers, with a fixed random seed.

    Every protection has five judges and its first `PICTURES` pictures.
    """
    random, folders = np.random.default_rng(0), []
    names = [f"{place:06d}" for place in range(images)]
    for name in names[:PICTURES]:
        picture = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        write_png(sources_folder(run, SUITE) / f"{name}.png", picture)
    for number in range(judgements):
        method, rest = divmod(number, TARGETS * len(BOXES))
        target, box = divmod(rest, len(BOXES))
        name = "none" if method == 0 else f"method{method:02d}"
        if box == 0:
            protection = _write_protection(run, name, str(target + 1), names[:PICTURES])
        folders.append(_write_judgement(protection, BOXES[box], names, random))
    return folders


def _write_protection(run: Path, method: str, target: str, pictures: list[str]) -> Path:
    settings = {"method": method} | {f"setting{place}": place for place in range(12)}
    key_of = {"method": [method, settings], "target": target, "surrogates": SURROGATES}
    about = {
        "key": sha256_json(key_of), "key_of": key_of, "suite": SUITE, "dataset": SUITE, "image_size": SIDE,
        "method": method, "preset": "default", "settings": settings, "settings_hash": settings_hash(settings),
        "seed": None, "objective": "impersonation", "target": target, "surrogates": SURROGATES,
        "weights": {name: sha256_json(name) for name in SURROGATES},
    }  # fmt: skip
    folder = protections_folder(run) / f"{method}_{target}_{about['key'][:12]}"
    write_protection(folder, about)
    for name in pictures:
        copied = folder / "images" / f"{name}.png"
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sources_folder(run, SUITE) / f"{name}.png", copied)
    return folder


def _write_judgement(protection: Path, box: str, names: list[str], random: np.random.Generator) -> Path:
    about, folder, n = read_protection(protection), judgement_folder(protection, box), len(names)
    cosines = np.clip(random.normal([random.uniform(0.1, 0.5), 0.2, 0.1, 0.6], 0.12, (n, 4)), -1, 1)
    psnr, ssim = random.normal(random.uniform(20, 40), 2, n), random.uniform(0.8, 0.95, n)
    records = [
        {
            "id": name, "usable": True, "error": None, "detected": True, "reference": ["self", "target"],
            "cosine": dict(zip(SIDES, each[:2], strict=True)),
            "cosine_clean": dict(zip(SIDES, each[2:], strict=True)),
            "psnr": quality[0], "ssim": quality[1], "identical": False, "seconds": 0.5,
        }
        for name, each, quality in zip(names, cosines.tolist(), zip(psnr.tolist(), ssim.tolist(), strict=True),
                                       strict=True)
    ]  # fmt: skip
    thresholds = {"fars": {far_key(far): {"threshold": threshold} for far, threshold in THRESHOLDS.items()}}
    copied = ("suite", "dataset", "image_size", "method", "preset", "settings_hash", "objective", "target")
    shared = dict.fromkeys(COLUMNS) | {column: about[column] for column in copied} | {
        "schema_version": SCHEMA_VERSION, "manifest_sha256": sha256_json(names), "n_images": n, "date": "2026-01-01",
        "run_id": run_id(folder), "protection": protection.name, "black_box": box, "white_box": False,
        "countermeasure": folder.parent.name, "weights_sha256": sha256_json(box),
        "surrogates": "+".join(about["surrogates"]), "device": "cpu", "source": "measured",
        "seconds_per_image": 0.5,
    }  # fmt: skip
    rows = [shared | row for row in score(records, about["objective"], thresholds, [*THRESHOLDS])]
    write_judgement(folder, rows, records, {"fingerprint": about["key"], "thresholds": thresholds, "torch": "2.6"})
    return folder


def measure_page(file: Path) -> dict[str, float]:
    """Milliseconds to load the table, to sort, to filter and to open details, each until the next frame is drawn.

    Empty if playwright or chromium is missing.
    """
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    if not chromium:
        return {}
    steps = {
        "sort": "document.querySelector('.board.measured th[data-key=ssim] button').click()",
        "filter": "const f = document.getElementById('find'); f.value = 'method0'; f.dispatchEvent(new Event('input'))",
        "open a method": "document.querySelector('.board.measured .open').click()",
        "open a cell": "document.querySelector('#cells .open').click()",
    }
    frame = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))))"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER)
        page = browser.new_page()
        page.goto(file.as_uri())
        page.wait_for_selector("#board-tables table")
        times = {"load": page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")}
        for name, step in steps.items():
            times[name] = page.evaluate(f"() => {{ const start = performance.now(); {step}; return {frame}; }}")
        browser.close()
    return times


def run_speed(judgements: int, images: int, keep: Path | None) -> int:
    """Write judgements, build a board from them, print seconds, bytes and milliseconds; returns 0."""
    with tempfile.TemporaryDirectory() as temporary:
        root = keep or Path(temporary)
        start = time.perf_counter()
        write_judgements(root / "run", judgements, images)
        print(f"{judgements} judgements × {images} records written in {time.perf_counter() - start:.1f} s", flush=True)
        out, start = root / "board", time.perf_counter()
        load_results(root / "run").write(out)
        print(f"leaderboard: {time.perf_counter() - start:.1f} s", flush=True)
        print(f"index.html: {(out / 'index.html').stat().st_size / 1e6:.2f} MB")
        for name, milliseconds in measure_page(out / "index.html").items():
            print(f"in the browser, {name}: {milliseconds:.0f} ms")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.board_speed", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--judgements", type=int, default=2000, help="10 targets × 5 recognizers per method (2000)")
    parser.add_argument("--images", type=int, default=1000, help="records per judgement (1000)")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="write there and keep the files (default: nothing is kept)"
    )
    options = parser.parse_args(arguments)
    if min(options.judgements, options.images) < 1:
        parser.error("--judgements and --images must be at least 1")
    return guarded(lambda: run_speed(options.judgements, options.images, options.keep))


if __name__ == "__main__":
    sys.exit(main())
