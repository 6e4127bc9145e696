"""The files that `facecloak benchmark` writes for people: grid.png and leaderboard.md."""

import numpy as np
import pytest
import torch

from baselines.naive import Blur
from benchmarks.results.pictures import GAP, HEADING, SIDE, difference
from facecloak.cli.main import main
from facecloak.io import read_image
from facecloak.method import Protected


def place(page, row, column):
    """One picture of a grid, 256×256×3."""
    top, left = HEADING + row * (SIDE + GAP), column * (SIDE + GAP)
    return page[top : top + SIDE, left : left + SIDE]


def enlarged(image):
    return image.repeat(SIDE // len(image), axis=0).repeat(SIDE // len(image), axis=1)


def is_failed(picture):
    """Whether it is white except for a grey frame and a word."""
    framed = (picture[[0, -1]] == 128).all() and (picture[:, [0, -1]] == 128).all()
    return bool(framed and (picture[1:-1, 1:-1] == 255).mean() > 0.95 and (picture[120:136] < 50).any())


def test_difference_is_ten_times_the_change_around_mid_grey():
    original = np.array([[[100, 100, 0]]], dtype=np.uint8)
    protected = np.array([[[103, 95, 255]]], dtype=np.uint8)
    assert difference(protected, original).tolist() == [[[158, 78, 255]]]
    assert difference(original, original).tolist() == [[[128, 128, 128]]]


def test_the_grid_shows_every_method_beside_the_first_sources(toys, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["benchmark", str(toys), "--methods", "none,blur", "--targets", "2,1", "--out", str(out)]) == 0
    assert "leaderboard.md, grid.png" in capsys.readouterr().out
    page = read_image(out / "grid.png")
    assert page.shape == (HEADING + 4 * (SIDE + GAP) - GAP, 5 * (SIDE + GAP) - GAP, 3)
    (cell,) = out.glob("protections/blur_1_*")
    for row in range(4):
        original = read_image(toys.parent / "photos" / f"p{row}.png")
        blurred = read_image(cell / "images" / f"p{row}.png")
        expected = [original, original, np.full_like(original, 128), blurred, difference(blurred, original)]
        for column, picture in enumerate(expected):
            assert np.array_equal(place(page, row, column), enlarged(picture)), (row, column)
    heads = page[:HEADING]
    for column in range(5):
        assert (heads[:, column * (SIDE + GAP) :][:, :SIDE] < 50).any()


def test_a_missing_picture_has_an_empty_place(toys, tmp_path, monkeypatch):
    """p1 cannot be read, p2's protection fails."""

    def protect(self, batch):
        return Protected(torch.zeros_like(batch.images), ["no luck" if name == "p2" else None for name in batch.ids])

    out = tmp_path / "out"
    arguments = ["benchmark", str(toys), "--methods", "blur", "--black-box", "ada", "--out", str(out)]
    main(arguments)
    (toys.parent / "photos" / "p1.png").write_text("not a picture")
    monkeypatch.setattr(Blur, "protect", protect)
    assert main([*arguments, "--mode", "overwrite"]) == 1
    page = read_image(out / "grid.png")
    missing = [[is_failed(place(page, row, column)) for column in range(3)] for row in range(4)]
    assert missing == [[False] * 3, [True] * 3, [False, True, True], [False] * 3]


def test_a_photo_of_another_size_than_the_place_is_shown_whole(toys, tmp_path):
    toys.write_text(toys.read_text().replace("image_size: 64", "image_size: 300"))
    out = tmp_path / "out"
    assert main(["benchmark", str(toys), "--methods", "none", "--black-box", "ada", "--out", str(out)]) == 0
    shown = place(read_image(out / "grid.png"), 0, 0).astype(float)
    small = read_image(toys.parent / "photos" / "p0.png").astype(float)
    assert abs(shown[2::4, 2::4] - small).mean() < 8


@pytest.mark.parametrize("limit", [None, "3"])
def test_a_grid_has_six_rows_at_most(toys, tmp_path, limit):
    for person in range(4, 8):
        (toys.parent / "photos" / f"p{person}.png").write_bytes((toys.parent / "photos" / "p0.png").read_bytes())
    arguments = ["benchmark", str(toys), "--methods", "none", "--black-box", "ada", "--out", str(tmp_path / "out")]
    main([*arguments, *(["--limit", limit] if limit else [])])
    rows = int(limit or 6)
    assert len(read_image(tmp_path / "out" / "grid.png")) == HEADING + rows * (SIDE + GAP) - GAP


def test_markdown_says_what_is_printed(toys, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    main(["benchmark", str(toys), "--methods", "none,blur", *out])
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    text = (tmp_path / "out" / "leaderboard.md").read_text().splitlines()
    assert (
        text[0] == "toys, impersonation: PSR in % at FAR 0.01, n = 4 for each target and recognizer" and text[1] == ""
    )
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text[2:]]
    assert table[0][:4] == ["method", "ada", "bob", "cyd"] and set("".join(table[1])) <= set("-:")
    assert len(table) == 4 and all(len(line) == len(table[0]) for line in table)
    assert "identical" in table[3] and all(line in printed for line in table[2:])


def test_markdown_has_a_table_for_every_objective(toys, tmp_path):
    out = ["--methods", "blur", "--black-box", "ada", "--out", str(tmp_path / "out")]
    main(["benchmark", str(toys), *out])
    main(["benchmark", str(toys), "--objective", "obfuscation", *out])
    text = (tmp_path / "out" / "leaderboard.md").read_text()
    assert [line.split(":")[0] for line in text.splitlines() if "FAR" in line] == [
        "toys, impersonation",
        "toys, obfuscation",
    ]
    assert text.count("| blur:default |") == 2
