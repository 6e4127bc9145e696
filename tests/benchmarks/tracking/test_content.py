"""The data that are sent about a method, computed from results written by hand, without a client of W&B."""

import re

import pytest

from benchmarks.tracking.content import find_methods, tracked_method, without_paths
from benchmarks.tracking.sender import judged_methods
from facecloak.errors import FacecloakError
from tests.benchmarks.tracking.written import SIZE, write_method

PLACES = {
    ("1", "ada", "bob+cyd"): 0.2,
    ("1", "ada", "bob+dan"): 0.4,  # the same place, another set of surrogates: their mean counts once
    ("1", "bob", "ada+cyd"): 0.9,
    ("1", "cyd", "ada+cyd"): 1.0,  # a white box
}


def tracked(run, rates, images=False, **about):
    return tracked_method(run, write_method(run, rates, **about), images)


def test_the_summary_is_the_mean_over_places_in_per_cent(tmp_path):
    summary = tracked(tmp_path, PLACES).summary
    assert summary["psr"] == pytest.approx(60)  # (30 + 90) / 2, neither (20 + 40 + 90) / 3 nor with the white box
    assert summary["psr/ada/1/0.01"] == pytest.approx(30) and summary["psr/bob/1/0.1"] == pytest.approx(45)
    assert summary["psr_white_box/cyd/1/0.01"] == pytest.approx(100) and "psr/cyd/1/0.01" not in summary
    assert summary["psnr"] == 30 and summary["seconds_per_image"] == 2 and summary["dodging"] == 100
    assert (summary["n_images"], summary["n_failed"], summary["n_judgements"]) == (6, 3, 4)  # of three protections
    assert not {"fid", "fd", "lpips", "psr_clean"} & set(summary), "what was not measured is left out"


def test_rates_after_countermeasures_and_by_adapted_recognizers_are_sent_by_name(tmp_path):
    """They are in no other mean."""
    folders = write_method(tmp_path, {("1", "ada", "bob"): 0.5, ("1", "bob", "ada"): 0.7})
    folders += write_method(tmp_path, {("1", "ada", "bob"): 0.2, ("1", "bob", "ada"): 0.4}, countermeasure="jpeg30")
    folders += write_method(tmp_path, {("1", "ada+adapted", "bob"): 0.1, ("1", "bob+adapted", "ada"): 0.3})
    summary = tracked_method(tmp_path, folders, images=False).summary
    found = [summary[name] for name in ("psr", "psr_after/jpeg30", "psr_after/adapted")]
    assert found == pytest.approx([60, 30, 20])
    assert "psr/ada+adapted/1/0.01" not in summary and summary["psr/ada/1/0.01"] == pytest.approx(50)


def test_a_mean_over_places_of_which_one_is_missing_is_left_out(tmp_path):
    rates = {("1", "ada", "bob"): 1.0, ("1", "bob", "ada"): 1.0, ("2", "ada", "bob"): 1.0}
    summary = tracked(tmp_path, rates).summary
    assert "psr" not in summary and "psnr" not in summary
    assert summary["psr/ada/2/0.01"] == 100 and summary["n_judgements"] == 3


def test_pictures_equal_to_their_sources_are_in_no_mean_of_the_psnr(tmp_path):
    folders = write_method(tmp_path, {("1", "ada", "bob"): 1.0}, psnr=None, n_identical=2)
    folders += write_method(tmp_path, {("2", "ada", "bob"): 1.0})
    assert tracked_method(tmp_path, folders, False).summary["psnr"] == 30


def test_curves_are_means_over_all_images_of_the_method(tmp_path):
    found = tracked(tmp_path, {("1", "ada", "bob"): 1.0, ("2", "ada", "bob"): 1.0})
    assert found.curves == [{"loss/loss": 3.0}, {"loss/loss": 2.0}]


