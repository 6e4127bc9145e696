"""Fetching, against a server on this machine: what arrives, what is kept, what each fault says."""

import logging
import os
import signal
import subprocess
import sys

import pytest

from facecloak.assets import asset_folder, fetch, find_asset, is_here, list_assets, provenance, state
from facecloak.assets import store as stores
from facecloak.assets.download import CHUNK
from facecloak.assets.paths import expand
from facecloak.errors import FacecloakError
from facecloak.io import read_json
from tests.standins import BIG, archive, fails, sha


def in_process(names: str, **environment: str) -> subprocess.Popen:
    program = f"from facecloak.assets import fetch; fetch({names!r}.split())"
    return subprocess.Popen([sys.executable, "-c", program], env=os.environ | environment, stderr=subprocess.PIPE)


def test_files_and_archives_are_fetched_once_checked_and_announced(web, table, caplog, tmp_path):
    web.files |= {"/a.bin": b"abc", "/b.zip": archive("zip", {"in/b": b"b"}), "/c.tgz": archive("tar", {"c": b"c"})}
    table(mine={
        "size": 15_000_000,
        "files": [{"addresses": ["a.bin"], "sha256": sha(b"abc")}, {"addresses": ["b.zip"], "unpack": True},
                  {"addresses": ["c.tgz"], "unpack": True}],
        "holds": ["in/b"],
    })  # fmt: skip
    assert not is_here("mine") and state("mine") == "can be fetched (15 MB)"
    with caplog.at_level(logging.WARNING):
        fetch(["mine"])
        fetch(["mine"])
    (line,) = caplog.messages
    assert "mine" in line and "15 MB" in line and "non-commercial research" in line
    folder = tmp_path / "cache" / "assets" / "mine"
    assert asset_folder("mine") == folder and state("mine") == "here" and expand("asset:mine/in/b") == folder / "in/b"
    assert {name: (folder / name).read_bytes() for name in ("a.bin", "in/b", "c")} == {
        "a.bin": b"abc", "in/b": b"b", "c": b"c"
    }  # fmt: skip
    assert [path for path, _ in web.asked] == ["/a.bin", "/b.zip", "/c.tgz"]
    assert [*(tmp_path / "cache" / "downloads").iterdir()] == []


def test_a_wrong_hash_names_the_file_and_leaves_nothing(web, table, tmp_path):
    web.files["/a.bin"] = b"not abc"
    table(mine={"files": [{"addresses": ["a.bin"], "sha256": sha(b"abc")}]})
    message = fails("mine")
    assert "mine (a.bin)" in message and f"{web.url}/a.bin" in message and sha(b"abc") in message
    assert not is_here("mine") and not [*(tmp_path / "cache" / "downloads").glob("*a.bin*")]
    web.files["/a.bin"] = b"abc"
    fetch(["mine"])


def test_without_a_published_hash_the_first_fetch_is_trusted_and_later_ones_are_checked(web, table, tmp_path):
    web.files["/a.bin"] = b"first"
    table(mine={"files": [{"addresses": ["a.bin"]}]})
    fetch(["mine"])
    assert read_json(tmp_path / "cache" / "trusted.json") == {"mine": {"a.bin": sha(b"first")}}
    (tmp_path / "cache" / "assets" / "mine").rename(tmp_path / "away")
    web.files["/a.bin"] = b"other"
    assert sha(b"first") in fails("mine")
    assert not is_here("mine")


def test_a_file_that_changed_afterwards_is_found(web, table, tmp_path, monkeypatch):
    web.files["/a.bin"] = b"first"
    table(mine={"files": [{"addresses": ["a.bin"]}]})
    fetch(["mine"])
    (asset_folder("mine") / "a.bin").write_bytes(b"secnd")
    monkeypatch.setattr(stores, "_verified", set())  # as in another process
    assert "a.bin is not the file that was fetched" in fails("mine")
    (tmp_path / "cache" / "assets" / "mine" / "a.bin").unlink()
    with pytest.raises(FacecloakError, match=r"a\.bin is missing"):
        expand("asset:mine/a.bin")


def test_the_next_address_is_tried_and_a_failure_names_all(web, table):
    web.files["/b.bin"] = b"abc"
    table(mine={"files": [{"addresses": ["gone.bin", "http://127.0.0.1:9/x", "b.bin"], "name": "a.bin"}]})
    fetch(["mine"])
    assert (asset_folder("mine") / "a.bin").read_bytes() == b"abc"
    table(yours={"files": [{"addresses": ["gone.bin", "http://127.0.0.1:9/x"]}]})
    message = fails("yours")
    assert f"{web.url}/gone.bin: the server answers 404" in message
    assert "http://127.0.0.1:9/x: no connection to 127.0.0.1:9" in message


