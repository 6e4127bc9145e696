"""The stored entry: its content, when it is refused, and when it no longer fits."""

import json

import numpy as np
import pytest
from torch import nn

from facecloak.errors import FacecloakError
from facecloak.io import write_json
from facecloak.recognizers import Recognizer
from facecloak.recognizers.calibration import Side, calibrate, load_thresholds, lookup
from facecloak.recognizers.thresholds import threshold_at
from tests.reference.impostors import impostor_scores

RECOGNIZER = Recognizer(nn.Flatten(), "flat", 8, "f" * 64)
ABOUT = {"pairs": "made up", "crop": {"box": [0, 0, 8, 8]}, "date": "2026-11-23"}


def side(photo: int, count=150, seed=0) -> Side:
    centres = np.random.default_rng(seed).normal(size=(count, 16))
    noise = np.random.default_rng(photo + 1).normal(size=centres.shape)
    names = [f"p{i}" for i in range(count)]
    return Side(centres + noise, names, [f"{name}/{photo}.png" for name in names])


def both() -> Side:
    a, b = side(1), side(2)
    return Side(np.concatenate([a.embeddings, b.embeddings]), a.identities + b.identities, a.photos + b.photos)


def test_the_entry():
    a, b = side(1), side(2)
    entry = calibrate(RECOGNIZER, a, b, **ABOUT)
    scores = impostor_scores(a.embeddings, b.embeddings, a.identities, b.identities)
    assert entry["recognizer"] == "flat" and entry["weights_sha256"] == "f" * 64
    assert entry["n_pairs"] == len(scores) == 150 * 149 and entry["n_identities"] == 150
    assert {key: entry[key] for key in ABOUT} == ABOUT
    assert list(entry["fars"]) == ["0.1", "0.01", "0.001"]
    products = [u @ v / np.linalg.norm(u) / np.linalg.norm(v) for u, v in zip(a.embeddings, b.embeddings, strict=True)]
    genuine = np.array(products)
    assert entry["auc"] == pytest.approx(np.mean(genuine[:, None] > scores), abs=1e-9)
    for far, point in entry["fars"].items():
        assert point["threshold"] == threshold_at(scores, float(far))
        assert point["low"] < point["threshold"] < point["high"]
        assert point["tar"] == np.mean(genuine > point["threshold"])
    assert json.loads(json.dumps(entry)) == entry
    assert calibrate(RECOGNIZER, a, b, **ABOUT) == entry


def test_one_set_on_both_sides():
    a = both()
    entry = calibrate(RECOGNIZER, a, a, **ABOUT)
    assert entry["n_pairs"] == 300 * 299 / 2 - 150
    scores = impostor_scores(a.embeddings, a.embeddings, a.identities, a.identities)
    assert entry["fars"]["0.01"]["threshold"] == pytest.approx(threshold_at(scores, 0.01), abs=1e-12)
    assert 0.5 < entry["auc"] < 1


def test_without_genuine_pairs():
    a = side(1)
    entry = calibrate(RECOGNIZER, a, a, **ABOUT)
    assert "auc" not in entry and "tar" not in entry["fars"]["0.1"]


def test_the_hash_is_of_the_pairs():
    def hash_of(a, b):
        return calibrate(RECOGNIZER, a, b, **ABOUT)["pairs_sha256"]

    a, b = side(1), side(2)
    assert hash_of(a, b) == hash_of(b, a)
    order = np.random.default_rng(0).permutation(150)
    shuffled = Side(*(np.asarray(values)[order] for values in (a.embeddings, a.identities, a.photos)))
    assert hash_of(a, b) == hash_of(shuffled, b)
    other = Side(a.embeddings, a.identities, ["another.png", *a.photos[1:]])
    assert hash_of(a, b) != hash_of(other, b)
    fewer = Side(a.embeddings[1:], a.identities[1:], a.photos[1:])
    assert hash_of(a, b) != hash_of(fewer, b)


def test_pairs_that_would_count_twice():
    a = both()
    overlapping = Side(a.embeddings[:200], a.identities[:200], a.photos[:200])
    with pytest.raises(ValueError, match="count twice"):
        calibrate(RECOGNIZER, overlapping, a, **ABOUT)


def test_a_far_that_the_pairs_cannot_resolve():
    a, b = side(1, 40), side(2, 40)  # 1560 pairs
    with pytest.raises(FacecloakError, match=r"1560 impostor pairs cannot resolve .* 0\.001; at least 10000"):
        calibrate(RECOGNIZER, a, b, **ABOUT)
    assert list(calibrate(RECOGNIZER, a, b, **ABOUT, fars=(0.1, 0.01))["fars"]) == ["0.1", "0.01"]


def test_stored_and_found_again(tmp_path):
    entry = calibrate(RECOGNIZER, side(1), side(2), **ABOUT)
    write_json(tmp_path / "suite.json", {"flat": entry})
    table = load_thresholds(tmp_path / "suite.json")
    assert lookup(table, RECOGNIZER.name, RECOGNIZER.weights_sha256, (0.1, 0.01, 0.001), "pocket") == entry


def test_an_entry_that_does_not_fit():
    table = {"flat": calibrate(RECOGNIZER, side(1), side(2), **ABOUT)}
    unknown = Recognizer(nn.Flatten(), "round", 8, "f" * 64)
    with pytest.raises(FacecloakError, match="'round' has no thresholds: run `facecloak calibrate pocket`"):
        lookup(table, unknown.name, unknown.weights_sha256, [0.01], "pocket")
    with pytest.raises(FacecloakError, match=r"no threshold at FAR 0.0001: run `facecloak"):
        lookup(table, RECOGNIZER.name, RECOGNIZER.weights_sha256, [0.01, 0.0001], "pocket")
    retrained = Recognizer(nn.Flatten(), "flat", 8, "e" * 64)
    with pytest.raises(FacecloakError, match=f"other weights .{'f' * 64}, present {'e' * 64}.: run `facecloak"):
        lookup(table, retrained.name, retrained.weights_sha256, [0.01], "pocket")


def test_published_thresholds_hold_for_any_weights(tmp_path):
    published = {"weights_sha256": None, "source": "reported", "fars": {"0.01": {"threshold": 0.166788}}}
    write_json(tmp_path / "paper.json", {"flat": published})
    assert (
        lookup(load_thresholds(tmp_path / "paper.json"), RECOGNIZER.name, RECOGNIZER.weights_sha256, [0.01], "paper")
        == published
    )


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {},
        {"weights_sha256": None, "source": "reported"},
        {"weights_sha256": None, "source": "reported", "fars": {"0.1": 0.3}},
        {"weights_sha256": None, "source": "reported", "fars": {"0.1": {"threshold": "high"}}},
        {"source": "reported", "fars": {"0.1": {"threshold": 0.3}}},
    ],
)
def test_a_damaged_entry(tmp_path, entry):
    write_json(tmp_path / "suite.json", {"flat": entry})
    with pytest.raises(FacecloakError, match=r"suite.json: 'flat' needs weights_sha256, source"):
        load_thresholds(tmp_path / "suite.json")


def test_a_file_that_is_no_table(tmp_path):
    write_json(tmp_path / "suite.json", [1])
    with pytest.raises(FacecloakError, match="expected a mapping"):
        load_thresholds(tmp_path / "suite.json")
    with pytest.raises(FacecloakError, match="no such file"):
        load_thresholds(tmp_path / "none.json")
