"""Finding, checking and loading weights, and the messages when something is wrong."""

import os
import pickle

import pytest
import torch

from facecloak.assets import list_assets
from facecloak.errors import FacecloakError
from facecloak.io import pocket_dir, sha256
from facecloak.recognizers import list_recognizers, load_recognizer, weight_folders, weights_file
from facecloak.recognizers.checkpoints import POOL
from facecloak.recognizers.mobile_face import mobile_face


@pytest.fixture
def state(fill):
    return fill(mobile_face()).state_dict()


@pytest.fixture
def file(weights):
    return weights / "mobile_face.pth"


def fails(name="mobile_face") -> str:
    with pytest.raises(FacecloakError) as caught:
        load_recognizer(name, differentiable=False)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_weights_say_which_file_from_where_to_where(weights):
    for name, checkpoint in POOL.items():
        with pytest.raises(FacecloakError) as caught:
            weights_file(name)
        message = str(caught.value)
        folder = pocket_dir() / "recognizers" if name.startswith("pocket_") else weights
        assert checkpoint.file in message and checkpoint.source in message and str(folder) in message
        assert checkpoint.asset is None or f"facecloak fetch {checkpoint.asset}" in message
    assert "amt_gan" in fails("ir152") and "facecloak fetch facenet_casia" in fails("facenet_casia")


def test_an_unknown_name_is_answered_with_the_nearest(make_onnx):
    make_onnx("my_recognizer", 127.5, 127.5)
    assert "Did you mean 'irse50'?" in fails("irse-50")
    assert "Did you mean 'my_recognizer'?" in fails("my_recogniser")


def test_folders_are_searched_in_order(tmp_path, monkeypatch, state):
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("FACECLOAK_WEIGHTS", os.pathsep.join([str(first), str(second)]))
    monkeypatch.setenv("FACECLOAK_SHARED", str(tmp_path / "shared"))
    monkeypatch.setenv("FACECLOAK_POCKET", str(tmp_path / "pocket"))
    assert weight_folders() == [first, second, tmp_path / "shared/weights", tmp_path / "pocket/recognizers"]
    for folder in reversed(weight_folders()):
        folder.mkdir(parents=True)
        (folder / "mobile_face.pth").touch()
        assert weights_file("mobile_face") == folder / "mobile_face.pth"


def test_default_folder(monkeypatch):
    monkeypatch.delenv("FACECLOAK_WEIGHTS", raising=False)
    monkeypatch.delenv("FACECLOAK_CACHE")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(weight_folders()[0]) == "/home/someone/.cache/facecloak/weights"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {key: value for key, value in state.items() if "num_batches" not in key},
    ],
)
def test_other_forms_of_a_checkpoint(file, state, wrap):
    x = torch.rand(1, 3, 50, 40) * 2 - 1
    torch.save(state, file)
    expected = load_recognizer("mobile_face", differentiable=False)(x)
    torch.save(wrap(state), file)
    assert torch.equal(load_recognizer("mobile_face", differentiable=True)(x), expected)


def test_another_networks_weights(file, state):
    del state["conv1.bn.bias"]
    state["extra.weight"] = state["linear.weight"]
    state["linear.weight"] = torch.zeros(128, 512)
    torch.save(state, file)
    message = fails()
    assert str(file) in message
    assert "1 missing (conv1.bn.bias)" in message
    assert "1 unexpected (extra.weight)" in message
    assert "1 of another shape (linear.weight)" in message


@pytest.mark.parametrize("content", [b"", b"<html>quota exceeded</html>", b"PK\x03\x04 half a file"])
def test_a_damaged_file(file, content):
    file.write_bytes(content)
    assert str(file) in fails() and "damaged" in fails()


def test_a_truncated_file(file, state):
    torch.save(state, file)
    file.write_bytes(file.read_bytes()[:-1000])
    assert "damaged" in fails()


def test_something_else_in_the_file(file):
    torch.save([1, 2, 3], file)
    assert "holds no state dict" in fails()


def test_a_file_cannot_run_code(file, tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    file.write_bytes(pickle.dumps({"weights": Attack()}, protocol=2))
    assert "damaged" in fails()
    torch.save({"weights": Attack()}, file)
    assert "damaged" in fails()
    assert not (tmp_path / "ran").exists()


def test_a_known_hash_is_checked(file, state, monkeypatch):
    torch.save(state, file)
    monkeypatch.setitem(POOL, "mobile_face", POOL["mobile_face"]._replace(sha256="0" * 64))
    message = fails()
    assert str(file) in message and "0" * 64 in message and sha256(file) in message
    monkeypatch.setitem(POOL, "mobile_face", POOL["mobile_face"]._replace(sha256=sha256(file)))
    load_recognizer("mobile_face", differentiable=False)


def test_loading_leaves_the_random_state_alone(file, state):
    torch.save(state, file)
    before = torch.get_rng_state()
    load_recognizer("mobile_face", differentiable=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_list(make_onnx, weights, file):
    file.touch()
    make_onnx("present", 127.5, 127.5)
    make_onnx("absent", 127.5, 127.5)
    (weights / "absent.onnx").unlink()
    (weights / "broken.json").write_text("{")
    entries = {entry.name: entry for entry in list_recognizers()}
    fetched = {name for name in list_assets() if name.startswith(("frbench:", "insightface:"))}
    assert set(entries) == {*POOL, *fetched, "dlib", "present", "absent", "broken"} and len(fetched) > 45
    assert entries["mobile_face"][1:5] == ("checkpoint", True, str(file), None)
    assert entries["present"][1:] == ("onnx", True, str(weights / "present.onnx"), None, "none")
    assert entries["insightface:buffalo_l"][1:3] == ("insightface", False)
    assert not entries["ir152"].present and "facecloak fetch amt_gan" in entries["ir152"].where
    assert not entries["absent"].present and "absent.onnx" in entries["absent"].where
    assert not entries["broken"].present and "broken.json: not valid JSON" in entries["broken"].where


def test_a_sidecar_cannot_take_a_built_in_name(make_onnx):
    make_onnx("ir152", 127.5, 127.5)
    assert "rename the sidecar" in fails("anything")
