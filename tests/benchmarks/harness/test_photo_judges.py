"""Judges of `facecloak protect`: recognizers that are not attacked and compare the faces before and after."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from skimage.data import astronaut

import facecloak
from baselines.naive import Blur
from benchmarks.harness.photo_judges import PhotoJudges
from facecloak.cli.main import main
from facecloak.data import to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.framing import cut_square
from facecloak.io import read_image, sha256, write_png
from facecloak.method import Protected
from facecloak.recognizers import load_recognizer
from tests.toys import SIZE, write_recognizer

BOX = torch.tensor([[4.0, 4.0, 60.0, 60.0]])  # the toys' crop


@pytest.fixture
def portrait(tmp_path):
    write_png(tmp_path / "me.png", astronaut()[:400])
    return tmp_path / "me.png"


def protect(toys, out, *photos, options=(), method="pgd"):
    arguments = ["protect", *map(str, photos), "--suite", str(toys), "--method", method, "--out", str(out)]
    return main([*arguments, *options])


def outcomes(out):
    return json.loads((out / "protect.json").read_text())["photos"]


def embed(name, image):
    network = load_recognizer(name, differentiable=False)
    return network(crop(to_tensor([image]), BOX, network.input_size))[0]


def thresholds(toys, **values):
    """Set the threshold of some recognizers at FAR 0.01; None removes a recognizer's thresholds."""
    file = toys.parent / "thresholds.json"
    table = json.loads(file.read_text())
    for name, value in values.items():
        if value is None:
            del table[name]
        else:
            table[name]["fars"]["0.01"]["threshold"] = value
    file.write_text(json.dumps(table))


def test_a_judge_is_not_attacked_and_says_what_the_files_say(toys, tmp_path, portrait):
    assert protect(toys, tmp_path / "out", portrait, options=["--judge", "ada"]) == 0
    (outcome,) = outcomes(tmp_path / "out")
    assert outcome["surrogates"] == ["bob", "cyd"] and list(outcome["judges"]) == ["ada"]
    (face,) = outcome["faces"]
    before, after = (
        embed("ada", cut_square(read_image(file), face["box"], SIZE).image)
        for file in (portrait, tmp_path / "out/me.png")
    )
    test = embed("ada", read_image(toys.parent / "targets" / "100_test.png"))  # another photo than the attacked one
    said = face["judges"]["ada"]
    assert said["cosine_to_original_after"] == pytest.approx(float(before @ after), abs=1e-5)
    assert said["cosine_to_target_before"] == pytest.approx(float(before @ test), abs=1e-5)
    assert said["cosine_to_target_after"] == pytest.approx(float(after @ test), abs=1e-5)
    assert outcome["judges"]["ada"] == {
        "weights_sha256": sha256(toys.parent / "weights" / "ada.onnx"), "threshold": 0.4
    }  # fmt: skip


def test_whether_it_matches_is_decided_at_far_001(toys, tmp_path, portrait):
    thresholds(toys, ada=-0.99, bob=0.9999, cyd=None)
    made = facecloak.protect(portrait, suite=str(toys), method="pgd:single", judges=["bob", "cyd"])
    assert made.outcome["surrogates"] == ["ada"]
    judged = made.outcome["faces"][0]["judges"]
    assert judged["bob"]["matches_original"] is judged["bob"]["matches_target"] is False
    assert judged["cyd"]["matches_original"] is judged["cyd"]["matches_target"] is None  # no thresholds
    assert made.outcome["judges"]["cyd"]["threshold"] is None
    made = facecloak.protect(portrait, suite=str(toys), method="pgd", judges=["ada"])
    judged = made.outcome["faces"][0]["judges"]["ada"]
    assert judged["matches_original"] is judged["matches_target"] is True


def test_a_judge_need_not_be_in_the_suite(toys, tmp_path, portrait):
    write_recognizer(toys.parent / "weights", "dan")
    assert protect(toys, tmp_path / "out", portrait, options=["--judge", "dan,dan"]) == 0
    (outcome,) = outcomes(tmp_path / "out")
    assert outcome["surrogates"] == ["ada", "bob", "cyd"] and list(outcome["faces"][0]["judges"]) == ["dan"]


def test_a_fixed_surrogate_that_judges_is_left_out(toys, tmp_path, portrait):
    toys.write_text(yaml.safe_dump(yaml.safe_load(toys.read_text()) | {"surrogates": ["ada", "bob"]}))
    assert protect(toys, tmp_path / "out", portrait, options=["--judge", "ada"]) == 0
    assert outcomes(tmp_path / "out")[0]["surrogates"] == ["bob"]