def test_the_settings_say_how_a_method_was_run_and_rows_are_complete(tmp_path):
    found = tracked(tmp_path, PLACES, settings={"iterations": 3})
    assert found.config["pgd"] == {"iterations": 3} and found.config["headline_far"] == 0.01
    assert found.config["judges"] == ["ada", "bob", "cyd"] and found.config["targets"] == ["1"]
    assert "surrogates" not in found.config, "it is not the same in all rows"
    assert len(found.rows) == 8 and {row["psr"] for row in found.rows if row["far"] == 0.1} == {0.1, 0.2, 0.45, 0.5}
    assert (found.group, found.tags) == ("toys", ["pgd", "default", "impersonation"])
    assert found.name.startswith("pgd:default (impersonation, settings ")


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("/home/jane/models/sd", "sd"),
        ("/home/jane/my models/", "my models"),
        ("~/models/sd 2", "sd 2"),
        ("~jane", ""),
        ("../shared/sd", "sd"),
        ("$HOME/models/sd", "sd"),
        ("C:\\Users\\jane\\sd", "sd"),
        ("D:/models/sd", "sd"),
        ("\\\\server\\jane\\sd", "sd"),
        ("C:", ""),
        ("/", ""),
        ("$FACECLOAK_POCKET/diffusion", "$FACECLOAK_POCKET/diffusion"),
        ("${FACECLOAK_DATA}/a+/home/jane/b", "${FACECLOAK_DATA}/a+b"),
        ("stabilityai/stable-diffusion-2-base", "stabilityai/stable-diffusion-2-base"),
        ("none: /home/jane/my photos/x.pt: no such file", "none: x.pt: no such file"),
        ("get it from https://example.org/a/b", "get it from https://example.org/a/b"),
        ("file:///home/jane/x", "file:x"),
    ],
)
def test_of_a_path_only_the_last_component_is_sent(text, sent):
    assert without_paths({"a": [text, 1]}) == {"a": [sent, 1]}


def test_no_path_is_in_anything_that_is_sent_without_pictures(tmp_path):
    found = tracked(
        tmp_path, PLACES, settings={"model": {"folder": "/home/jane/sd"}}, dataset="/home/jane/photos",
        note="distances not measured: ~/weights/x.pt: no such file", threshold_source="/home/jane/t.json",
    )  # fmt: skip
    sent = [found.stem, found.name, found.group, found.tags, found.config, found.summary, found.rows, found.curves]
    assert "jane" not in str(sent) and "~" not in str(sent)
    assert found.rows[0]["dataset"] == "photos" and found.config["pgd"] == {"model": {"folder": "sd"}}
    assert (found.samples, found.files) == ([], [])


def test_pictures_and_files_are_there_when_they_are_asked_for(tmp_path):
    found = tracked(tmp_path, PLACES, images=True)
    assert [name for name, _ in found.samples] == ["p10, target 1", "p11, target 1"] * 2
    picture = found.samples[0][1]
    assert picture.shape == (SIZE, 3 * SIZE, 3)
    assert [*picture[0, ::SIZE, 0]] == [100, 101, 138]  # original, protected, ten times the difference around grey
    names = {path.relative_to(found.folder).parts[1] for path in found.files}
    assert names == {"protection.json", "images", "outcomes", "judgements"}


def test_more_results_are_other_content_of_the_same_name(tmp_path):
    folders = write_method(tmp_path, PLACES)
    all_of_them, first, pictures = (
        tracked_method(tmp_path, some, images)
        for some, images in ((folders, False), (folders[:1], False), (folders, 1))
    )
    assert (first.stem, first.name) == (all_of_them.stem, all_of_them.name)
    assert first.content != all_of_them.content == pictures.content


@pytest.mark.parametrize("method", ["their tool", "ünï/x:y@z+1", "x" * 200])
def test_a_method_of_any_name_has_an_id_that_wandb_takes_for_a_run_and_an_artifact(tmp_path, method):
    found = tracked(tmp_path, PLACES, method=method)
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", found.stem)
    assert found.name.startswith(f"{method}:default"[:128])


def test_nothing_complete_is_an_error(tmp_path):
    (folder,) = write_method(tmp_path, {("1", "ada", "bob"): 1.0})
    (folder / "judgement.json").unlink()
    assert find_methods([tmp_path]) == {}
    with pytest.raises(FacecloakError, match="no judgement of the method is complete"):
        tracked_method(tmp_path, [folder], False)


def test_a_method_is_sent_when_one_of_another_name_begins_and_with_what_was_there_before(tmp_path):
    """Settings of a method that alternate are sent once each."""
    weak, strong = (
        write_method(tmp_path, {(target, "ada", "bob"): 1.0 for target in "12"}, settings={"strength": strength})
        for strength in (1, 9)
    )
    (blur,) = write_method(tmp_path, {("1", "ada", "bob"): 1.0}, method="blur")
    sent = judged_methods(f"{folder}\n" for folder in (weak[1], strong[0], weak[0], strong[1], blur))
    assert [judgements for _, judgements in next(sent)] == [weak, strong]
    ((method, judgements),) = next(sent)
    assert (method.run, method.method, judgements) == (tmp_path, "blur", [blur])
    assert [*sent] == []


def test_runs_in_folders_of_runs_are_found(tmp_path):
    for name in ("a", "b"):
        write_method(tmp_path / name, {("1", "ada", "bob"): 1.0})
    assert [method.run for method in find_methods([tmp_path])] == [tmp_path / "a", tmp_path / "b"]
