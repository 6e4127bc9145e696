"""`python -m benchmarks.studies.adversaries`: two recognizers as one, and one that has learned one method's cloaks."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks.results.store import read_protection
from benchmarks.studies import adapted, adversaries
from benchmarks.studies.adversaries import EVERY, Adversary, change, main, measure, pair_table, pairs_of, together
from benchmarks.suites.suite import load_suite
from facecloak import benchmark, load_recognizer
from facecloak.data import to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.io import pocket_dir, read_image
from facecloak.pocket.training.assets import Assets
from facecloak.pocket.training.corpus import CROP, SHOTS, Corpus
from facecloak.pocket.training.report import calibrate_on
from facecloak.recognizers import Recognizer


def toy(seed, size=16):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 12), nn.Tanh(), nn.Linear(12, 4 + seed))
    return Recognizer(network, f"toy{seed}", size, None)


def test_two_together_are_their_unit_embeddings_side_by_side_and_their_cosine_is_the_mean():
    parts = [load_recognizer("pocket_ir"), load_recognizer("pocket_dense")]
    faces = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        alone = [part(faces).double() for part in parts]
        both = together(parts)(faces).double()
    assert torch.allclose(both, torch.cat(alone, 1) / 2**0.5, atol=1e-6)
    cosines = [each @ each.T for each in alone]
    assert torch.allclose(both @ both.T, sum(cosines) / 2, atol=1e-6)
    assert not torch.allclose(cosines[0], cosines[1], atol=0.01)


def test_recognizers_that_need_other_crops_are_not_put_together():
    with pytest.raises(FacecloakError, match=r"toy0 \+ toy1 take faces of different sizes \(16, 24 px\)"):
        together([toy(0), toy(1, 24)])


def test_at_the_threshold_of_two_one_in_a_hundred_pairs_of_strangers_is_accepted():
    people = 60
    random = np.random.default_rng(0)
    own = random.uniform(0, 255, (people, 1, 4, 4, 3)).repeat(SHOTS, 1)
    coarse = (own + random.normal(0, 30, own.shape)).clip(0, 255).reshape(-1, 4, 4, 3)
    images = np.kron(coarse, np.ones((1, 32, 32, 1))).astype(np.uint8)
    parts = [toy(0), toy(1)]
    entry = calibrate_on(together(parts), Corpus(images, np.arange(people).repeat(SHOTS), []))
    cosines = 0
    for part in parts:
        with torch.no_grad():
            faces = crop(
                torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1, torch.tensor([CROP] * len(images)), 16
            )
            embedded = part(faces).view(people, SHOTS, -1).double().numpy()
        cosines = cosines + np.einsum("aid,bjd->abij", embedded[:, :2], embedded[:, 2:4]) / 2
    strangers = cosines[~np.eye(people, dtype=bool)].flatten()
    accepted = (strangers > entry["fars"]["0.01"]["threshold"] + 1e-6).mean()
    assert 0.009 < accepted <= 0.01 and entry["n_pairs"] == len(strangers)


def test_only_recognizers_that_were_not_attacked_are_put_together():
    suite = load_suite("pocket")
    others = [name for name in suite.recognizers if name != "pocket_dense"]
    assert pairs_of(suite, others[1:]) == [(others[0], "pocket_dense")]
    assert pairs_of(suite, others) == pairs_of(suite, ["pocket_dense"]) == []
    assert pairs_of(suite, ()) == [(name, "pocket_dense") for name in others]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("adversaries") / "run"
    boxes = ["pocket_ir", "pocket_dense"]
    return benchmark("pocket", methods=["none", "pgd"], targets=["1"], limit=2, black_boxes=boxes, out=out)


def test_rates_are_those_of_the_pictures_and_of_the_run_itself(run):
    (folder,) = run.runs
    names = ["pocket_ir", "pocket_dense"]
    alone = {name: load_recognizer(name) for name in names}
    (pictures,) = [
        path / "images"
        for path in (folder / "protections").glob("pgd*")
        if names[0] not in read_protection(path)["weights"]
    ]
    cosines = {}  # photo → mean cosine to the person's second photo: protected, unprotected
    for picture in sorted(pictures.glob("*.png")):
        sides = (picture, pocket_dir() / "photos" / "sources" / "1" / picture.name)
        cosines[picture.stem] = [np.mean([_cosine(alone[name], side) for name in names]) for side in sides]
    now, clean = next(iter(cosines.values()))
    threshold = (now + clean) / 2
    entries = {name: load_suite("pocket").load_thresholds(name, alone[name].weights_sha256) for name in names}
    known = {name: Adversary(alone[name], entries[name]["fars"]["0.01"]["threshold"]) for name in names}
    known["both"] = Adversary(together([*alone.values()]), threshold)
    groups = {"judge": names[0], "held out": names[1], "together": "both"}
    lines = measure(folder, known, lambda about: [] if names[0] in about["weights"] else [groups])
    assert len(lines) == 2 * 2 * 3 and {*lines[lines["attacks"]]["method"]} == {"pgd"}
    own = run.table.query("far == 0.01 and black_box == 'pocket_ir'").set_index("method")
    for method in ("none", "pgd"):
        part = lines[(lines["method"] == method) & (lines["by"] == "judge")]
        for rate in ("psr", "psr_clean", "dodging", "dodging_clean"):
            assert part[rate].mean() == pytest.approx(100 * own.loc[method, rate])
    found = lines[(lines["method"] == "pgd") & (lines["by"] == "together")].set_index("id")
    for name, (now, clean) in cosines.items():
        assert found.loc[name, "dodging"] == 100 * (now < threshold)
        assert found.loc[name, "dodging_clean"] == 100 * (clean < threshold)
    assert (found["dodging"] != found["dodging_clean"]).any()


def _cosine(recognizer, picture):
    """To the second photo of the person."""
    images = to_tensor([read_image(picture), read_image(pocket_dir() / "photos" / "second" / picture.name)])
    with torch.no_grad():
        one, other = recognizer(crop(images, torch.tensor([CROP] * 2).float(), recognizer.input_size))
    return float(one @ other)


def _lines(method, attacks, **rates):
    """Two photos, each seen once; a rate is two numbers by adversary."""
    return pd.concat(
        pd.DataFrame({"method": method, "attacks": attacks, "id": ["a", "b"], "by": by, "psr": values, "psr_clean": 0.0,
                      "dodging": values, "dodging_clean": [0.0, 100.0]})
        for by, values in rates.items()
    )  # fmt: skip


def test_the_table_has_rates_and_the_change_from_one_recognizer_to_two():
    low = _lines("low", True, judge=[0.0, 100.0], **{"held out": [0.0, 0.0], "together": [0.0, 0.0]})
    high = _lines("high", True, judge=[0.0, 100.0], **{"held out": [100.0, 0.0], "together": [100.0, 100.0]})
    plain = _lines("plain", False, judge=[0.0, 0.0], **{"held out": [0.0, 0.0], "together": [0.0, 100.0]})
    table = pair_table(pd.concat([low, high, plain], ignore_index=True)).set_index("method")
    assert [*table.index] == ["high", "plain", "low", EVERY]
    assert table.loc["high", "PSR %, judge"] == "50.0 (0)" and table.loc["high", "dodging %, together"] == "100.0 (50)"
    assert table.loc["high", "PSR, together − alone"] == "50.0 (50 to 50)"
    assert table.loc["low", "PSR, together − alone"] == "−25.0 (−50 to 0)"
    assert table.loc[EVERY, "PSR, together − alone"].startswith("12.5 (")  # plain attacks nothing and is not in it
    assert change(high, "psr", "together", ["judge"]).mean == 50


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_command_writes_the_table_and_nothing_into_the_run(run, tmp_path, monkeypatch, capsys):
    entry = {"fars": {"0.01": {"threshold": 0.7, "tar": 0.9}}}
    monkeypatch.setattr(adversaries, "calibrate_on", lambda recognizer, corpus: entry)
    monkeypatch.setattr(adversaries, "render_corpus", lambda *_: None)
    before = contents(run.runs[0])
    assert main([str(run.runs[0]), "--out", str(tmp_path), "--work", str(tmp_path)]) == 0
    assert "pocket_ir + pocket_dense: threshold 0.700, true accepts 90.0 %" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "ensemble.csv")
    assert {*table["method"]} == {"none", "pgd", EVERY} and not table.isna().any(axis=None)
    assert "'" not in (tmp_path / "ensemble.csv").read_text()
    assert contents(run.runs[0]) == before


def test_what_cannot_be_compared_is_refused(run, tmp_path, sound):
    other = shutil.copytree(run.runs[0], tmp_path / "run")
    picture = min((other / "protections").glob("pgd*/images/*.png"))
    picture.write_bytes(b"another picture")
    with pytest.raises(FacecloakError, match=f"1 of 2 pictures are missing or have changed.* {picture.stem};"):
        measure(other, {}, lambda about: [])
    with pytest.raises(FacecloakError, match="no pictures of suite pocket"):
        measure(sound, {}, lambda about: [])
    with pytest.raises(FacecloakError, match="without having been attacked"):
        measure(run.runs[0], {}, lambda about: [])


def entry_of(accepts):
    return {"fars": {"0.01": {"threshold": 0.7, "tar": accepts}}}


def test_weights_go_as_far_to_the_fine_tuned_ones_as_leaves_enough_true_accepts(tmp_path, monkeypatch, capsys):
    before = load_recognizer("pocket_mobile").network.state_dict()
    moved = {name: value + 0.5 * value.is_floating_point() for name, value in before.items()}

    def adapt(*_):
        network = load_recognizer("pocket_mobile").network
        network.load_state_dict(moved)
        return network

    accepts = iter([0.90, 0.93, 0.96])
    monkeypatch.setattr(adapted, "adapt", adapt)
    monkeypatch.setattr(adapted, "PEOPLE", range(2))
    monkeypatch.setattr(adapted, "calibrate_on", lambda recognizer, test: entry_of(next(accepts)))
    images = torch.zeros(2 * SHOTS, 128, 128, 3, dtype=torch.uint8)
    labels = torch.arange(2).repeat_interleave(SHOTS)
    found = adapted.fine_tune("mobile", images, labels, entry_of(0.97), None, Assets(tmp_path, tmp_path, "cpu"))
    assert found == entry_of(0.96) and "80% of the way, true accepts -1.0 points" in capsys.readouterr().out
    made = load_file(tmp_path / "recognizers" / "pocket_mobile+adapted.safetensors")
    for name, value in made.items():
        assert torch.allclose(value.float(), before[name] + 0.4, atol=2e-3, rtol=1e-3), name


def test_it_learns_from_unprotected_photos_and_from_cloaked_ones_of_the_same_people(tmp_path, monkeypatch):
    images = np.arange(3 * SHOTS, dtype=np.uint8)[:, None, None, None]
    monkeypatch.setattr(adapted, "PEOPLE", range(3))
    monkeypatch.setattr(adapted, "render_corpus", lambda *_: Corpus(images, np.arange(3).repeat(SHOTS), []))
    monkeypatch.setattr(adapted, "cloak", lambda method, count, firsts, work: firsts[:count] + len(method) * 30)
    made, labels = adapted.learning_photos({"pgd": 2, "blur": 3}, tmp_path)
    assert made.flatten().tolist() == [*range(24), 90, 98, 120, 128, 136]
    assert labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8 + [0, 1] + [0, 1, 2]


def test_a_recognizer_learns_one_methods_cloaks_and_is_compared(run, tmp_path, monkeypatch, capsys):
    """The whole command, with two people's noise, a step, and thresholds that are not measured."""
    for name, value in {"PEOPLE": range(2), "STEPS": 1, "BATCH": 4}.items():
        monkeypatch.setattr(adapted, name, value)
    asked, labels = [], torch.tensor([0] * SHOTS + [1] * SHOTS + [0, 1])
    noise = torch.randint(0, 256, (len(labels), 128, 128, 3), dtype=torch.uint8)
    monkeypatch.setattr(adversaries, "learning_photos", lambda methods, work: asked.append(methods) or (noise, labels))
    monkeypatch.setattr(adapted, "calibrate_on", lambda recognizer, test: entry_of(0.97))
    monkeypatch.setattr(adversaries, "render_corpus", lambda *_: None)
    monkeypatch.setattr(adversaries, "ADAPTED_TO", ("pgd",))
    arguments = [str(run.runs[0]), "--adapt", "--out", str(tmp_path), "--work", str(tmp_path / "work")]
    assert main(arguments) == 0 and asked == [{"pgd": 160}]
    assert "pocket_dense+adapted: 100% of the way" in capsys.readouterr().out
    (row,) = pd.read_csv(tmp_path / "adapted_to_one.csv").to_dict("records")
    own = run.table.query("far == 0.01 and black_box == 'pocket_dense' and method == 'pgd'").iloc[0]
    assert row["method"] == "pgd" and row["true accepts"] == "97.7, 96.6, 97.0"
    assert row["PSR %, not adapted"].endswith(f"({100 * own['psr_clean']:.0f})")
    assert [*(tmp_path / "work").glob("adapted_to_one/pgd/recognizers/pocket_dense+adapted.safetensors")]