def test_a_judge_that_is_attacked_under_another_name_is_refused(toys, tmp_path, portrait, capsys):
    weights = toys.parent / "weights"
    sidecar = json.loads((weights / "ada.json").read_text())
    (weights / "twin.json").write_text(json.dumps(sidecar | {"name": "twin"}))
    assert protect(toys, tmp_path / "out", portrait, options=["--judge", "twin"]) == 2
    assert "The judge twin is the same recognizer as ada, which is attacked" in capsys.readouterr().err
    assert protect(toys, tmp_path / "out", portrait, options=["--judge", "twin,ada"]) == 0


def test_wrong_judges_are_one_line(toys, tmp_path, portrait, capsys):
    assert protect(toys, tmp_path / "out", portrait, options=["--judge", "addda"]) == 2
    assert "Did you mean 'ada'" in capsys.readouterr().err
    write_recognizer(toys.parent / "weights", "cyd", seed=1)  # its thresholds are those of other weights
    assert protect(toys, tmp_path / "out", portrait, options=["--judge", "cyd"]) == 2
    assert "thresholds of 'cyd' were made with other weights" in capsys.readouterr().err


def test_other_judges_judge_again_and_nothing_is_protected_again(toys, tmp_path, portrait, monkeypatch, capsys):
    """Blur attacks nobody, so that its results do not depend on who judges."""
    out = tmp_path / "out"
    assert protect(toys, out, portrait, method="blur", options=["--judge", "ada"]) == 0
    (first,) = outcomes(out)
    stamp = (out / "me.png").stat().st_mtime_ns
    monkeypatch.setattr(Blur, "protect", lambda *_: pytest.fail("protected again"))
    assert protect(toys, out, portrait, method="blur", options=["--judge", "ada,bob"]) == 0
    (second,) = outcomes(out)
    assert list(second["faces"][0]["judges"]) == ["ada", "bob"] and (out / "me.png").stat().st_mtime_ns == stamp
    assert second["faces"][0]["judges"]["ada"] == first["faces"][0]["judges"]["ada"]
    assert "(done" in capsys.readouterr().out
    thresholds(toys, ada=0.9999)
    assert protect(toys, out, portrait, method="blur", options=["--judge", "ada"]) == 0
    assert outcomes(out)[0]["faces"][0]["judges"]["ada"]["matches_original"] is False
    monkeypatch.setattr(PhotoJudges, "compare", lambda *_: pytest.fail("judged again"))
    assert protect(toys, out, portrait, method="blur", options=["--judge", "ada"]) == 0


def test_who_is_attacked_depends_on_the_judges_and_so_does_the_result(toys, tmp_path, portrait):
    out = tmp_path / "out"
    assert protect(toys, out, portrait) == 0
    before = read_image(out / "me.png")
    assert protect(toys, out, portrait, options=["--judge", "ada"]) == 0
    assert not np.array_equal(read_image(out / "me.png"), before)


def test_a_face_that_is_not_found_any_more_is_said_to_be_missing(toys, tmp_path, portrait, monkeypatch, capsys):
    """A suite that searches for faces, and a method that paints everything grey."""
    toys.write_text(yaml.safe_dump(yaml.safe_load(toys.read_text()) | {"detect": True}))
    for name in ("100", "100_test"):
        Image.fromarray(astronaut()[:256, 90:346]).resize((SIZE, SIZE)).save(toys.parent / "targets" / f"{name}.png")
    monkeypatch.setattr(Blur, "protect", lambda self, batch: Protected(torch.zeros_like(batch.images), [None]))
    assert protect(toys, tmp_path / "out", portrait, method="blur", options=["--judge", "ada"]) == 0
    said = outcomes(tmp_path / "out")[0]["faces"][0]["judges"]["ada"]
    assert said["detected"] is False and said["cosine_to_original_after"] is said["matches_original"] is None
    assert isinstance(said["cosine_to_target_before"], float)
    assert "ada finds no face" in " ".join(re.split(r"[\s│]+", capsys.readouterr().out))


def test_black_boxes_are_judges_now(toys, tmp_path, portrait, capsys):
    with pytest.raises(SystemExit):
        protect(toys, tmp_path / "out", portrait, options=["--black-box", "ada"])
    with pytest.raises((TypeError, FacecloakError), match="black_boxes"):
        facecloak.protect(portrait, suite=str(toys), method="blur", black_boxes=["ada"])


def test_results_are_the_same_photo_wherever_they_were_protected(toys, tmp_path, portrait):
    """A photo that has been moved keeps its result, and what is recorded points to where it is now."""
    out = tmp_path / "out"
    assert protect(toys, out, portrait, method="blur") == 0
    assert outcomes(out)[0]["links"] == {"original": "../me.png", "result": "me.png"}
    (tmp_path / "new").mkdir()
    shutil.move(portrait, tmp_path / "new" / "me.png")
    assert protect(toys, out, tmp_path / "new" / "me.png", method="blur") == 0
    assert outcomes(out)[0]["links"]["original"] == "../new/me.png"
