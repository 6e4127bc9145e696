"""A photo is protected once and judged by any recognizer: what is made, what is judged, and what is refused."""

import io
import json
import shutil

import pandas as pd
import pytest
import yaml

import facecloak
from benchmarks.check.findings import findings
from benchmarks.harness import rejudge as rejudge_module
from benchmarks.harness.plan import Request, make_plan
from benchmarks.harness.rejudge import judge_run, rejudge
from benchmarks.harness.runner import Runner
from benchmarks.results.store import find_judgements, find_protections, read_judgement, read_protection
from benchmarks.results.table import long_table
from benchmarks.suites.suite import load_suite
from facecloak.cli.main import main
from facecloak.errors import FacecloakError
from facecloak.io import sha256
from tests.forked import start
from tests.toys import write_photo, write_recognizer, write_suite

ATTACKS = ["none", "pgd:single", "pgd:ensemble"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of one judgement, not to be changed; other tests do not find the weights of its suite."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACECLOAK_WEIGHTS", str(folder / "toys" / "weights"))
        patch.setenv("FACECLOAK_SHARED", str(folder / "nothing"))
        run(write_suite(folder / "toys"), folder / "out", methods=["blur"], black_boxes=["ada"])
        yield folder / "out"


def plan_of(suite, out, **options):
    return make_plan(load_suite(str(suite)), Request(out=out, **options))


def run(suite, out, **options) -> pd.DataFrame:
    return Runner(plan_of(suite, out, **options)).run()


def change(suite, **values):
    suite.write_text(yaml.safe_dump(yaml.safe_load(suite.read_text()) | values))


def stamps(out):
    return {path: path.stat().st_mtime_ns for path in out.glob("protections/*/*/*") if path.is_file()}


def judges_of(tasks, method):
    found = [task for task in tasks if f"{task.protection.method}:{task.protection.preset}" == method]
    return {task.protection.surrogates: task.judges for task in found}


def test_pictures_are_made_once_for_all_who_may_judge_them(toys, tmp_path):
    tasks = plan_of(toys, tmp_path / "out", methods=ATTACKS).tasks
    assert judges_of(tasks, "none:default") == {(): ["ada", "bob", "cyd"]}
    assert judges_of(tasks, "pgd:single") == {("bob",): ["ada"], ("ada",): ["bob", "cyd"]}
    assert judges_of(tasks, "pgd:ensemble") == {
        ("bob", "cyd"): ["ada"],
        ("ada", "cyd"): ["bob"],
        ("ada", "bob"): ["cyd"],
    }


def test_the_embedded_suite_makes_196_protections_for_260_judgements(tmp_path):
    tasks = plan_of("pocket", tmp_path).tasks
    assert len(tasks) == len({task.protection.folder(tmp_path) for task in tasks}) == 196
    assert sum(len(task.judges) for task in tasks) == 260


def test_fixed_surrogates_cost_one_protection_however_many_judge(toys, tmp_path):
    change(toys, surrogates=["ada"])
    (task,) = plan_of(toys, tmp_path / "out", methods=["pgd"]).tasks
    assert task.protection.surrogates == ("ada",) and task.judges == ["bob", "cyd"]
    table = run(toys, tmp_path / "out", methods=["pgd"])
    assert set(table["black_box"]) == {"bob", "cyd"} and table["protection"].nunique() == 1
    assert len(list((tmp_path / "out").glob("protections/*/images/*.png"))) == 4


def test_white_boxes_of_one_pool_share_their_pictures(toys, tmp_path):
    (task,) = plan_of(toys, tmp_path / "out", methods=["pgd"], white_boxes=["cyd", "ada"]).tasks
    assert task.protection.surrogates == ("ada", "bob", "cyd") and task.judges == ["cyd", "ada"]
    table = run(toys, tmp_path / "out", methods=["pgd"], white_boxes=["cyd", "ada"])
    assert table["white_box"].all()


