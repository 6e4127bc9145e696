"""`python -m benchmarks.studies.board_speed`: how long a large leaderboard takes, and whether its page stays quick."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.leaderboard.board import write_board
from benchmarks.results.schema import COLUMNS
from facecloak.cli.guard import guarded
from facecloak.config import settings_hash
from facecloak.io import sha256_json, write_bytes, write_json, write_png
from facecloak.metrics.statistics import wilson_interval

BOXES = ("dense", "inception", "ir", "irse", "mobile")
TARGETS = 10
THRESHOLDS = {0.1: 0.18, 0.01: 0.3, 0.001: 0.38}
SIDE = 256  # pixels
PICTURES = 4  # of each cell that the first recognizer judges
BROWSER = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def write_cells(run: Path, cells: int, images: int) -> list[Path]:
    """Made-up cells below a run's folder: methods × 10 targets × 5 recognizers, random numbers of a fixed seed."""
    random, folders = np.random.default_rng(0), []
    names = [f"{place:06d}" for place in range(images)]
    for name in names[:PICTURES]:
        write_png(run / "sources" / f"{name}.png", random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    for number in range(cells):
        method, rest = divmod(number, TARGETS * len(BOXES))
        target, box = divmod(rest, len(BOXES))
        method_name = "none" if method == 0 else f"method{method:02d}"
        folders.append(_write_cell(run, method_name, str(target + 1), BOXES[box], names, random))
        for name in names[:PICTURES] if box == 0 else []:
            shutil.copy(run / "sources" / f"{name}.png", _folder(folders[-1] / "images") / f"{name}.png")
    return folders


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _write_cell(run: Path, method: str, target: str, box: str, names: list[str], random: np.random.Generator) -> Path:
    n, mean, key = len(names), [random.uniform(0.1, 0.5), 0.2, 0.1, 0.6], sha256_json([method, target, box])
    run_id = f"{method}-default_{target}_{box}_{key[:12]}"
    cosines = {name: np.clip(random.normal(mean, 0.12, (n, 4)), -1, 1) for name in BOXES}
    psnr, ssim = random.normal(random.uniform(20, 40), 2, n), random.uniform(0.8, 0.95, n)
    lines = []
    for place, name in enumerate(names):
        sides = [{box: float(values[place, side]) for box, values in cosines.items()} for side in range(4)]
        lines.append(orjson.dumps({
            "cosine": {"target": sides[0], "self": sides[1]}, "cosine_clean": {"target": sides[2], "self": sides[3]},
            "detected": True, "error": None, "id": name, "identical": False, "psnr": float(psnr[place]),
            "reference": ["self", "target"], "seconds": 0.5, "ssim": float(ssim[place]), "usable": True,
        }))  # fmt: skip
    settings = {"method": method} | {f"setting{place}": place for place in range(12)}
    shared = dict.fromkeys(COLUMNS) | {
        "schema_version": 3, "suite": "made-up", "manifest_sha256": sha256_json(names), "n_images": n,
        "image_size": SIDE, "method": method, "preset": "default", "settings_hash": settings_hash(settings),
        "date": "2026-01-01",
        "run_id": run_id, "objective": "impersonation", "target": target, "black_box": box, "white_box": False,
        "weights_sha256": sha256_json(box), "surrogates": "+".join(name for name in BOXES if name != box),
        "psnr": float(psnr.mean()), "n_identical": 0, "ssim": float(ssim.mean()), "fd": float(random.uniform(0, 30)),
        "fd_network": "pocket", "seconds_per_image": 0.5, "device": "cpu", "source": "measured", "n_undetected": 0,
        "n_failed": 0, "n_unusable": 0,
    }  # fmt: skip
    folder = run / "cells" / run_id
    write_bytes(folder / "records.jsonl", b"\n".join(lines) + b"\n")
    rows = [shared | _rates(cosines[box], far, threshold) for far, threshold in THRESHOLDS.items()]
    thresholds = {"fars": {f"{far:g}": {"threshold": threshold} for far, threshold in THRESHOLDS.items()}}
    provenance = {
        "key": key,
        "settings": settings,
        "thresholds": thresholds,
        "weights": {name: sha256_json(name) for name in BOXES},
        "torch": "2.6",
    }
    write_json(folder / "cell.json", {"rows": rows, "provenance": provenance})
    return folder


def _rates(cosines: np.ndarray, far: float, threshold: float) -> dict[str, Any]:
    target, own, target_clean, own_clean = cosines.T
    won = {"psr": target > threshold, "dodging": own < threshold}
    won["joint"] = won["psr"] & won["dodging"]
    clean = {"psr": target_clean > threshold, "dodging": own_clean < threshold}
    clean["joint"] = clean["psr"] & clean["dodging"]
    row: dict[str, Any] = {"far": far, "threshold": threshold, "n_psr": len(target), "n_dodging": len(target)}
    for rate, each in won.items():
        low, high = wilson_interval(int(each.sum()), len(each))
        row |= {rate: float(each.mean()), f"{rate}_low": low, f"{rate}_high": high}
        row[f"{rate}_clean"] = float(clean[rate].mean())
    return row


def measure_page(file: Path) -> dict[str, float]:
    """Milliseconds until the table is there, of a sort, a filter and a drill-down, each until the next frame is drawn.

    Empty where there is neither playwright nor chromium.
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


def run_speed(cells: int, images: int, keep: Path | None) -> int:
    """Write cells, build the board of them, print seconds, bytes and milliseconds; returns 0."""
    with tempfile.TemporaryDirectory() as temporary:
        root = keep or Path(temporary)
        start = time.perf_counter()
        write_cells(root / "run", cells, images)
        print(f"{cells} cells × {images} records written in {time.perf_counter() - start:.1f} s", flush=True)
        out, start = root / "board", time.perf_counter()
        write_board([root / "run"], out)
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
    parser.add_argument("--cells", type=int, default=2000, help="of 10 targets × 5 recognizers a method (2000)")
    parser.add_argument("--images", type=int, default=1000, help="records of each (1000)")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="write there and leave it (default: nothing is kept)"
    )
    options = parser.parse_args(arguments)
    if min(options.cells, options.images) < 1:
        parser.error("--cells and --images must be 1 at least")
    return guarded(lambda: run_speed(options.cells, options.images, options.keep))


if __name__ == "__main__":
    sys.exit(main())
