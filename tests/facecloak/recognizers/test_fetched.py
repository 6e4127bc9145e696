"""Recognizers that are fetched by name, from stand-ins that serve what the real releases serve."""

import io
import json
import tarfile
import zipfile

import pytest
import torch
import torch.nn.functional as F
import yaml

import facecloak
from facecloak.alignment import TEMPLATE
from facecloak.assets import asset_folder, is_here, provenance
from facecloak.assets import store as stores
from facecloak.config import to_yaml
from facecloak.errors import FacecloakError
from facecloak.io import sha256
from facecloak.recognizers import load_recognizer, weights_file
from facecloak.recognizers.mobile_face import mobile_face
from tests.standins import frbench_release, insightface_pack, serve

MOBILE = "frbench:mobilefacenet_arcface_ms1m"


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A server with the releases of all families; their entries of the table point to it."""
    monkeypatch.delenv("FACECLOAK_OFFLINE")
    monkeypatch.setenv("FACECLOAK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setattr(stores, "_verified", set())
    with serve() as web:
        pack = {"about": "x", "licence": "non-commercial research", "base": [web.url],
                "files": [{"addresses": ["pack.zip"], "unpack": True}], "holds": ["**/w600k_mbf.onnx"]}  # fmt: skip
        listed = {"about": "x", "licence": "MIT", "base": [web.url], "files": [{"addresses": ["manifest.json"]}],
                  "elsewhere": ["$FRBENCH_CACHE"], "holds": ["manifest.json"]}  # fmt: skip
        (tmp_path / "assets.yaml").write_text(to_yaml({"frbench": listed, "insightface:buffalo_sc": pack}))
        monkeypatch.setenv("FACECLOAK_ASSETS", str(tmp_path / "assets.yaml"))
        yield web


def faces(number: int = 2, side: int = 112) -> torch.Tensor:
    return torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("channel", ["rgb", "bgr"])
def test_a_recognizer_of_frbench_equals_frbenchs_own(web, tmp_path, monkeypatch, channel):
    """Its own pipeline reads the same folder, fed with the aligned faces in 0..255."""
    web.files |= frbench_release([MOBILE], mean=[0.4, 0.5, 0.6], var=[0.5, 0.4, 0.3], channel=channel)
    recognizer = load_recognizer(MOBILE, differentiable=True)
    assert (recognizer.input_size, recognizer.name) == (112, MOBILE) and is_here(MOBILE)
    assert recognizer.weights_sha256 == sha256(weights_file(MOBILE))

    import frbench

    key = MOBILE.removeprefix("frbench:")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "manifest.json").write_bytes(web.files["/manifest.json"])
    (tmp_path / "own" / key).symlink_to(asset_folder(MOBILE))
    monkeypatch.setenv("FRBENCH_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("FRBENCH_UPDATE_CHECK", "0")
    own = frbench.FR(*key.split("_"), detector=frbench.FaceDetector())
    expected = own((faces() + 1) * 127.5, need_crop=False, tta=(), l2_normalize=True).embeddings
    assert torch.allclose(recognizer(faces()), expected, atol=1e-5)
    assert not torch.allclose(recognizer(faces().flip(1)), expected, atol=1e-2)
    recognizer(images := faces().requires_grad_()).sum().backward()
    assert images.grad.abs().sum() > 0


def test_frbenchs_own_cache_is_used(web, tmp_path, monkeypatch):
    files = frbench_release([MOBILE])
    key = MOBILE.removeprefix("frbench:")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "manifest.json").write_bytes(files["/manifest.json"])
    with tarfile.open(fileobj=io.BytesIO(files[f"/{key}.tar.gz"])) as members:
        members.extractall(tmp_path / "own", filter="data")
    monkeypatch.setenv("FRBENCH_CACHE", str(tmp_path / "own"))
    assert load_recognizer(MOBILE).input_size == 112
    assert web.asked == []


def test_the_manifests_hash_is_checked_and_a_missing_entry_is_said(web):
    web.files |= frbench_release([MOBILE])
    entries = json.loads(web.files["/manifest.json"])
    entries[MOBILE.removeprefix("frbench:")]["sha"] = "0" * 64
    web.files["/manifest.json"] = json.dumps(entries).encode()
    with pytest.raises(
        FacecloakError, match=r"mobilefacenet_arcface_ms1m\.tar\.gz: its SHA-256 is not the expected 0000"
    ):
        load_recognizer(MOBILE)
    with pytest.raises(FacecloakError, match="is not in the manifest of frbench"):
        load_recognizer("frbench:irse-50_arcface_ms1m")


@pytest.mark.parametrize(("shift", "fits"), [(0.2, True), (6.0, False)])
def test_another_alignment_than_arcfaces_is_refused(web, shift, fits):
    web.files |= frbench_release([MOBILE], template=[[x + shift, y] for x, y in TEMPLATE])
    if fits:
        load_recognizer(MOBILE)
    else:
        with pytest.raises(FacecloakError, match="aligned in another way than the crop arcface"):
            load_recognizer(MOBILE)


def test_half_a_folder_of_frbench_is_one_line(web, tmp_path, monkeypatch):
    """A download of FRBench's own that was killed, and a folder that its manifest does not know."""
    web.files |= frbench_release([MOBILE])
    key, other = MOBILE.removeprefix("frbench:"), "irse-50_arcface_ms1m"
    monkeypatch.setenv("FRBENCH_CACHE", str(tmp_path / "own"))
    for name in (key, other):
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "config.yaml").touch()
    (tmp_path / "own" / "manifest.json").write_bytes(web.files["/manifest.json"])
    with pytest.raises(FacecloakError, match=r"weights\.pth is missing: delete"):
        load_recognizer(MOBILE)
    with pytest.raises(FacecloakError, match="but not in"):
        load_recognizer(f"frbench:{other}")
    assert len(facecloak.list_recognizers()) > 50