def test_who_judges_is_not_part_of_the_key(toys, tmp_path):
    keys = [plan_of(toys, tmp_path, methods=["none"], black_boxes=[box]).protections[0].key for box in ("ada", "bob")]
    assert keys[0] == keys[1]
    attack = [plan_of(toys, tmp_path, methods=["pgd"], black_boxes=[box]).protections[0].key for box in ("ada", "bob")]
    assert attack[0] != attack[1]


def test_another_black_box_judges_finished_pictures(toys, tmp_path):
    """A recognizer that the suite does not know, with thresholds of its own; nothing is protected again."""
    out = tmp_path / "out"
    before = run(toys, out, methods=ATTACKS, targets=["1", "2"])
    pictures = stamps(out)
    write_recognizer(toys.parent / "weights", "dora")
    thresholds = json.loads((toys.parent / "thresholds.json").read_text())
    entry = thresholds["ada"] | {"weights_sha256": sha256(toys.parent / "weights" / "dora.onnx")}
    (tmp_path / "dora.json").write_text(json.dumps({"dora": entry}))
    done = judge_run(out, ["dora"], thresholds=tmp_path / "dora.json")
    assert len(done.folders) == 2 * (1 + 2 + 3) and not done.incomplete and not done.white
    assert pictures.items() <= stamps(out).items()
    table = long_table(find_judgements([out]))
    own = table[table["black_box"] == "dora"]
    assert len(own) == 12 * 2 and set(own["far"]) == {0.1, 0.01}
    pd.testing.assert_frame_equal(table[table["black_box"] != "dora"].reset_index(drop=True), before)
    again = judge_run(out, ["dora"], thresholds=tmp_path / "dora.json")
    assert not again.folders and again.kept == 12


def test_a_later_judge_gives_what_it_would_have_given_at_once(toys, tmp_path):
    late, once = tmp_path / "late", tmp_path / "once"
    run(toys, late, methods=["none"], black_boxes=["ada"])
    judge_run(late, ["bob"])
    run(toys, once, methods=["none"], black_boxes=["ada", "bob"])
    tables = [long_table(find_judgements([out])) for out in (late, once)]
    cost = ["seconds_per_image", "amortised_seconds_per_image", "peak_memory_mb"]
    pd.testing.assert_frame_equal(*(table.drop(columns=cost) for table in tables))


@pytest.mark.parametrize("limit", [1, None])
def test_a_run_of_some_targets_is_judged_and_checked_with_the_photos_it_was_about(tmp_path, limit):
    """A suite's groups are one list of photos, also where a run protects the photos of one target only."""
    out = tmp_path / "out"
    before = facecloak.benchmark(
        "pocket", methods=["blur"], targets=["1"], black_boxes=["pocket_ir"], limit=limit, out=out
    )
    assert len(judge_run(out, ["pocket_irse"]).folders) == 1 and not [*rejudge([out], [])]
    after = facecloak.load_results(out)
    assert len({*after.table["manifest_sha256"]}) == 1 == len({*before.table["manifest_sha256"]})


def test_an_attacked_recognizer_judges_only_when_asked_for(toys, tmp_path):
    run(toys, tmp_path / "out", methods=["pgd"], black_boxes=["ada"])
    done = judge_run(tmp_path / "out", ["bob"])
    assert done.white == 1 and not done.folders
    (folder,) = judge_run(tmp_path / "out", ["bob"], white_box=True).folders
    assert read_judgement(folder).rows[0]["white_box"]


def test_a_judge_without_thresholds_is_told_how_to_calibrate(toys, tmp_path):
    run(toys, tmp_path / "out", methods=["none"], black_boxes=["ada"])
    write_recognizer(toys.parent / "weights", "dora")
    with pytest.raises(FacecloakError, match="'dora' has no thresholds: run `facecloak calibrate"):
        judge_run(tmp_path / "out", ["dora"])


