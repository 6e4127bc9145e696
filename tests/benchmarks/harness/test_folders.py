"""Which protected photo belongs to which original."""

import os

import pytest

from benchmarks.harness.folders import pair_folders
from facecloak.cli.main import main
from facecloak.errors import FacecloakError
from tests.toys import write_photo


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def pairs(tmp_path, originals, made, **options):
    first, second = touch(tmp_path / "originals", *originals), touch(tmp_path / "made", *made)
    return {
        pair.name: pair.protected and pair.protected.relative_to(second).as_posix()
        for pair in pair_folders(first, second, **options)
    }


@pytest.mark.parametrize(
    "made",
    [
        ["anna.png", "bert.png"],
        ["anna_cloaked.png", "bert_cloaked.png"],
        ["anna-attacked.jpg", "bert-attacked.png"],
        ["target7/anna.png", "target7/bert.png"],
        ["target7/anna_low_cloaked.png", "target7/bert_low_cloaked.png"],
    ],
)
def test_names_of_tools_are_understood(tmp_path, made):
    assert pairs(tmp_path, ["anna.jpg", "bert.jpg"], made) == dict(zip(("anna", "bert"), made, strict=True))


def test_a_suffix_is_one_that_all_share(tmp_path):
    with pytest.raises(FacecloakError, match=r"bert_b\.png has no original .*1 of 2 have none.*--suffix|--suffix"):
        pairs(tmp_path, ["anna.jpg", "bert.jpg"], ["anna_a.png", "bert_b.png"])


def test_a_name_that_only_begins_like_another_is_not_it(tmp_path):
    with pytest.raises(FacecloakError, match="anna2"):
        pairs(tmp_path, ["anna.jpg"], ["anna2.png"])


def test_a_suffix_can_be_given(tmp_path):
    assert pairs(tmp_path, ["a.jpg", "a_1.jpg"], ["ax.png", "a_1x.png"], suffix="x") == {
        "a": "ax.png",
        "a_1": "a_1x.png",
    }


def test_trees_are_paired_by_path(tmp_path):
    found = pairs(tmp_path, ["anna/1.jpg", "bert/1.jpg", "bert/2.jpg"], ["anna/1.png", "bert/1.png"])
    assert found == {"anna__1": "anna/1.png", "bert__1": "bert/1.png", "bert__2": None}


def test_folders_and_hidden_files_are_no_photos(tmp_path):
    (tmp_path / "made" / "dir.png").mkdir(parents=True)
    assert pairs(tmp_path, ["a.jpg", "._a.jpg", ".hidden/b.jpg"], ["a.png"]) == {"a": "a.png"}


def test_odd_names_get_one_that_results_can_have(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (found,) = pairs(tmp_path, [name], [name])
    assert found.isascii() and found.startswith("caf")


def test_others_without_a_common_name_are_an_error(tmp_path):
    touch(tmp_path / "others", "z.png")
    with pytest.raises(FacecloakError, match="None of the 1 photos"):
        pairs(tmp_path, ["a.jpg"], ["a.png"], others=tmp_path / "others")


def test_a_tree_with_a_suffix_is_scored_and_can_be_checked(toys, tmp_path, capsys):
    for person in ("anna", "bert"):
        write_photo(tmp_path / "originals" / person / "1.png", len(person))
        write_photo(tmp_path / "made" / person / "1_cloaked.png", 7)
    folders = ["--originals", str(tmp_path / "originals"), "--protected", str(tmp_path / "made")]
    assert main(["evaluate", *folders, "--suite", str(toys), "--out", str(tmp_path / "run"), "--as", "tool"]) == 0
    assert main(["leaderboard", "--check", "--rejudge", str(tmp_path / "run")]) == 0, capsys.readouterr().out
