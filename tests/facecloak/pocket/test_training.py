"""The training of the pocket models: killed and resumed with the same result, on people who are in no test."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facecloak.errors import FacecloakError
from facecloak.pocket import recognizers
from facecloak.pocket.drawing.identity import Identity, identities
from facecloak.pocket.drawing.nuisance import Nuisance, nuisances
from facecloak.pocket.portraits import portraits
from facecloak.pocket.training import corpus as corpora
from facecloak.pocket.training import language, loop, photos, recognition
from facecloak.pocket.training.parameters import drawn_with

CAPTIONS = [
    "a portrait of a woman with makeup, red lipstick and long brown hair, smiling",
    "a portrait of an old man without makeup, short grey hair, a beard and glasses",
    "a portrait of a young woman without makeup, shoulder-length black hair",
]


class Killed(Exception):
    pass


def train_small(checkpoint, kill_at=None, data=()):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def loss(model, step):
        x = torch.randn(8, 3) + loop.batch_indices(16, 8, step, 5)[:, None]
        return (model(x) - x.sum(1, keepdim=True)).square().mean()

    def on_step(done, total, running):
        if done == kill_at:
            raise Killed

    return loop.train(
        model, loss, steps=12, learning_rate=0.05, checkpoint=checkpoint, seed=3, data=data, on_step=on_step
    )


def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    whole = train_small(tmp_path / "whole.pt").state_dict()
    with pytest.raises(Killed):
        train_small(tmp_path / "part.pt", kill_at=7)
    assert torch.load(tmp_path / "part.pt", weights_only=True)["done"] == 6
    resumed = train_small(tmp_path / "part.pt").state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    finished = train_small(tmp_path / "whole.pt", kill_at=12)  # no step is left in which it could be killed
    assert all(torch.equal(whole[name], value) for name, value in finished.state_dict().items())


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    train_small(tmp_path / "a.pt")
    with pytest.raises(FacecloakError, match=r"a\.pt is of another recipe .*delete it"):
        loop.train(
            nn.Linear(1, 1), lambda model, step: model(torch.ones(1, 1)).sum(), steps=13, learning_rate=0.05,
            checkpoint=tmp_path / "a.pt", seed=3, data=[],
        )  # fmt: skip


def test_a_checkpoint_of_other_portraits_or_an_earlier_models_other_weights_is_refused(tmp_path):
    train_small(tmp_path / "a.pt", data=[torch.zeros(2, dtype=torch.uint8), torch.ones(3)])
    train_small(tmp_path / "a.pt", data=[torch.zeros(2, dtype=torch.uint8), torch.ones(3)])
    with pytest.raises(FacecloakError, match="of another recipe"):
        train_small(tmp_path / "a.pt", data=[torch.zeros(2, dtype=torch.uint8), torch.full((3,), 1.5)])


def test_training_learns_and_says_when_it_cannot(tmp_path):
    losses = []
    model = nn.Linear(2, 1)
    x = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    loop.train(
        model, lambda model, step: (model(x) - x.sum(1, keepdim=True)).square().mean(), steps=300, learning_rate=0.1,
        checkpoint=tmp_path / "a.pt", seed=0, data=[], on_step=lambda done, total, running: losses.append(running),
    )  # fmt: skip
    assert losses[-1] < 0.01 * losses[0]


@pytest.mark.parametrize("spoil", [lambda y: y * math.nan, lambda y: (y - y).sqrt()])
def test_no_number_that_is_none_gets_into_the_weights(tmp_path, spoil):
    model = nn.Linear(2, 1)
    before = model.weight.clone()
    with pytest.raises(FacecloakError, match=r"b: the loss is .* nan at step 0"):
        loop.train(
            model, lambda model, step: spoil(model(torch.ones(1, 2)).sum()), steps=1, learning_rate=0.1,
            checkpoint=tmp_path / "b.pt", seed=0, data=[],
        )  # fmt: skip
    assert torch.equal(model.weight, before) and not (tmp_path / "b.pt").exists()


def test_every_epoch_shows_each_example_once_in_an_order_of_its_own():
    epochs = [torch.cat([loop.batch_indices(12, 4, 3 * epoch + step, 1) for step in range(3)]) for epoch in (0, 1)]
    assert all(sorted(epoch.tolist()) == list(range(12)) for epoch in epochs)
    assert not torch.equal(*epochs)
    assert torch.equal(loop.batch_indices(12, 4, 4, 1), epochs[1][4:8])


def test_no_one_is_trained_on_and_tested():
    sets = [set(people) for people in (corpora.TRAIN, corpora.TEST, corpora.SUITE)]
    assert len(set.union(*sets)) == sum(map(len, sets))
    assert len(sets[0]) >= 2000


def test_targets_have_sources_of_their_sex_near_them_and_none_is_anothers():
    groups = photos.cast(corpora.SUITE)
    everyone = [*groups, *(source for sources in groups.values() for source in sources)]
    assert len(groups) == 4 and len(everyone) == len(set(everyone)) == 28 and set(everyone) <= set(corpora.SUITE)
    women = {person: identities([person]).feminine.item() for person in everyone}
    assert [women[target] for target in groups] == [1, 0, 1, 0]
    for target, sources in groups.items():
        assert {women[source] for source in sources} == {women[target]}
        tone = identities([target, *sources, *corpora.SUITE]).melanin.flatten()
        apart = (tone - tone[0]).abs()
        assert apart[1:7].mean() < 0.5 * apart[7:].mean()  # at most half the distance of a random choice


def test_the_photos_of_a_person_are_the_least_turned():
    how = nuisances([30_001] * corpora.SHOTS, range(corpora.SHOTS), [0] * corpora.SHOTS)
    turn = [
        math.hypot(*angles) for angles in zip(how.yaw.flatten().tolist(), how.pitch.flatten().tolist(), strict=True)
    ]
    assert photos.frontal(30_001) == sorted(range(corpora.SHOTS), key=turn.__getitem__)[:2]


def test_a_corpus_is_rendered_once_and_goes_on_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "SHOTS", 2)
    monkeypatch.setattr(corpora, "BLOCK", 2)
    made = corpora.render_corpus(tmp_path, range(4, 8))
    assert made.images.shape == (8, 128, 128, 3) and made.people.tolist() == [4, 4, 5, 5, 6, 6, 7, 7]
    drawn = portraits([5, 7], [1, 0])
    assert np.abs(drawn.images.numpy().astype(int) - made.images[[3, 6]]).max() <= 1
    assert drawn.captions == [made.captions[3], made.captions[6]]
    first, second = sorted(tmp_path.iterdir())
    second.unlink()
    kept = first.stat().st_mtime_ns
    again = corpora.render_corpus(tmp_path, range(4, 8))
    assert np.array_equal(again.images, made.images) and first.stat().st_mtime_ns == kept


@pytest.mark.parametrize("margin", [0.0, 0.15, 0.5])
def test_arcface_equals_its_formula(margin):
    torch.manual_seed(0)
    head = recognition.ArcFace(nn.Identity(), 5)
    faces, labels = torch.randn(6, recognizers.EMBEDDING_DIM), torch.tensor([0, 1, 2, 3, 4, 0])
    found = head(faces, labels, margin)
    total = 0.0
    for face, label in zip(faces.double(), labels.tolist(), strict=True):
        angles = [math.acos(F.cosine_similarity(face, centre.double(), dim=0).item()) for centre in head.centres]
        logits = [recognition.SCALE * math.cos(a + margin * (k == label)) for k, a in enumerate(angles)]
        total -= logits[label] - math.log(sum(map(math.exp, logits)))
    assert float(found) == pytest.approx(total / 6, rel=1e-5)


def test_arcface_is_exact_under_autocast():
    torch.manual_seed(0)
    head = recognition.ArcFace(nn.Identity(), 5)
    faces, labels = 9 * head.centres.detach()[:3] + 1e-3 * torch.randn(3, 128), torch.tensor([0, 1, 2])
    with torch.autocast("cpu", torch.bfloat16):
        loss = head(faces.requires_grad_(), labels, 0.1)
    loss.backward()
    assert torch.isfinite(faces.grad).all()
    assert loss.item() == pytest.approx(head(faces, labels, 0.1).item(), rel=1e-6)


@pytest.mark.parametrize("name", ["ir", "irse", "mobile", "inception", "dense"])
def test_the_recognizers_take_64_pixels_and_tell_places_apart(name):
    torch.manual_seed(0)
    network = getattr(recognizers, name)().eval()
    faces = torch.randn(2, 3, 64, 64)
    embedded, mirrored = network(faces), network(faces.flip(3))
    assert embedded.shape == (2, 128)
    assert (F.cosine_similarity(embedded, mirrored) < 0.999).all()  # no pooling over the whole face


def test_every_word_of_a_caption_is_one_token_and_other_text_is_spelt():
    words = language.tokenizer(CAPTIONS)
    for caption in CAPTIONS:
        said = caption.replace(",", " ,").replace("-", " - ").split()
        assert [token.removesuffix("</w>") for token in words.tokenize(caption)] == said
    assert "".join(words.tokenize("zebra")).removesuffix("</w>") == "zebra"
    assert words.unk_token_id not in words("Ünïcode façade?!", add_special_tokens=False).input_ids
    numbers = language.tokens(words, ["", *CAPTIONS])
    assert numbers.shape == (4, language.TOKENS)
    assert (numbers[:, 0] == words.bos_token_id).all() and (numbers[:, -1] == words.eos_token_id).all()


def test_shortened_captions_stay_true():
    woman, man, _ = CAPTIONS
    assert language.shorten(woman, "all", 3) == woman
    assert language.shorten(woman, "person", 3) == "a portrait of a woman with makeup"
    assert language.shorten(man, "makeup", 0) == language.BARE
    assert language.shorten(woman, "makeup", 0) == language.MADE_UP
    assert {language.shorten(man, "detail", k) for k in range(9)} == {"short grey hair", "a beard", "glasses"}


def test_features_are_taught_what_was_drawn():
    values = drawn_with(np.repeat([3, 9], corpora.SHOTS))
    count = len(values) // 2
    persons = [name for name in Identity.names if name not in ("texture_x", "texture_y")]
    assert values.shape[0] == 2 * corpora.SHOTS
    assert torch.equal(values[0, : len(persons)], values[count - 1, : len(persons)])
    chin = persons.index("chin")
    assert torch.equal(values[::count, chin], identities([3, 9]).chin.flatten())
    yaw = len(persons) + Nuisance.names.index("yaw")
    assert len(set(values[:count, yaw].tolist())) == count  # another pose in every shot
