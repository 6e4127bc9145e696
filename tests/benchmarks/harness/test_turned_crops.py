"""A suite with `crop: arcface`: protected, judged, checked and judged again, with a face that each photo turns."""

import json

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

import facecloak
from benchmarks.harness.rejudge import rejudge
from benchmarks.suites.suite import load_suite
from facecloak.alignment import turned_crop
from facecloak.cli.main import main
from facecloak.config import read_yaml, to_yaml
from facecloak.io import read_image, write_png

TURNS = (-15, 0, 15, 8)


def portrait(turn: int, seed: int, side: int = 256) -> np.ndarray:
    """The one face that there is here, turned, in colours of its own."""
    face = Image.fromarray(astronaut()[:256, 90:346]).rotate(turn, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90))
    tint = np.random.default_rng(seed).uniform(0.6, 1, 3)
    return (np.asarray(face.resize((side, side))) * tint).astype(np.uint8)


@pytest.fixture
def suite(toys):
    """The toy suite with faces in it."""
    root, settings = toys.parent, read_yaml(toys)
    for person, turn in enumerate(TURNS):
        write_png(root / "photos" / f"p{person}.png", portrait(turn, person))
        write_png(root / "seconds" / f"p{person}.png", portrait(-turn, person))
    for name, seed in (("100", 10), ("100_test", 10), ("200", 20), ("200_test", 20), ("synthetic", 30)):
        write_png(root / "targets" / f"{name}.png", portrait(seed // 2, seed))
    thresholds = json.loads((root / "thresholds.json").read_text())
    (root / "thresholds.json").write_text(json.dumps({k: v | {"crop": "arcface"} for k, v in thresholds.items()}))
    toys.write_text(to_yaml(settings | {"crop": "arcface", "detect": True, "image_size": 128}))
    return toys


def test_a_run_is_made_checked_and_judged_again(suite, tmp_path):
    """What an attack gains is measured on the square that is found in the saved picture."""
    methods, boxes = ["none", "blur", "mask", "pgd"], {"black_boxes": ["cyd"], "white_boxes": ["ada"]}
    results = facecloak.benchmark(str(suite), methods=methods, out=tmp_path / "run", batch_size=3, **boxes)
    rows = results.table.set_index("method")
    assert (rows["n_images"] == 4).all() and (rows[["n_failed", "n_unusable"]] == 0).all(axis=None)
    assert (rows.loc["none", "n_undetected"] == 0).all() and (rows.loc["mask", "n_undetected"] == 4).all()
    assert (rows.loc["none", "cosine_rise_black_box"] == 0).all()
    attacked = results.images.query("method == 'pgd' and white_box")  # one face, so that little is left to gain
    missing = (1 - attacked["cosine_target"]) / (1 - attacked["cosine_clean_target"])
    assert len(missing) == 4 and missing.max() < 1 / 3
    assert results.check() == []
    skipped: list[str] = []
    assert not list(rejudge([tmp_path / "run"], skipped)) and not skipped


def test_photos_of_any_size_are_protected_and_evaluated(suite, tmp_path):
    canvas = np.full((500, 640, 3), 120, dtype=np.uint8)
    canvas[100:484, 200:584] = portrait(12, 3, side=384)
    write_png(tmp_path / "mine" / "me.png", canvas)
    command = ["protect", str(tmp_path / "mine"), "--suite", str(suite), "--method", "pgd", "--out",
               str(tmp_path / "made")]  # fmt: skip
    assert main(command) == 0
    before, after = (read_image(tmp_path / folder / "me.png") for folder in ("mine", "made"))
    changed = np.argwhere((before != after).any(axis=2))
    assert before.shape == after.shape and len(changed) > 1000 and (changed.min(axis=0) > (50, 100)).all()
    (tmp_path / "made" / "protect.json").unlink()  # which says that it was made by attacking these recognizers
    found = facecloak.evaluate(tmp_path / "mine", tmp_path / "made", suite=str(suite), out=tmp_path / "tool", name="it")
    assert (found.table["n_psr"] == 1).all() and found.check() == []
    skipped: list[str] = []
    assert not list(rejudge([tmp_path / "tool"], skipped)) and not skipped


def test_every_photo_of_the_suite_has_a_square_turned_as_its_face(suite):
    loaded = load_suite(str(suite))
    batch = loaded.batch()
    assert batch.boxes.shape == (4, 5)
    angles = np.degrees(batch.boxes[:, 4].numpy())
    assert np.allclose(angles - angles[1], [15, 0, -15, -8], atol=4)
    faces = turned_crop(batch.images, batch.boxes, 32).mean(1).flatten(1).numpy()
    assert np.corrcoef(faces).min() > 0.85  # the same face, upright in each of them
