"""DiffAM in the whole harness, on a random diffusion model and toy photos: trained, found again, applied."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from diffusers import DDPMPipeline
from PIL import Image
from safetensors.torch import load_file

from baselines.diffam import material
from baselines.diffam.method import DiffAM
from benchmarks.harness.methods import resolve_methods
from benchmarks.suites.suite import load_suite
from facecloak.cli.main import main
from facecloak.data import to_tensor, to_uint8
from facecloak.errors import FacecloakError
from facecloak.io import read_image, write_png
from tests.baselines.diffam.small import scheduler, unet
from tests.toys import write_suite

SETTINGS = {
    "inversion_steps": 4, "generation_steps": 2, "test_steps": 2, "images": 2, "rank": 2, "lr": 1e-2, "passes": 2,
    "makeup_passes": 1, "removal_passes": 1, "removal_lr": 1e-2, "removal_test_steps": 3,
}  # fmt: skip


class Everywhere:
    """A face detector that finds a face in every photo, always at the same place."""

    def __call__(self, image):
        return (4.0, 4.0, 60.0, 60.0)

    def landmarks(self, image):
        return np.array([[22, 24], [42, 24], [32, 34], [25, 44], [39, 44]], dtype=np.float32)


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(tmp_path / "toys" / "weights"))
    monkeypatch.setattr(material, "FaceDetector", Everywhere)
    model = unet(sample_size=16, in_channels=48, out_channels=48)
    DDPMPipeline(model, scheduler(prediction_type="v_prediction")).save_pretrained(tmp_path / "ddpm")
    toys = write_suite(tmp_path / "toys")
    folders = {"makeup": str(tmp_path / "toys" / "seconds"), "bare": str(tmp_path / "toys" / "targets")}
    models = {"ddpm": str(tmp_path / "ddpm"), "clip": "$FACECLOAK_POCKET/clip", "perceptual": "pocket"}
    content = yaml.safe_load(toys.read_text())
    content["methods"] = {"diffam": {**SETTINGS, **models, **folders}}
    toys.write_text(yaml.safe_dump(content))
    return str(toys)


def test_it_is_trained_found_again_and_edits_faces(suite, tmp_path):
    out = tmp_path / "out"
    arguments = ["benchmark", suite, "--black-box", "ada,bob", "--out", str(out)]
    assert main(arguments) == 0
    table = pd.read_csv(out / "leaderboard.csv").query("far == 0.01")
    assert (table["training_seconds"] > 0).all() and not table["n_failed"].any()
    assert (table["amortised_seconds_per_image"] > table["seconds_per_image"]).all()
    # the way up and back: 3 + 2
    assert set(table["unet_passes"]) == {5}
    files = sorted((out / "checkpoints").glob("*.safetensors"))
    kinds = [path.stem.split("-")[1] for path in files]
    assert kinds == ["removal", "removal", "transfer", "transfer"]  # the first surrogate is bob, then ada
    full = sum(weight.numel() for weight in unet(sample_size=16, in_channels=48, out_channels=48).parameters())
    assert all(sum(w.numel() for w in load_file(path).values()) < full / 3 for path in files)

    ((_, _, cls, settings),) = resolve_methods(load_suite(suite), ["diffam"])
    method = cls(settings)
    edited = []
    for file in files[2:]:
        method.use("transfer", load_file(file))
        edited.append(method.edit(to_tensor([read_image(tmp_path / "toys" / "photos" / "p1.png")])))
    written = [read_image(path) for path in sorted(out.glob("protections/*/images/p1.png"))]
    changes = [[np.abs(to_uint8(each)[0].astype(int) - image) for each in edited] for image in written]
    nearest = [min((change.mean(), place) for place, change in enumerate(row)) for row in changes]
    assert sorted(place for _, place in nearest) == [0, 1]
    assert all(row[place].max() <= 1 for row, (_, place) in zip(changes, nearest, strict=True))

    stamps = {path: path.stat().st_mtime_ns for path in files}
    assert main([*arguments, "--mode", "overwrite"]) == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in files}


def test_the_reference_is_what_the_removal_makes_of_it(suite):
    ((_, _, cls, settings),) = resolve_methods(load_suite(suite), ["diffam"], ["diffam.reference=p1.png"])
    method = cls(settings)
    timed = method.reference()
    assert torch.equal(timed.image, timed.bare)  # before the removal is trained
    weights = method.edit.state_dict()
    generator = torch.Generator().manual_seed(0)
    method.use("removal", {k: v + 0.1 * torch.randn(v.shape, generator=generator) for k, v in weights.items()})
    reference = method.reference()
    assert torch.equal(reference.image, timed.image) and not torch.equal(reference.bare, reference.image)
    assert reference.regions.shape == (4, 64, 64) and reference.regions.flatten(1).any(1).all()
    with pytest.raises(FacecloakError, match="reference 'p9.png' is not in "):
        cls(settings.__class__(**{**vars(settings), "reference": "p9.png"})).reference()


def test_weights_of_another_rank_are_refused(suite):
    ((_, _, cls, settings),) = resolve_methods(load_suite(suite), ["diffam"])
    other = cls(settings.__class__(**{**vars(settings), "rank": 0}))
    with pytest.raises(FacecloakError, match="another network, rank or layers"):
        cls(settings).use("transfer", other.edit.state_dict())


def test_label_maps_beside_the_photos_say_where_the_parts_are(tmp_path, monkeypatch):
    monkeypatch.setattr(material, "FaceDetector", Everywhere)
    for name in ("a", "b"):
        write_png(tmp_path / f"{name}.png", np.full((64, 96, 3), 128, np.uint8))
    before = material.source_sha256(str(tmp_path))
    guessed = material.load_faces(str(tmp_path), 2, 32, True).regions
    labels = np.ones((64, 96), np.uint8)
    labels[40:50, 30:60] = 12  # in the central square: columns 14 to 44 of 64
    (tmp_path / "masks").mkdir()
    Image.fromarray(labels).save(tmp_path / "masks" / "b.png")
    assert material.source_sha256(str(tmp_path)) != before
    material.load_faces.cache_clear()
    regions = material.load_faces(str(tmp_path), 2, 32, True).regions
    assert torch.equal(regions[0], guessed[0])
    lips = torch.zeros(32, 32, dtype=torch.bool)
    lips[20:25, 7:22] = True
    assert torch.equal(regions[1, 2], lips) and torch.equal(regions[1, 3], ~lips)
    Image.fromarray(labels[:, :64]).save(tmp_path / "masks" / "b.png")
    with pytest.raises(
        FacecloakError, match=r"masks/b.png: a label map must have one channel of 8 bits and the size of its photo"
    ):
        material.load_reference(str(tmp_path), "b.png", 32)


def test_drawn_faces_wear_makeup_or_not_and_have_their_regions():
    made_up, bare = (material.load_faces("drawn", 3, 128, makeup) for makeup in (True, False))
    for faces in (made_up, bare):
        assert faces.images.shape == (3, 3, 128, 128) and faces.regions.shape == (3, 4, 128, 128)
        assert faces.regions[:, 2].flatten(1).any(1).all()

    def redness(faces):
        lips = faces.regions[:, 2]
        red, green = (torch.stack([x[c][m].mean() for x, m in zip(faces.images, lips, strict=True)]) for c in (0, 1))
        return (red - green).mean()

    assert redness(made_up) > redness(bare) + 0.1
    with pytest.raises(FacecloakError, match="drawn portraits have 128 pixels"):
        material.load_faces("drawn", 1, 64, True)
    named = material.load_reference("drawn", "2.png", 128)
    assert torch.equal(named.images[0], made_up.images[2]) and torch.equal(named.regions[0], made_up.regions[2])
    for name in ("2.jpg", "02.png", "2", "-1.png"):
        with pytest.raises(FacecloakError, match="is not a drawn portrait"):
            material.load_reference("drawn", name, 128)
    with pytest.raises(FacecloakError, match="there are 2000 drawn portraits"):
        material.load_reference("drawn", "2000.png", 128)
    assert DiffAM.stages(DiffAM.Settings(**SETTINGS))[0].settings["images"] == 2


def test_another_model_or_what_matters_names_other_weights_and_what_does_not_matter_the_same(suite):
    drawn = {"makeup": "drawn", "bare": "drawn", "clip": "$FACECLOAK_POCKET/clip"}
    settings = DiffAM.Settings(**drawn, ddpm="$FACECLOAK_POCKET/ddpm")
    other = DiffAM.Settings(**drawn, ddpm="$FACECLOAK_POCKET/diffusion")
    assert DiffAM.weights_sha256(settings) != DiffAM.weights_sha256(other)
    for change in ({"test_steps": 12}, {"gradient_checkpointing": True}):
        assert DiffAM.stages(DiffAM.Settings(**change)) == DiffAM.stages(DiffAM.Settings())
    plain = DiffAM.stages(DiffAM.Settings())
    for change in ({"lambda_adv": 2.0}, {"lr": 1e-3}, {"reference": "a"}, {"layers": "attention"}, {"t0": 90},
                   {"batch_size": 2}):  # fmt: skip
        removal, transfer = DiffAM.stages(DiffAM.Settings(**change))
        assert removal == plain[0] and transfer != plain[1]
    both = {"images": 9, "rank": 4, "perceptual": "pocket"}
    removals = {"passes": 2, "lr": 1e-3, "layers": "attention", "inversion_steps": 9, "lambda_clip": 1.0,
                "batch_size": 2}  # fmt: skip
    for name, value in {**both, **{f"removal_{name}": value for name, value in removals.items()}}.items():
        removal, transfer = DiffAM.stages(DiffAM.Settings(**{name: value}))
        assert removal != plain[0] and transfer != plain[1]


def test_a_transfer_without_adversarial_term_is_one_for_all_targets():
    for change in ({"lambda_adv": 0.0}, {"makeup_passes": 4}):
        assert [stage.depends for stage in DiffAM.stages(DiffAM.Settings(**change))] == ["surrogate", "surrogate"]
    assert [stage.depends for stage in DiffAM.stages(DiffAM.Settings())] == ["surrogate", "objective"]


def test_steps_that_do_not_fit_are_refused_before_anything_is_trained():
    with pytest.raises(FacecloakError, match="diffam transfer: test_steps must be between 1 and t0"):
        DiffAM.Settings(test_steps=100)
    with pytest.raises(FacecloakError, match="diffam removal: test_steps"):
        DiffAM.Settings(removal_test_steps=0)
    with pytest.raises(FacecloakError, match="diffam transfer: inversion_steps must be between 2 and t0"):
        DiffAM.Settings(inversion_steps=1)
    with pytest.raises(FacecloakError, match="passes"):
        DiffAM.Settings(removal_passes=0)