def test_pictures_of_changed_photos_are_not_judged(toys, tmp_path):
    run(toys, tmp_path / "out", methods=["none"], black_boxes=["ada"])
    write_photo(toys.parent / "photos" / "p1.png", 50)
    with pytest.raises(FacecloakError, match="its photos are not those that this run was made from"):
        judge_run(tmp_path / "out", ["bob"])


def test_judging_again_finds_every_cosine_that_was_changed(toys, tmp_path):
    out = tmp_path / "out"
    run(toys, out, methods=["pgd"], black_boxes=["ada"])
    skipped: list[str] = []
    assert not list(rejudge([out], skipped)) and not skipped
    (folder,) = find_judgements([out])
    lines = (folder / "records.jsonl").read_text().splitlines()
    record = json.loads(lines[2])
    record["cosine"]["target"] -= 0.01
    record["cosine_clean"]["self"] -= 0.01
    (folder / "records.jsonl").write_text("\n".join([*lines[:2], json.dumps(record), *lines[3:]]) + "\n")
    measured = folder.parents[2] / "measured.json"
    content = json.loads(measured.read_text())
    content["images"][0]["surrogates"]["bob"][1] -= 0.01
    measured.write_text(json.dumps(content))
    found = [text for _, _, text in rejudge([out], skipped)]
    assert [text.split(" is ")[0] for text in found[:2]] == ["p2: cosine to target", "p2: cosine_clean to self"]
    assert "cosines by the surrogate bob" in found[2] and len(found) == 3 and not skipped


def test_judging_again_computes_ranks(toys, tmp_path):
    out = tmp_path / "out"
    run(toys, out, methods=["blur"], black_boxes=["ada"])
    (folder,) = find_judgements([out])
    content = json.loads((folder / "judgement.json").read_text())
    for row in content["rows"]:
        row["rank1_untargeted"] = 1 - row["rank1_untargeted"] / 2
    (folder / "judgement.json").write_text(json.dumps(content))
    found = [text for _, _, text in rejudge([out], [])]
    assert len(found) == 1 and "rank1_untargeted is" in found[0]


@pytest.mark.parametrize("content", ["[]", "{}", '{"id": 3}', '{"error": 3, "id": "p0"}', '{"rows": [3]}', "{", "null"])
@pytest.mark.parametrize(
    "name", ["protection.json", "outcomes/p0.json", "measured.json", "judgements/none/ada/judgement.json"]
)
def test_damaged_files_are_findings_and_no_tracebacks(finished, tmp_path, capsys, name, content):
    out = shutil.copytree(finished, tmp_path / "run")
    (path,) = out.glob(f"protections/*/{name}")
    path.write_text(content)
    assert main(["leaderboard", "--check", "--rejudge", str(out)]) == 1
    assert path.parent.name in capsys.readouterr().out
    assert main(["judge", str(out), "--recognizers", "bob", "--wandb", "disabled"]) in (0, 2)
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said and (name == "measured.json" or said.startswith("error: "))


def test_what_cannot_be_judged_again_is_said(toys, tmp_path):
    out = tmp_path / "out"
    run(toys, out, methods=["none"], black_boxes=["ada", "bob"])
    (toys.parent / "weights" / "ada.onnx").unlink()
    skipped: list[str] = []
    assert not list(rejudge([out], skipped))
    assert len(skipped) == 1 and "ada.onnx" in skipped[0]


def test_results_of_other_photos_are_refused_before_any_work(toys, tmp_path):
    run(toys, tmp_path / "out", methods=["none"], black_boxes=["ada"])
    with pytest.raises(FacecloakError, match="differs from this run in manifest_sha256 .* use another --out"):
        Runner(plan_of(toys, tmp_path / "out", methods=["blur"], limit=2))


