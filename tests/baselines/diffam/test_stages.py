"""Both stages of DiffAM in miniature: what is minimised, that it falls, and that a killed fit resumes exactly."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from baselines.diffam.diffusion import PixelDiffusion
from baselines.diffam.finetuning import FineTuning
from baselines.diffam.losses import histogram
from baselines.diffam.removal import RemovalSettings
from baselines.diffam.transfer import PRESETS, TransferSettings
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from tests.baselines.diffam.small import boxes, make_removal, make_transfer, photos, regions, scheduler, unet

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")


class Watch(Callback):
    """Notes the learning rate and the loss of every pass; kills the fit before a step if one is given."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.kill_at, self.rates, self.losses = kill_at, [], []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == self.kill_at:
            raise KeyboardInterrupt

    def on_train_epoch_start(self, trainer, module):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer, module):
        self.losses.append({name: value.item() for name, value in trainer.callback_metrics.items()})


def fit(module, folder=None, kill_at=None, resume=False) -> Watch:
    watch = Watch(kill_at)
    saver = [ModelCheckpoint(folder, save_last=True, save_on_train_epoch_end=True)] if folder else []
    trainer = pl.Trainer(
        max_epochs=module.settings.passes, accelerator="cpu", logger=False, callbacks=[watch, *saver],
        enable_checkpointing=bool(saver), enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, ckpt_path=folder / "last.ckpt" if resume else None, weights_only=True)
    return watch


def cosine(one, other) -> np.ndarray:
    one, other = one.detach().numpy(), other.detach().numpy()
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def shared_terms(module, images, edited) -> dict[str, np.ndarray]:
    before, after = module.clip.embed_images(images), module.clip.embed_images(edited)
    change = (edited - images).detach().numpy()
    return {
        "clip": 1 - cosine(after - before, module.direction),
        "l1": np.abs(change).mean((1, 2, 3)),
        "perceptual": (change**2).mean((1, 2, 3)),
    }


def test_the_removals_loss_is_the_weighted_sum_of_its_four_terms():
    module, images = make_removal(lambda_perceptual=7.0), photos(3)
    latents = module.invert(images)
    edited = module.generate(latents)
    terms = shared_terms(module, images, edited)
    faces = [module.recognizer.network(crop(x, boxes(3), 12)) for x in (images, edited)]
    expected = -5 * np.log(1 - terms["clip"] / 2) + 1 - cosine(*faces) + 2 * terms["l1"] + 7 * terms["perceptual"]
    assert module.training_step((images, boxes(3), latents)).item() == pytest.approx(expected.mean())
    texts = module.clip.embed_texts(["face with makeup", "face without makeup"])
    torch.testing.assert_close(module.direction, texts[1:] - texts[:1])


@pytest.mark.parametrize("goal", ["impersonation", "obfuscation"])
@pytest.mark.parametrize("adversarial", [False, True])
def test_the_transfers_loss_is_the_weighted_sum_of_its_terms(goal, adversarial):
    module, images = make_transfer(goal, makeup_passes=0 if adversarial else 1), photos(3)
    latents = module.invert(images)
    edited = module.generate(latents)
    terms = shared_terms(module, images, edited)
    colours = histogram(edited, regions(3), module.makeup, regions(1)[0]).detach().numpy()
    expected = 10 * terms["perceptual"] + 3 * terms["l1"]
    if adversarial:
        adv = []
        for surrogate in module.objective.surrogates:
            x, source, target = (
                surrogate.network(crop(faces, boxes(len(faces)), surrogate.input_size))
                for faces in (edited, images, photos(1, seed=99))
            )
            to_target = 1 - cosine(x, target)
            adv.append(to_target - (1 - cosine(x, source)) if goal == "obfuscation" else to_target)
        expected += 1.6 * colours + 0.5 * terms["clip"] + 0.5 * np.mean(adv, axis=0)
    else:
        expected += 1.0 * colours + 0.3 * terms["clip"]
    assert module.training_step((images, boxes(3), regions(3), latents)).item() == pytest.approx(expected.mean())


@pytest.mark.parametrize(
    "make, settings, term",
    [
        (make_removal, {"lr": 3e-5, "generation_steps": 3, "batch_size": 3}, "clip"),
        (make_transfer, {"makeup_passes": 6}, "histogram"),
    ],
)
def test_fitting_lowers_the_loss_and_changes_the_copy_alone(make, settings, term):
    module = make(passes=6, **settings)
    frozen = {name: weight.clone() for name, weight in module.diffusion.state_dict().items()}
    before = module(photos(3))
    watch = fit(module)
    assert watch.losses[-1]["loss"] < 0.8 * watch.losses[0]["loss"]
    assert watch.losses[-1][term] < 0.7 * watch.losses[0][term]
    assert watch.rates == pytest.approx([module.settings.lr * 1.3**number for number in range(6)])
    assert all(torch.equal(weight, frozen[name]) for name, weight in module.diffusion.state_dict().items())
    assert not torch.equal(module(photos(3)), before)


