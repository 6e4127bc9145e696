import math

import pytest
import torch

from facecloak.errors import FacecloakError
from facecloak.metrics import Identification, rank_of

NAN = float("nan")


def plain_rates(similarities, own, target, ranks):
    """The definition, one probe at a time, by sorting the gallery."""
    hits = {f"rank{k}_{rate}": [] for k in ranks for rate in ("targeted", "untargeted")}
    for row, mine in zip(similarities.tolist(), own.tolist(), strict=True):
        if any(value != value for value in row):
            continue
        order = sorted(range(len(row)), key=lambda entry, row=row: -row[entry])
        for k in ranks:
            if target is not None:
                hits[f"rank{k}_targeted"].append(target in order[:k])
            if mine >= 0:
                hits[f"rank{k}_untargeted"].append(mine not in order[:k])
    return {name: sum(found) / len(found) if found else NAN for name, found in hits.items()}


@pytest.mark.parametrize("ranks", [(1, 5), (1, 3, 10)])
def test_equals_a_plain_loop(ranks):
    generator = torch.Generator().manual_seed(3)
    similarities = torch.rand(60, 20, generator=generator) * 2 - 1
    similarities[[4, 17]] = NAN
    own = torch.randint(-1, 20, (60,), generator=generator)
    metric = Identification(ranks)
    for rows in torch.arange(60).split(25):
        metric.update(similarities[rows], own[rows], 7)
    expected = plain_rates(similarities, own, 7, ranks)
    assert metric.compute() == pytest.approx(expected)
    assert len(set(expected.values())) == 2 * len(ranks)


def test_rank_bounds_and_order():
    similarities = torch.tensor([[0.1, 0.9, 0.5]] * 3)
    assert rank_of(similarities, torch.tensor([1, 2, 0])).tolist() == [1, 2, 3]
    noise = torch.rand(50, 8, generator=torch.Generator().manual_seed(0))
    ranks = torch.stack([rank_of(noise, torch.full((50,), entry)) for entry in range(8)], dim=1)
    assert ranks.sort(dim=1).values.eq(torch.arange(1, 9)).all()


def test_ties_count_against_retrieval():
    assert rank_of(torch.full((1, 4), 0.5), torch.tensor([2])).tolist() == [4]
    metric = Identification()
    metric.update(torch.full((1, 4), 0.5), torch.tensor([2]), 0)
    result = metric.compute()
    assert (result["rank1_targeted"], result["rank1_untargeted"]) == (0.0, 1.0)


def test_a_clean_probe_is_its_own_and_a_perfect_one_the_targets():
    similarities = torch.eye(6)
    clean, perfect = Identification(), Identification()
    clean.update(similarities[:5], torch.arange(5), 5)
    perfect.update(similarities[[5] * 5], torch.arange(5), 5)
    assert clean.compute()["rank1_untargeted"] == 0.0 and clean.compute()["rank1_targeted"] == 0.0
    assert perfect.compute()["rank1_untargeted"] == 1.0 and perfect.compute()["rank1_targeted"] == 1.0


def test_nothing_counted_is_nan():
    unseen, targetless, stranger = Identification(), Identification(), Identification()
    unseen.update(torch.full((3, 4), NAN), torch.tensor([0, 1, 2]), 3)
    assert all(math.isnan(rate) for rate in unseen.compute().values())
    targetless.update(torch.eye(4), torch.arange(4), None)
    assert math.isnan(targetless.compute()["rank1_targeted"])
    assert targetless.compute()["rank1_untargeted"] == 0.0
    stranger.update(torch.eye(4), torch.full((4,), -1), 0)
    assert math.isnan(stranger.compute()["rank5_untargeted"])
    assert stranger.compute()["rank1_targeted"] == 0.25


def test_mistakes_are_named():
    holed = torch.eye(3)
    holed[:, 2] = NAN
    with pytest.raises(FacecloakError, match=r"gallery photos \[2\]"):
        Identification().update(holed, torch.arange(3), None)
    with pytest.raises(FacecloakError, match="N own entries"):
        Identification().update(torch.eye(3), torch.arange(2), None)
