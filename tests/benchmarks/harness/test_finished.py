"""What programs that look at a finished run again may rely on: everything is there, and as it was."""

import shutil
from dataclasses import replace

import pytest

from benchmarks.harness.finished import complete, finished, load_adversary, names_of, open_run
from benchmarks.harness.plan import Request, make_plan
from benchmarks.harness.rejudge import judge_run
from benchmarks.harness.runner import Runner
from benchmarks.results.store import find_judgements
from benchmarks.suites.suite import load_suite
from facecloak.errors import FacecloakError
from facecloak.io import read_json, write_json
from tests.toys import write_photo, write_recognizer


@pytest.fixture
def out(toys, tmp_path):
    """A run of two photos, in which pgd attacks the judge."""
    protect(toys, tmp_path / "out", iterations=1)
    return tmp_path / "out"


def protect(suite, out, iterations, methods=("pgd:single",)):
    settings = {name.partition(":")[0]: {"iterations": iterations} for name in methods if name != "blur"}
    request = Request(out=out, methods=methods, config=settings, targets=["1"], limit=2, white_boxes=["ada"])
    Runner(make_plan(load_suite(str(suite)), request)).run()


def only(protections):
    ((folder, about),) = protections.items()
    return folder, about


def fail(folder, name):
    """Make it a picture that the method failed on."""
    path = folder / "outcomes" / f"{name}.json"
    write_json(path, read_json(path) | {"error": "made up", "png_sha256": None})
    (folder / "images" / f"{name}.png").unlink()


def test_a_finished_run_is_opened_with_the_photos_that_it_used_and_is_only_read(out):
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    judging, protections = open_run(out, "toys")
    found = complete(judging, *only(protections))
    assert [source.name for source in judging.sources] == found.names == ["p0", "p1"]  # two of four
    assert [*found.pictures.protected] == ["p0", "p1"] and found.missing == []
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("lost", ["changed", "removed", "without an outcome"])
def test_a_picture_that_is_missing_or_has_changed_is_an_error(out, lost):
    judging, protections = open_run(out, "toys")
    folder, about = only(protections)
    picture = folder / "images" / "p1.png"
    if lost == "changed":
        shutil.copyfile(folder / "images" / "p0.png", picture)
    elif lost == "removed":
        picture.unlink()
    else:
        (folder / "outcomes" / "p1.json").unlink()
    assert finished(judging, folder, about).missing == ["p1"]
    with pytest.raises(FacecloakError, match="1 of 2 pictures are missing or have changed, the first is that of p1"):
        complete(judging, folder, about)


def test_further_judges_leave_out_an_incomplete_protection_but_not_one_with_a_failed_picture(out):
    _, protections = open_run(out, "toys")
    folder, _ = only(protections)
    fail(folder, "p1")
    done = judge_run(out, ["bob"])
    assert len(done.folders) == 1 and done.incomplete == []
    (folder / "images" / "p0.png").unlink()
    done = judge_run(out, ["cyd"])
    assert done.folders == [] and done.incomplete == [folder.name]


def test_a_picture_that_failed_is_not_missing(out):
    judging, protections = open_run(out, "toys")
    folder, about = only(protections)
    fail(folder, "p1")
    found = complete(judging, folder, about)
    assert found.pictures.errors == {"p1": "made up"} and [*found.pictures.protected] == ["p0"]


def test_photos_targets_and_weights_are_those_of_the_run(toys, out):
    judging, protections = open_run(out, "toys")
    write_photo(toys.parent / "targets" / "100.png", 101)
    with pytest.raises(FacecloakError, match="photo of target 1 is not the one that was attacked"):
        complete(judging, *only(protections))
    write_photo(toys.parent / "targets" / "100.png", 100)
    complete(judging, *only(protections))
    write_recognizer(toys.parent / "weights", "ada", seed=1)
    with pytest.raises(FacecloakError, match="weights of ada here differ from those of the run"):
        complete(judging, *only(protections))
    write_photo(toys.parent / "photos" / "p1.png", 102)
    with pytest.raises(FacecloakError, match="photos are not those that this run was made from"):
        open_run(out, "toys")


def test_a_set_of_targets_that_was_attacked_is_the_runs_too(toys, tmp_path):
    out = tmp_path / "set"
    protect(toys, out, 1, ["tip_im:set"])
    judging, protections = open_run(out, "toys")
    complete(judging, *only(protections))
    write_photo(toys.parent / "targets" / "200.png", 201)
    with pytest.raises(FacecloakError, match="photo of target 2 is not the one that was attacked"):
        complete(judging, *only(protections))


def test_a_run_without_the_suite_or_a_judgement_and_two_runs_are_refused(out, tmp_path):
    with pytest.raises(FacecloakError, match="no pictures of suite pocket"):
        open_run(out, "pocket")
    shutil.copytree(out, tmp_path / "both" / "a")
    shutil.copytree(out, tmp_path / "both" / "b")
    with pytest.raises(FacecloakError, match=r"both contains several runs \(.*a, .*b\)"):
        open_run(tmp_path / "both", "toys")
    for folder in find_judgements([out]):
        (folder / "judgement.json").unlink()
    with pytest.raises(FacecloakError, match="no finished judgement"):
        open_run(out, "toys")


def test_two_settings_of_a_method_have_two_names(toys, out):
    _, protections = open_run(out, "toys")
    assert [*names_of(protections).values()] == ["pgd:single*"]
    protect(toys, out, iterations=2, methods=["pgd:single", "blur"])
    _, protections = open_run(out, "toys")
    hashes = {about["settings_hash"][:6] for about in protections.values() if about["method"] == "pgd"}
    assert {*names_of(protections).values()} == {"blur", *(f"pgd:single* {each}" for each in hashes)}
    assert len(hashes) == 2


@pytest.mark.parametrize(("fars", "threshold"), [([0.1, 0.01], 0.4), ([0.1], 0.2)])
def test_an_adversary_has_the_threshold_of_the_suites_headline_far(toys, fars, threshold):
    adversary = load_adversary(replace(load_suite(str(toys)), fars=fars), "bob")
    assert adversary.recognizer.name == "bob" and adversary.threshold == threshold