def test_a_cut_connection_goes_on_where_it_was_cut(web, table):
    web.files["/big.bin"], web.cut["/big.bin"] = BIG, [2 * CHUNK, 3 * CHUNK]
    table(mine={"files": [{"addresses": ["big.bin"], "sha256": sha(BIG)}]})
    fetch(["mine"])
    first, second, third = (wanted for _, wanted in web.asked)
    assert first is None and second == f"bytes={2 * CHUNK}-" and third == f"bytes={5 * CHUNK}-"


def test_a_connection_that_brings_nothing_more_is_an_error_and_what_arrived_is_kept(web, table):
    web.files["/big.bin"], web.cut["/big.bin"] = BIG, [2 * CHUNK, 0]
    table(mine={"files": [{"addresses": ["big.bin"], "sha256": sha(BIG)}]})
    assert "the connection was cut after 0.5 MB, which are kept: run the command again" in fails("mine")
    fetch(["mine"])
    assert web.asked[-1] == ("/big.bin", f"bytes={2 * CHUNK}-")


def test_a_half_file_of_another_version_is_not_continued(web, table):
    """Nobody has published a hash that would tell them apart, but the server's tag does."""
    web.files["/big.bin"], web.cut["/big.bin"] = BIG, [2 * CHUNK, 0]
    table(mine={"files": [{"addresses": ["big.bin"]}]})
    assert "are kept" in fails("mine")
    web.files["/big.bin"] = newer = BIG[::-1]
    fetch(["mine"])
    assert (asset_folder("mine") / "big.bin").read_bytes() == newer