def test_a_configuration_that_is_none_is_said(web):
    web.files |= frbench_release([MOBILE])
    load_recognizer(MOBILE)
    config = asset_folder(MOBILE) / "config.yaml"
    config.write_text(yaml.safe_dump({"backbone": {"name": "nothing"}, "input": {"size": 112}}))
    with pytest.raises(FacecloakError, match=r"config\.yaml: not a recognizer's configuration of FRBench"):
        load_recognizer(MOBILE)


@pytest.mark.parametrize("path", ["w600k_mbf.onnx", "buffalo_sc/w600k_mbf.onnx"])
def test_a_pack_of_insightface_is_black_box_and_surrogate(web, path):
    web.files["/pack.zip"], expected = insightface_pack(path)
    for differentiable in (False, True):
        recognizer = load_recognizer("insightface:buffalo_sc", differentiable)
        assert torch.allclose(recognizer(faces()), expected(faces()), atol=1e-5)
    recognizer(images := faces().requires_grad_()).sum().backward()
    assert images.grad.abs().sum() > 0
    assert web.count("/pack.zip") == 1 and provenance("insightface:buffalo_sc")["licence"] == "non-commercial research"


def test_the_literatures_checkpoints_come_from_amt_gans_archive(web, monkeypatch, fill):
    network = fill(mobile_face())
    out, checkpoint = io.BytesIO(), io.BytesIO()
    torch.save(network.state_dict(), checkpoint)
    with zipfile.ZipFile(out, "w") as members:
        members.writestr("assets/models/mobile_face.pth", checkpoint.getvalue())
        for name in ("ir152", "irse50", "facenet"):
            members.writestr(f"assets/models/{name}.pth", b"of another test")

    def give(id, output, **_options):
        with open(output, "wb") as file:
            file.write(out.getvalue())

    monkeypatch.setattr("gdown.download", give)
    recognizer = load_recognizer("mobile_face")
    assert torch.allclose(recognizer(faces()), F.normalize(network.eval()(faces()), dim=1), atol=1e-5)
    entries = {entry.name: entry for entry in facecloak.list_recognizers()}
    assert entries["ir152"].present and entries["ir152"].where.endswith("assets/amt_gan")


def test_the_list_opens_no_connection(web):
    entries = {entry.name: entry for entry in facecloak.list_recognizers()}
    assert entries[MOBILE].asset == MOBILE and not entries[MOBILE].present and web.asked == []