def test_before_it_is_fitted_a_stage_gives_the_image_back_nearly():
    module = make_transfer(inversion_steps=30, test_steps=30)
    assert (module(photos(3)) - photos(3)).abs().mean() < 0.05


def test_transfer_moves_the_lips_colour_most_of_the_way_and_the_adversarial_term_the_identity():
    images, lips = photos(3), regions(3)[:, 2]
    shy, bold = make_transfer(passes=8, makeup_passes=8), make_transfer(passes=8, makeup_passes=2, lambda_adv=200.0)
    goal = shy.makeup[:, lips[0]].mean(1)

    def gap(faces):
        return (torch.stack([face[:, mask].mean(1) for face, mask in zip(faces, lips, strict=True)]) - goal).norm(dim=1)

    def adversarial(faces):
        return shy.objective(faces, boxes(3), shy.objective.embed(images, boxes(3))).mean()

    fit(shy)
    fit(bold)
    assert (gap(shy(images)) < 0.5 * gap(images)).all()
    assert adversarial(bold(images)) < adversarial(shy(images)) - 0.05


@pytest.mark.parametrize("make", [make_removal, make_transfer])
@pytest.mark.parametrize("killed_at", [3, 4])
def test_a_killed_and_resumed_fit_ends_with_the_same_weights(make, killed_at, tmp_path):
    whole, killed, resumed = make(), make(), make()
    fit(whole)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(killed, tmp_path, kill_at=killed_at)
    watch = fit(resumed, tmp_path, resume=True)
    assert watch.rates == pytest.approx([1.3e-3])
    assert all(torch.equal(weight, whole.state_dict()[name]) for name, weight in resumed.state_dict().items())
    assert not torch.equal(killed(photos(1)), whole(photos(1)))
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert set(stored) == set(whole.tuned.state_dict())


def test_a_trained_stage_is_loaded_from_its_checkpoint_and_predicts(tmp_path):
    trained, fresh = make_removal(), make_removal()
    fit(trained, tmp_path)
    fresh.load_state_dict(torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"])
    assert torch.equal(fresh(photos(2)), trained(photos(2)))


@pytest.mark.parametrize("rank", [0, 2])
def test_attention_alone_learns_where_that_is_asked_for(rank):
    module, whole = make_removal(layers="attention", rank=rank), make_removal(rank=rank)
    start = {name: weight.clone() for name, weight in module.tuned.state_dict().items()}
    assert all(".attentions." in name for name in module.state_dict())
    assert len(module.state_dict()) < len(whole.state_dict()) / 2
    fit(module)
    changed = {name for name, weight in module.tuned.state_dict().items() if not torch.equal(weight, start[name])}
    assert changed and changed <= set(module.state_dict())
    assert not torch.equal(module(photos(1)), make_removal()(photos(1)))


def test_attention_cannot_learn_where_there_is_none():
    blocks = {"down_block_types": ("DownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "UpBlock2D")}
    plain = PixelDiffusion(unet(add_attention=False, **blocks), scheduler())
    with pytest.raises(FacecloakError, match="the UNet has no attention"):
        FineTuning(RemovalSettings(layers="attention"), plain)


def test_the_presets_are_the_released_codes_and_the_authors():
    code, paper = (TransferSettings(**PRESETS[name]) for name in ("code", "paper"))
    assert (code.t0, code.inversion_steps, code.generation_steps) == (60, 20, 6)
    assert (code.passes, code.makeup_passes, code.lr, code.lambda_adv) == (4, 3, 8e-6, 0.5)
    assert (paper.passes, paper.makeup_passes, paper.lr, paper.lambda_adv) == (6, 2, 4e-6, 1.2)
    removal = RemovalSettings()
    assert (removal.t0, removal.inversion_steps, removal.generation_steps, removal.test_steps) == (300, 40, 6, 40)
    assert (removal.passes, removal.batch_size, removal.lr) == (7, 1, 8e-6)


def test_a_loss_that_is_not_finite_ends_the_fit():
    module = make_removal()
    with torch.no_grad():
        next(module.tuned.parameters()).fill_(torch.nan)
    with pytest.raises(FacecloakError, match="diffam removal: the loss is not finite in pass 1"):
        fit(module)


@pytest.mark.parametrize(
    "settings", [{"passes": 0}, {"lr": 0.0}, {"lambda_l1": -1.0}, {"makeup_passes": 5}, {"batch_size": 0}]
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(FacecloakError, match="diffam transfer"):
        TransferSettings(**settings)
