"""The GPU study in its CPU form, on the smallest models: every part measures, and a part that fails hides no other."""

import csv
import json

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.studies.gpu import cloak, study
from benchmarks.studies.gpu.__main__ import PARTS, main
from facecloak.io import shared_dir
from tests.reference.models import random_models

SMALL = ["--device", "cpu", "--size", "test", "--batches", "1,2", "--repetitions", "1", "--iterations", "1"]


def table(folder, part):
    with open(folder / f"gpu_{part}.csv", newline="") as file:
        return [*csv.reader(file)]


def test_the_parts_measure_and_write_their_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "VARIANTS", (study.VARIANTS[0], study.VARIANTS[2]))  # float32, bf16
    parts = ["limits", "exactness", "speed", "judging"]
    assert main([*SMALL, "--parts", ",".join(parts), "--out", str(tmp_path)]) == 0
    (file,) = tmp_path.glob("*.json")
    content = json.loads(file.read_text())
    assert content["device"].startswith("cpu") and {*parts} <= content.keys()
    for part in parts:
        assert table(tmp_path, part) == [content[part]["heads"], *content[part]["lines"]]
    lines = {line[0]: line[1:] for line in content["exactness"]["lines"]}
    assert lines["float32"] == ["0.0e+00", "0.00%", "identical"]  # the CPU against itself
    assert 0 < float(lines["bf16"][0]) < 0.5 and "fp16" not in lines
    assert all(" s, " in cell for line in content["speed"]["lines"] for cell in line[1:3])


def test_celeba_minis_size_is_that_of_its_files():
    folder = shared_dir() / "models/celeba-mini"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; set FACECLOAK_SHARED")
    base = random_models("mini", dtype=torch.float32)
    for model, part in ((base.unet, "unet"), (base.vae, "vae")):
        stored = load_file(folder / part / "diffusion_pytorch_model.safetensors")
        assert {name: value.shape for name, value in model.state_dict().items()} == {
            name: value.shape for name, value in stored.items()
        }


@pytest.mark.slow
def test_celeba_minis_size_is_measured(monkeypatch):
    monkeypatch.setattr(study, "VARIANTS", (study.VARIANTS[0],))
    table = cloak.speed_mini(study.Study(torch.device("cpu"), "test", (1,), 1))
    assert table.heads[0] == "mini, 256 pixels" and len(table.lines) == 1 and " s, " in table.lines[0][1]


def test_the_gradient_is_that_of_the_latent(tmp_path):
    gradient, images = cloak._pocket_run(study.Study(torch.device("cpu"), iterations=1), study.VARIANTS[0])
    assert gradient.shape[0] == 2 == len(images) and gradient.ndim == 4 and images.dtype == torch.uint8


def test_a_part_that_fails_or_comes_too_late_is_said_and_the_others_go_on(tmp_path, capsys, monkeypatch):
    def fail(study):
        raise RuntimeError("no such kernel\nmore")

    monkeypatch.setitem(PARTS, "judging", fail)
    assert main([*SMALL, "--parts", "judging,limits", "--out", str(tmp_path)]) == 1
    assert "judging: failed: RuntimeError: no such kernel" in capsys.readouterr().err
    assert table(tmp_path, "limits") and not (tmp_path / "gpu_judging.csv").exists()
    assert main([*SMALL, "--parts", "limits", "--seconds", "-1", "--out", str(tmp_path / "late")]) == 1
    assert "limits: left out, -1 seconds are over" in capsys.readouterr().out


def test_a_batch_that_does_not_fit_is_said_and_smaller_ones_are_kept(monkeypatch):
    measure = cloak._measure

    def full(study, method, batch):
        if len(batch.ids) > 1:
            raise torch.OutOfMemoryError
        return measure(study, method, batch)

    monkeypatch.setattr(cloak, "_measure", full)
    monkeypatch.setattr(study, "VARIANTS", study.VARIANTS[:1])
    heads, lines = cloak.speed(study.Study(torch.device("cpu"), "test", (1, 2, 4), repetitions=1))
    assert len(heads) == len(lines[0]) and lines[0][2:4] == ["out of memory"] * 2 and " s, " in lines[0][1]


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--parts", "nothing"], "there is no 'nothing'"), (["--device", "tpu"], "invalid choice")]
)
def test_a_wrong_argument_is_named(arguments, said, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert said in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert main([]) == 2 and "There is no GPU here" in capsys.readouterr().err


def test_the_fast_form_is_measured_beside_the_exact_one(monkeypatch):
    monkeypatch.setattr(cloak, "FAST_VARIANTS", study.VARIANTS[:1])
    table = cloak.fast(study.Study(torch.device("cpu"), "test", (1,), 1))
    exact, quick, ratio = table.lines
    assert [line[0] for line in table.lines] == ["exact, float32", "fast, float32", "ratio, float32"]
    seconds = [float(line[1].split(" s")[0]) for line in (exact, quick)]
    assert float(ratio[1]) == pytest.approx(seconds[0] / seconds[1], rel=0.1) and float(ratio[1]) > 1


def test_the_first_gradient_of_each_optimiser_is_kept():
    with cloak.first_gradient() as kept:
        for number in range(20):  # each is gone before the next one is made, which may get its id
            weight = torch.nn.Parameter(torch.zeros(1))
            weight.grad = torch.full((1,), float(number))
            optimiser = torch.optim.SGD([weight], lr=1)
            optimiser.step()
            weight.grad += 100
            optimiser.step()
            del optimiser
    assert [float(gradient) for gradient in kept] == [*range(20)]
