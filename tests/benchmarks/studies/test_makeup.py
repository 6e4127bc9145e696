"""The effect of the trained stages on drawn faces: makeup off, makeup on, and an identity; and all are shipped."""

from dataclasses import replace

import pytest
import torch

from baselines.diffam.clip import Clip
from benchmarks.harness.runner import Runner
from benchmarks.harness.training import SHIPPED
from benchmarks.studies import makeup
from benchmarks.studies.makeup import (
    NAMES,
    People,
    load_trained,
    main,
    make_plans,
    makeup_scores,
    mean_colour,
    measure,
    success,
)
from benchmarks.studies.pocket_checkpoints import needed
from facecloak.config import settings_hash
from facecloak.io import pocket_dir

QUICK = ["images=2", "passes=2", "makeup_passes=1", "removal_passes=1", "removal_inversion_steps=3",
         "removal_generation_steps=2", "removal_test_steps=2", "inversion_steps=3", "generation_steps=2",
         "test_steps=2"]  # fmt: skip


@pytest.fixture(scope="module")
def people():
    return People(range(45_000, 45_012))


@pytest.fixture(scope="module")
def clip():
    return Clip.load("$FACECLOAK_POCKET/clip")


def numbers(lines):
    return [[float(value.replace("−", "-")) for value in line[1:]] for line in lines]


def test_drawn_people_are_alike_but_for_their_makeup(people, clip):
    assert makeup_scores(clip, people.made_up).mean() > 0.7 > 0.3 > makeup_scores(clip, people.bare).mean()
    change = (people.made_up - people.bare).abs().mean(dim=1)
    lips = torch.stack([face[mask].mean() for face, mask in zip(change, people.lips, strict=True)])
    assert (lips > 5 * change.mean((1, 2))).all()


def test_the_table_is_that_of_known_edits(people, clip):
    """The edits go half the way to the bare face, all the way to the reference, and nowhere."""
    half = (people.made_up + people.bare) / 2
    goal = people.lip_colours(people.bare)[0]
    painted = people.bare.clone()
    for face, mask in zip(painted, people.lips, strict=True):
        face[:, mask] = (goal / 127.5 - 1)[:, None]
    lines = measure(people, clip, half, {"all": painted, "none": people.bare}, goal)
    score, removed, whole, nothing = numbers(lines)
    assert score[1] < score[0] and score[0] > 0.7
    assert removed[2] == pytest.approx(-50, abs=1) and removed[0] > 20
    assert whole[1:] == [0, -100] and nothing[2] == 0
    assert [line[3] for line in lines[2:]] == ["−100", "0"]  # a plus or a hyphen would begin a formula


def test_every_stage_of_the_embedded_suite_is_shipped_and_nothing_else(tmp_path):
    names = needed(tmp_path)
    assert len(names) == 2 + 4 * 5 + 1  # removals by first surrogate, transfers, the one without a target
    files = [*(pocket_dir() / SHIPPED).iterdir()]
    assert {path.name for path in files} == {f"{name}.{kind}" for name in names for kind in ("json", "safetensors")}
    assert sum(path.stat().st_size for path in files) < 8e6


def test_the_shipped_removal_takes_makeup_off_and_the_shipped_transfer_puts_it_on(people, clip, tmp_path):
    full, plain = (load_trained(plan) for plan in make_plans(tmp_path, "pocket_dense", ["1"], 6, []))
    reference = full.reference()
    colour = mean_colour(reference.image, reference.regions[makeup.LIPS])
    made = {"full": full.edit(people.bare), "plain": plain.edit(people.bare)}
    removed = full.remove(people.made_up)
    score, lips, *transfers = numbers(measure(people, clip, removed, made, colour))
    assert score[2] <= -50
    assert lips[2] <= -25  # it is not told which colour is beneath
    # the suite's weights favour the identity: without it, its L1 term leaves little makeup
    assert transfers[0][2] <= -15 and -10 <= transfers[1][2] <= 0
    # and the rest of the face stays the same
    assert (removed - people.bare).square().mean() < 4 / 10**2.9


def test_the_adversarial_term_is_worth_20_points(tmp_path):
    plans = make_plans(tmp_path, "pocket_dense", None, 2, [])
    table = Runner(replace(plans[0], tasks=[task for plan in plans for task in plan.tasks])).run()
    names = {settings_hash(plan.protections[0].settings): name for plan, name in zip(plans, NAMES, strict=True)}
    (_, full, *_), (_, plain, *_) = success(table, names)
    assert float(full) >= float(plain) + 20


def test_the_command_trains_what_is_missing_and_measures_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(makeup, "People", lambda: People(range(45_000, 45_002)))
    overrides = [f"--diffam.{text}" for text in QUICK]
    assert main(["--out", str(tmp_path), "--targets", "1", "--limit", "1", *overrides]) == 0
    printed = capsys.readouterr().out
    assert "removal: CLIP's makeup score" in printed and "without the adversarial term" in printed
    assert (tmp_path / "makeup.png").is_file()
    kinds = sorted(path.stem.split("-")[1] for path in (tmp_path / "checkpoints").glob("*.safetensors"))
    assert kinds == ["removal", "transfer", "transfer"]


def test_what_cannot_be_compared_is_refused(tmp_path, capsys):
    for change in ("makeup_passes=8", "lambda_adv=0", "bare=$FACECLOAK_POCKET/photos/targets"):
        assert main(["--out", str(tmp_path), f"--diffam.{change}"]) == 2
        assert "This needs drawn faces (makeup and bare), lambda_adv above 0" in capsys.readouterr().err
    assert main(["--out", str(tmp_path), "--black-box", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err