def test_stopped_after_the_last_download_nothing_is_downloaded_again(web, table, monkeypatch):
    web.files["/big.bin"] = BIG
    table(mine={"files": [{"addresses": ["big.bin"], "sha256": sha(BIG)}]})
    with monkeypatch.context() as patch:
        patch.setattr(
            sys.modules["facecloak.assets.fetch"], "write_record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            fetch(["mine"])
    assert not is_here("mine")
    fetch(["mine"])
    assert is_here("mine") and web.count("/big.bin") == 1


def test_killed_in_the_middle_it_goes_on(web, table):
    web.files["/big.bin"] = BIG
    web.hold.add("/big.bin")
    table(mine={"files": [{"addresses": ["big.bin"], "sha256": sha(BIG)}]})
    process = in_process("mine")
    assert web.halfway.wait(60)
    part = stores.cache_dir() / "downloads"
    while not any(path.stat().st_size for path in part.glob("*.part")):  # until it has written what arrived
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not is_here("mine")
    web.hold.clear()
    web.release.set()
    fetch(["mine"])
    wanted = web.asked[-1][1]
    assert wanted is not None and 0 < int(wanted.removeprefix("bytes=").rstrip("-")) <= len(BIG) // 2
    assert (asset_folder("mine") / "big.bin").read_bytes() == BIG


def test_eight_processes_fetch_once(web, table):
    web.files["/big.bin"] = BIG
    table(mine={"files": [{"addresses": ["big.bin"]}]})
    processes = [in_process("mine") for _ in range(8)]
    said = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert web.count("/big.bin") == 1 and sum("Fetching mine" in text for text in said) == 1


def test_who_waits_for_another_fetch_is_told(web, table):
    web.files |= {"/big.bin": BIG, "/a.bin": b"abc"}
    web.hold.add("/big.bin")
    table(big={"files": [{"addresses": ["big.bin"]}]}, small={"files": [{"addresses": ["a.bin"]}]})
    first = in_process("big")
    assert web.halfway.wait(60)
    second = in_process("small")
    assert b"Waiting for another process" in second.stderr.readline() and web.count("/a.bin") == 0
    web.release.set()
    assert [process.wait(60) for process in (first, second)] == [0, 0]
    assert is_here("big") and is_here("small")


@pytest.mark.parametrize("variable", ["FACECLOAK_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_opens_no_connection_and_says_where_to_put_it(web, table, monkeypatch, variable):
    web.files["/a.bin"] = b"abc"
    table(mine={"size": 3, "files": [{"addresses": ["a.bin"]}]}, model={"hub": ["some/model"]})
    monkeypatch.setenv(variable, "1")
    message = fails("mine", "model")
    assert "facecloak fetch mine model" in message and str(stores.cache_dir()) in message
    assert web.asked == []
    monkeypatch.delenv(variable)
    fetch(["mine"])
    monkeypatch.setenv(variable, "1")
    fetch(["mine"])


def test_a_full_disk_is_one_line_that_names_the_cache(web, table):
    web.files["/big.bin"] = BIG
    table(mine={"files": [{"addresses": ["big.bin"]}]})
    downloads = stores.cache_dir() / "downloads"
    downloads.mkdir(parents=True)
    from facecloak.io import sha256_json

    part = downloads / f"{sha256_json(f'{web.url}/big.bin')[:16]}.part"
    part.symlink_to("/dev/full")  # a file on a disk without space
    message = fails("mine")
    assert "No space left on device" in message and "$FACECLOAK_CACHE" in message
    part.unlink()
    fetch(["mine"])


def test_a_cache_that_cannot_be_written_is_one_line(web, table, monkeypatch):
    table(mine={"files": [{"addresses": ["a.bin"]}]})
    monkeypatch.setenv("FACECLOAK_CACHE", "/proc/facecloak")
    message = fails("mine")
    assert "/proc/facecloak" in message and "$FACECLOAK_CACHE" in message


def test_an_archive_cannot_write_outside_its_folder(web, table, tmp_path):
    web.files |= {"/a.tgz": archive("tar", {"../../out": b"x"}), "/b.zip": archive("zip", {"../../out": b"x"})}
    table(
        tar={"files": [{"addresses": ["a.tgz"], "unpack": True}]},
        zip={"files": [{"addresses": ["b.zip"], "unpack": True}]},
    )
    assert "not a whole archive" in fails("tar")
    fetch(["zip"])  # the library puts it inside
    assert not [path for path in tmp_path.rglob("out") if "unpacking" not in path.parts and "zip" not in path.parts]


@pytest.mark.parametrize("content", [b"<html>quota exceeded</html>", b"PK\x03\x04 half", b""])
def test_what_is_no_archive_is_said_and_fetched_again(web, table, content):
    web.files["/a.zip"] = content
    table(mine={"files": [{"addresses": ["a.zip"], "unpack": True}]})
    assert "mine" in fails("mine") and not is_here("mine")
    web.files["/a.zip"] = archive("zip", {"a": b"a"})
    fetch(["mine"])
    assert is_here("mine")


def test_an_archive_that_lacks_what_it_should_hold(web, table):
    web.files["/a.zip"] = archive("zip", {"readme": b"a"})
    table(mine={"files": [{"addresses": ["a.zip"], "unpack": True}], "holds": ["**/net.onnx"]})
    assert "lacks **/net.onnx" in fails("mine")


def test_by_hand_says_where_and_is_found_then_and_watched(web, table, monkeypatch):
    table(mine={"by_hand": "the form at example.org", "holds": ["1/*"]})
    folder = stores.folder_of(find_asset("mine"))
    assert "the form at example.org" in fails("mine") and str(folder) in fails("mine")
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "a.png").write_bytes(b"a")
    fetch(["mine"])
    assert provenance("mine")["sha256"] == read_json(stores.cache_dir() / "trusted.json")["mine"][str(folder)]
    (folder / "1" / "a.png").write_bytes(b"b")
    monkeypatch.setattr(stores, "_verified", set())
    assert "has changed since its first use" in fails("mine")


def test_another_programs_folder_is_used_as_it_is(web, table, tmp_path, monkeypatch):
    table(mine={"files": [{"addresses": ["a.bin"]}], "elsewhere": ["$OTHER_HOME/mine"], "holds": ["net"]})
    assert not is_here("mine")
    monkeypatch.setenv("OTHER_HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert not is_here("mine")
    (tmp_path / "mine" / "net").touch()
    fetch(["mine"])
    assert asset_folder("mine") == tmp_path / "mine" and web.asked == []
    (tmp_path / "mine" / "cache of the other program").touch()
    monkeypatch.setattr(stores, "_verified", set())
    fetch(["mine"])
    (tmp_path / "mine" / "net").write_bytes(b"another")
    monkeypatch.setattr(stores, "_verified", set())
    assert "has changed since its first use" in fails("mine")


@pytest.mark.parametrize(("entry", "message"), [
    ({}, "needs one of files, hub"),
    ({"hub": ["a/b"], "drive": "x"}, "needs one of files, hub"),
    ({"files": [{"addresses": []}]}, "each file needs addresses"),
    ({"files": [{"addresses": ["http://x/a"], "name": "../a"}]}, "inside of the asset's folder"),
    ({"files": [{"addresses": ["http://x/a"], "sha256": "abc"}]}, "64 hexadecimal digits"),
    ({"hubs": ["a/b"]}, "Did you mean 'hub'?"),
])  # fmt: skip
def test_a_table_of_ones_own_is_checked(table, entry, message):
    table(mine=entry)
    assert message in fails("mine")


def test_a_missing_table_and_an_unknown_name(web, monkeypatch, tmp_path):
    assert "Did you mean 'lfw_funneled'?" in fails("lfw_funeled")
    monkeypatch.setenv("FACECLOAK_ASSETS", str(tmp_path / "gone.yaml"))
    assert "gone.yaml: no such file" in fails("lfw_funneled")


def test_the_lfw_of_the_table_is_scikit_learns():
    lfw = pytest.importorskip("sklearn.datasets._lfw").FUNNELED_ARCHIVE
    (file,) = find_asset("lfw_funneled").files
    assert (file.addresses, file.name, file.sha256) == ([lfw.url], lfw.filename, lfw.checksum)


def test_every_entry_of_the_table_says_its_licence_and_what_to_cite():
    for name in list_assets():
        asset = find_asset(name)
        assert asset.licence and asset.cite and (asset.fetchable or asset.by_hand or asset.package), name
