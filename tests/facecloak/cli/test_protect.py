"""The lines that `facecloak protect` prints."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from facecloak.cli.main import main
from facecloak.io import write_png


@pytest.fixture
def command(toys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_png(tmp_path / "me.png", astronaut()[:400])
    return ["protect", "me.png", "--suite", str(toys), "--out", "out"]


def table(printed):
    """heading → cell of the only photo's row; the words of a cell that takes several lines are joined."""
    lines = [re.split(r"[┃│]", line)[1:-1] for line in printed.splitlines() if line[:1] in ("┃", "│")]
    heads, cells = [], []
    for line in lines:
        rows = heads if "┃" in printed.splitlines()[lines.index(line) + 1] else cells
        rows.append(line)
    return [" ".join(" ".join(column).split()) for column in zip(*heads, strict=True)], [
        " ".join(" ".join(column).split()) for column in zip(*cells, strict=True)
    ]


def faces(folder):
    (outcome,) = json.loads((folder / "out" / "protect.json").read_text())["photos"]
    return outcome["faces"]


@pytest.mark.parametrize(
    ("objective", "first", "second"),
    [
        ("impersonation", "similarity to target 1", "similarity to the original"),
        ("obfuscation", "similarity to the original", "similarity to target synthetic"),
    ],
)
def test_the_similarity_that_the_objective_is_about_comes_first(command, tmp_path, capsys, objective, first, second):
    assert main([*command, "--method", "pgd", "--objective", objective, "--judge", "ada"]) == 0
    printed = capsys.readouterr().out
    heads, cells = table(printed)
    assert heads == ["photo", "outcome", "faces", first, second, f"judges, {first}", "PSNR", "seconds"]
    (face,) = faces(tmp_path)
    target = tuple(np.mean([*face[f"cosine_to_target_{when}"].values()]) for when in ("before", "after"))
    shown = {first: cells[3], second: cells[4]}
    assert shown["similarity to the original"] == f"1.00 → {np.mean([*face['cosine_to_original_after'].values()]):.2f}"
    assert (shown.get("similarity to target 1") or cells[4]) == "{:.2f} → {:.2f}".format(*target)
    said = face["judges"]["ada"]
    side, before = ("target", said["cosine_to_target_before"]) if objective == "impersonation" else ("original", 1.0)
    assert cells[5].startswith(f"ada {before:.2f} → {said[f'cosine_to_{side}_after']:.2f}, ")
    assert "Made against bob, cyd: the similarities are means over them. Other recognizers may differ." in printed
    assert "Judges were not attacked; matched: more similar than" in printed


@pytest.mark.parametrize(
    ("threshold", "objective", "words"),
    [
        (-1.0, "obfuscation", "still matched"),
        (1.0, "obfuscation", "no longer matched"),
        (-1.0, "impersonation", "matched"),
        (1.0, "impersonation", "not matched"),
    ],
)
def test_a_judge_says_whether_the_face_matches(command, toys, capsys, threshold, objective, words):
    file = toys.parent / "thresholds.json"
    content = json.loads(file.read_text())
    content["ada"]["fars"]["0.01"]["threshold"] = threshold
    file.write_text(json.dumps(content))
    assert main([*command, "--method", "blur", "--objective", objective, "--judge", "ada"]) == 0
    printed = capsys.readouterr().out
    assert re.fullmatch(rf"ada -?\d\.\d\d → -?\d\.\d\d, {words}", table(printed)[1][5])
    assert "This method attacks no recognizer" in printed and "no threshold" not in printed


def test_a_judge_without_a_threshold_only_says_how_similar(command, toys, capsys):
    file = toys.parent / "thresholds.json"
    file.write_text(json.dumps({name: entry for name, entry in json.loads(file.read_text()).items() if name != "ada"}))
    assert main([*command, "--method", "blur", "--judge", "ada"]) == 0
    printed = capsys.readouterr().out
    assert re.fullmatch(r"ada -?\d\.\d\d → -?\d\.\d\d", table(printed)[1][5])
    assert "The suite has no threshold at FAR 0.01 for ada." in printed


def test_several_faces_are_counted(command, tmp_path, capsys):
    face = astronaut()[:256, 90:346]
    photo = np.full((256, 512, 3), 90, dtype=np.uint8)
    photo[:, :256], photo[48:208, 304:464] = face, np.asarray(Image.fromarray(face).resize((160, 160)))
    write_png(tmp_path / "me.png", photo)
    assert main([*command, "--method", "blur", "--judge", "ada", "--objective", "obfuscation"]) == 0
    said = [each["judges"]["ada"] for each in faces(tmp_path)]
    mean = np.mean([each["cosine_to_original_after"] for each in said])
    count = sum(each["matches_original"] for each in said)
    assert len(said) == 2
    assert table(capsys.readouterr().out)[1][5] == f"ada 1.00 → {mean:.2f}, {count} of 2 still matched"


def test_without_judges_there_is_no_column_and_the_page_is_named(command, tmp_path, capsys):
    assert main([*command, "--method", "blur"]) == 0
    printed = capsys.readouterr().out
    assert not any("judge" in head for head in table(printed)[0]) and "Judges" not in printed
    assert "Before and after: out/protect.html" in printed and (tmp_path / "out" / "protect.html").is_file()


def test_a_command_without_any_result_only_says_why(command, tmp_path, capsys):
    (tmp_path / "me.png").write_text("not a picture")
    assert main([*command, "--method", "pgd", "--judge", "ada"]) == 1
    said = capsys.readouterr()
    assert said.err == "me.png: not a readable image (not an image file).\n"
    assert "Made against" not in said.out and "Before and after" not in said.out