def test_results_of_other_thresholds_are_refused_before_any_work(toys, tmp_path):
    run(toys, tmp_path / "out", methods=["none"], black_boxes=["ada"])
    path = toys.parent / "thresholds.json"
    path.write_text(path.read_text().replace('"threshold": 0.4', '"threshold": 0.5'))
    with pytest.raises(FacecloakError, match="differs from this run in threshold"):
        Runner(plan_of(toys, tmp_path / "out", methods=["blur"]))


def test_an_old_run_is_refused_with_one_line(toys, tmp_path):
    (tmp_path / "out" / "cells" / "x").mkdir(parents=True)
    (tmp_path / "out" / "cells" / "x" / "cell.json").write_text("{}")
    for read in (lambda: Runner(plan_of(toys, tmp_path / "out")), lambda: find_protections([tmp_path / "out"])):
        with pytest.raises(FacecloakError, match=r"is a run of facecloak 0\.1"):
            read()


def test_two_suites_in_one_folder_keep_their_photos_apart(toys, tmp_path):
    other = toys.with_name("others.yaml")
    write_photo(tmp_path / "more" / "p0.png", 70)
    shutil.copy(toys, other)
    change(other, sources={"folder": str(tmp_path / "more")})
    for suite in (toys, other):
        run(suite, tmp_path / "out", methods=["none"], black_boxes=["ada"])
    kept = [tmp_path / "out" / "sources" / name / "p0.png" for name in ("toys", "others")]
    assert sha256(kept[0]) != sha256(kept[1])
    assert not list(findings([tmp_path / "out"])) and not list(rejudge([tmp_path / "out"], []))


def test_rows_say_who_made_the_pictures_and_who_judged(toys, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr("benchmarks.harness.predict.made_by", lambda: "0.0.9 abc")
    run(toys, out, methods=["blur"], black_boxes=["ada"])
    monkeypatch.undo()
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(toys.parent / "weights"))
    judge_run(out, ["bob"])
    for folder in find_judgements([out]):
        row = read_judgement(folder).rows[0]
        assert row["made_by"] == "0.0.9 abc" and row["facecloak"] != "0.0.9"


def test_rows_say_how_the_suites_own_settings_were_found(toys, tmp_path):
    change(toys, methods={"none": {}, "blur": {}}, tuned={"blur": "two trials on other people"})
    table = run(toys, tmp_path / "out", black_boxes=["ada"])
    changed = run(toys, tmp_path / "other", methods=["blur"], overrides=["blur.sigma=2"], black_boxes=["ada"])
    notes = table.groupby("method")["note"].first()
    assert notes["blur"].startswith("settings found by two trials on other people")
    assert all("settings found" not in str(note) for note in (notes["none"], *changed["note"]))


def test_two_commands_work_in_one_folder_at_once(toys, tmp_path):
    """Each image is made by one of them; both succeed and write tables of everything."""
    out = tmp_path / "out"
    command = ["benchmark", toys, "--out", out, "--wandb", "disabled", "--methods"]
    commands = [start(*command, names) for names in ("none,pgd", "pgd,blur")]
    ended = [each.wait() for each in commands]
    assert [each.returncode for each in ended] == [0, 0], ended
    assert len(list(out.glob("protections/*/outcomes/*.json"))) == (1 + 3 + 1) * 4
    table = pd.read_csv(out / "leaderboard.csv")
    assert set(table["method"]) == {"none", "pgd", "blur"} and len(table) == 9 * 2
    pd.testing.assert_frame_equal(
        table, pd.read_csv(io.BytesIO(long_table(find_judgements([out])).to_csv(index=False).encode()))
    )


def test_protection_json_says_all_that_judging_needs(toys, tmp_path):
    run(toys, tmp_path / "out", methods=["pgd"], black_boxes=["ada"])
    (folder,) = find_protections([tmp_path / "out"])
    about = read_protection(folder)
    assert about["surrogates"] == ["bob", "cyd"] and list(about["weights"]) == ["bob", "cyd"]
    assert folder.name == f"pgd_1_{about['key'][:12]}"
    assert rejudge_module.TOLERANCE < 1e-3
