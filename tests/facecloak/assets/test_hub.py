"""Models of the hub, and archives of Google Drive, from stand-ins."""

import json

import pytest

from facecloak.assets import asset_folder, fetch, is_here, provenance
from tests.standins import BIG, archive, fails

HUB = {
    "model_index.json": b"{}", "unet/config.json": b'{"a": 1}', "unet/net.safetensors": BIG,
    "unet/net.fp16.safetensors": b"half", "whole.safetensors": b"everything in one", "README.md": b"no",
}  # fmt: skip


@pytest.fixture
def hub(web, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    return web


def test_a_model_of_the_hub_comes_at_one_revision_which_is_pinned(hub, table, tmp_path):
    hub.add_model("some/model", "a" * 40, HUB)
    table(model={"hub": ["some/model"]})
    fetch(["model"])
    folder = asset_folder("model")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.is_file()) == [
        ".asset.json", "model_index.json", "unet/config.json", "unet/net.safetensors",
    ]  # fmt: skip
    assert provenance("model")["revision"] == "a" * 40
    (tmp_path / "cache" / "assets" / "model").rename(tmp_path / "away")
    hub.add_model("some/model", "b" * 40, {**HUB, "unet/net.safetensors": b"newer"})
    hub.files["/api/models/some/model/revision/" + "a" * 40] = json.dumps({
        "id": "some/model", "sha": "a" * 40, "siblings": [{"rfilename": name} for name in HUB],
    }).encode()  # fmt: skip
    fetch(["model"])
    assert provenance("model")["revision"] == "a" * 40
    assert (asset_folder("model") / "unet" / "net.safetensors").read_bytes() == BIG


def test_a_mirror_must_have_the_same_weights(hub, table, tmp_path):
    hub.add_model("first/model", "a" * 40, HUB)
    table(model={"hub": ["first/model", "mirror/model"]})
    fetch(["model"])
    (tmp_path / "cache" / "assets" / "model").rename(tmp_path / "away")
    hub.files = {}
    assert "first/model" in fails("model") and "mirror/model" in fails("model")
    hub.add_model("mirror/model", "c" * 40, {**HUB, "unet/net.safetensors": b"others"})
    assert "unet/net.safetensors of mirror/model is not the file that was recorded" in fails("model")
    hub.add_model("mirror/model", "d" * 40, HUB)
    hub.files[f"/api/models/mirror/model/revision/{'c' * 40}"] = hub.files["/api/models/mirror/model"]
    fetch(["model"])
    assert provenance("model")["revision"] == "d" * 40


def test_a_pipeline_without_folders_keeps_its_weights(hub, table):
    """As the DDPM of CelebA-HQ has them: everything beside model_index.json."""
    hub.add_model("some/ddpm", "a" * 40, {"model_index.json": b"{}", "config.json": b"{}", "net.safetensors": b"net"})
    fetch(["hub:some/ddpm"])
    assert (asset_folder("hub:some/ddpm") / "net.safetensors").read_bytes() == b"net"


def test_a_model_without_safetensors_is_refused(hub, table):
    hub.add_model("some/model", "a" * 40, {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    assert "no safetensors weights" in fails("hub:some/model")


def test_google_drive_gives_an_archive_or_says_what_to_do(web, table, monkeypatch, tmp_path):
    table(mine={"drive": "ID", "holds": ["models/net.pth"]})

    def refuse(**_options):
        raise RuntimeError("Too many users have viewed or downloaded this file recently.")

    monkeypatch.setattr("gdown.download", refuse)
    message = fails("mine")
    zipped = tmp_path / "cache" / "downloads" / "mine.zip"
    assert "Too many users" in message and "https://drive.google.com/file/d/ID" in message and str(zipped) in message
    zipped.write_bytes(archive("zip", {"models/net.pth": b"net"}))  # the user does it
    fetch(["mine"])
    assert (asset_folder("mine") / "models" / "net.pth").read_bytes() == b"net"
    (tmp_path / "cache" / "assets" / "mine").rename(tmp_path / "away")

    def give(id, output, **_options):
        assert id == "ID"
        with open(output, "wb") as file:
            file.write(archive("zip", {"models/net.pth": b"net"}))

    monkeypatch.setattr("gdown.download", give)
    fetch(["mine"])
    assert is_here("mine")
