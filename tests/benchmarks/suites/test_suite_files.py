"""Suite files: each wrong value is named with its place, and correct values are read as they are written."""

import json
import math
from dataclasses import replace

import pytest
import yaml

from benchmarks.suites.paths import FOLDER
from benchmarks.suites.spec import is_plain_name
from benchmarks.suites.suite import load_suite
from facecloak.errors import FacecloakError
from tests.toys import write_photo

POCKET = yaml.safe_load((FOLDER / "pocket.yaml").read_text())


def write(folder, *path, value):
    """Write the pocket suite with one value replaced; returns its file."""
    content = yaml.safe_load(yaml.safe_dump(POCKET))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    return str(folder / "mine.yaml")


PAIR = ("targets", "pairs", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((*PAIR, "image"), {}, '"targets.pairs[0].image": Expected'),
        ((*PAIR, "image"), "", "targets.pairs[0].image must name a file"),
        ((*PAIR, "imgae"), "1.png", "Did you mean 'targets.pairs[0].image'?"),
        ((*PAIR, "name"), 1, '"targets.pairs[0].name": Expected'),
        ((*PAIR, "name"), "2", "targets.pairs: two targets are named '2'"),
        ((*PAIR, "name"), "a/b", "targets.pairs[0].name: 'a/b' is not a plain name"),
        ((*PAIR, "box"), [1, 2, 3], "targets.pairs[0].box must be [x0, y0, x1, y1]"),
        ((*PAIR, "box"), [5, 0, 1, 9], "targets.pairs[0].box must be [x0, y0, x1, y1] with x0 < x1"),
        ((*PAIR, "test_box"), [0, 0, 1, math.nan], "targets.pairs[0].test_box[3] must be a finite number"),
        ((*PAIR, "box"), "wide", '"targets.pairs[0].box": Expected list'),
        (("targets", "pairs"), [math.nan], "targets.pairs[0] must be a finite number"),
        (("targets", "pairs"), ["1.png"], '"targets.pairs[0]": Expected a mapping'),
        (("targets", "pairs"), "1.png", '"targets.pairs": Expected a list'),
        (("targets", "synthetic"), True, '"targets.synthetic": Expected str | None'),
        (("targets", "folder"), None, "targets.folder needs a value"),
        (("targets",), [], '"targets": Expected a mapping'),
        (("sources", "groups", "1"), True, '"sources.groups": Expected dict[str, str]'),
        (("sources", "groups", ".."), "x", "sources.groups: '..' is not a plain name"),
        (("sources", "groups", 5), "x", "the key 5 is not text: put it in quotes"),
        (("sources", "groups"), math.inf, "sources.groups must be a finite number"),
        (("sources", "groups"), {}, "sources must have one of folder, groups and people"),
        (("sources", "folder"), "x", "sources must have one of folder, groups and people"),
        (("sources", "secnd"), "x", "Did you mean 'sources.second'?"),
        (("name",), "a/b", "the name 'a/b' is not a plain name"),
        (("default_methods",), ["pdg"], "default_methods named 'pdg'"),
        (("default_methods",), ["pgd", "pgd"], "default_methods must have each name only once"),
        (("tuned",), {"fawks": "hand"}, "fawks"),
        (("fars",), [0.1, 0.10], "fars must be between 0 and 1, each only once"),
        (("fars",), [math.nan], "fars[0] must be a finite number"),
        (("crop",), [20, 16, 20, 104], "crop must be mtcnn, arcface or"),
        (("crop",), [200, 200, 300, 300], "inside the image"),
        (("crop",), [20, 16, 104, 104, 0.1], "crop must be mtcnn, arcface or"),
        (("crop",), "arcface", "detect can be false only with a fixed crop"),
        (("image_size",), 10**9, "image_size must be between 1 and"),
        (("default_targets",), ["1", "1"], "must have each name only once"),
        (("methods", "facecloak", "lambda_adv"), math.inf, "methods.facecloak.lambda_adv must be a finite number"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(tmp_path, path, value, message):
    file = write(tmp_path, *path, value=value)
    with pytest.raises(FacecloakError) as caught:
        load_suite(file)
    assert message in str(caught.value) and str(caught.value).count(file) and "\n" not in str(caught.value)


def test_a_file_of_thresholds_whose_name_is_too_long(tmp_path):
    suite = load_suite(write(tmp_path, "thresholds", value="x" * 5000))
    with pytest.raises(FacecloakError, match="cannot be read"):
        suite.load_thresholds("pocket_ir", None)


@pytest.mark.parametrize("crop", ["mtcnn", [20, 16, 108, 104]])
def test_thresholds_of_another_crop_are_refused(tmp_path, crop):
    suite = replace(load_suite("pocket"), crop="arcface", thresholds=str(tmp_path / "thresholds.json"))
    entry = {
        "weights_sha256": "0",
        "source": "measured",
        "fars": {f"{far:g}": {"threshold": 0.5} for far in suite.fars},
    }
    (tmp_path / "thresholds.json").write_text(json.dumps({"ada": entry | {"crop": crop}}))
    with pytest.raises(FacecloakError, match="calibrated with the crop .* uses arcface. Run `facecloak calibrate"):
        suite.load_thresholds("ada", "0")
    (tmp_path / "thresholds.json").write_text(json.dumps({"ada": entry | {"crop": "arcface"}}))
    assert suite.load_thresholds("ada", "0")["crop"] == "arcface"


def test_mtcnns_box_of_a_target_is_not_used_for_another_crop(tmp_path):
    write_photo(tmp_path / "photo.png", 1)
    suite, square = replace(load_suite("ladn"), image_size=32), (1.0, 2.0, 30.0, 31.0, 0.25)
    for crop, expected in (("mtcnn", (5.0, 5.0, 25.0, 25.0)), ("arcface", square), ([0, 0, 32, 32], square)):
        photo = replace(suite, crop=crop).read(tmp_path / "photo.png", lambda image: square, (10, 10, 50, 50))
        assert photo.box == expected, crop


def test_a_number_without_a_dot_is_a_false_accept_rate(tmp_path):
    file = write(tmp_path, "fars", value=["@"])
    text = (tmp_path / "mine.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("- '@'", "- 1e-2\n- 1e-3"))
    assert load_suite(file).fars == [0.01, 0.001]


def test_boxes_stay_whole_numbers_which_keys_of_results_hold():
    assert load_suite("ladn").targets.pairs[0].box == [205, 168, 765, 912]
    assert all(type(value) is int for value in load_suite("ladn").targets.pairs[0].box)


@pytest.mark.parametrize("name", ["1", "Grace Hopper", "übermensch", "a.b-c_d", "x" * 100, "pocket:photos"])
def test_plain_names(name):
    assert is_plain_name(name)


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", "a/b", "a\\b", "a\nb", "\x07", "a ", "x" * 101, "ü" * 51, "\ud800"]
)
def test_names_that_are_not_plain(name):
    assert not is_plain_name(name)


def test_a_run_has_the_default_methods_or_those_that_were_asked_for(tmp_path):
    suite = load_suite(write(tmp_path, "default_methods", value=["pgd", "none"]))
    assert suite.method_names() == ["pgd", "none"] and suite.method_names(["blur:x"]) == ["blur:x"]
    assert suite.method_names(["all"]) == [*suite.methods]
    assert load_suite("faces").method_names() == [*load_suite("faces").methods]
