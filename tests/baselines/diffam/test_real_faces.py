"""DiffAM through the command on real faces: MTCNN finds references and bare faces; recognizers are the real suite's."""

import json

import pandas as pd
import pytest
from diffusers import DDPMPipeline

from facecloak.cli.main import main
from facecloak.io import shared_dir
from tests.baselines.diffam.small import scheduler, unet

REFERENCE = "XMY-266.png"


def test_real_photos_are_made_up_with_a_diffusion_model_in_a_folder(tmp_path):
    faces = shared_dir() / "data" / "makeup"
    if not (faces / "makeup" / REFERENCE).is_file():
        pytest.skip("no makeup photos: set FACECLOAK_SHARED")
    model = unet(sample_size=64, in_channels=48, out_channels=48)  # 256 pixels, folded by 4
    DDPMPipeline(model, scheduler()).save_pretrained(tmp_path / "ddpm")
    settings = {
        "ddpm": tmp_path / "ddpm", "clip": "$FACECLOAK_POCKET/clip", "perceptual": "pocket",
        "makeup": "$FACECLOAK_SHARED/data/makeup/makeup", "bare": "$FACECLOAK_SHARED/data/makeup/non-makeup",
        "reference": REFERENCE, "images": 2, "rank": 2, "passes": 1, "makeup_passes": 1, "lr": 1e-2,
        "inversion_steps": 3, "generation_steps": 2, "test_steps": 2, "removal_passes": 1, "removal_lr": 1e-2,
        "removal_inversion_steps": 3, "removal_generation_steps": 2, "removal_test_steps": 2,
    }  # fmt: skip
    overrides = [f"--diffam.{name}={value}" for name, value in settings.items()]
    request = ["--methods", "diffam", "--targets", "1", "--black-box", "reid0095", "--limit", "1"]
    assert main(["benchmark", "celeba_hq_pairs", *request, "--out", str(tmp_path / "out"), *overrides]) == 0
    (row,) = pd.read_csv(tmp_path / "out" / "leaderboard.csv").query("far == 0.01").to_dict("records")
    assert row["n_failed"] == row["n_unusable"] == 0 and row["n_images"] == 1 and row["training_seconds"] > 0
    (outcome,) = (json.loads(path.read_text()) for path in (tmp_path / "out").glob("protections/*/outcomes/*.json"))
    assert outcome["unet_passes"] == 4 and row["psnr"] < 60
