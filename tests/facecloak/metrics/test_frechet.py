import math

import numpy as np
import pytest
import torch
from metric_cases import Tiny, random_images
from scipy.linalg import sqrtm
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from facecloak.errors import FacecloakError
from facecloak.metrics import FrechetDistance, KernelDistance, frechet_distance, kernel_distance

BOTH = pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])


def features(n, d, seed, spread=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64) / d**0.5
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixing * spread + shift


def plain_frechet(x1, x2):
    """Heusel et al. 2017 with a matrix square root, for more rows than features."""
    s1, s2 = np.cov(x1.numpy(), rowvar=False), np.cov(x2.numpy(), rowvar=False)
    means = x1.numpy().mean(0) - x2.numpy().mean(0)
    return means @ means + np.trace(s1) + np.trace(s2) - 2 * np.trace(sqrtm(s1 @ s2)).real


def plain_kernel(x1, x2):
    def kernel(x, y):
        return (float(x @ y) / len(x) + 1) ** 3

    def within(x):
        pairs = [kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]
        return sum(pairs) / len(pairs)

    across = [kernel(a, b) for a in x1 for b in x2]
    return within(x1) + within(x2) - 2 * sum(across) / len(across)


@pytest.mark.parametrize("n1, n2", [(80, 80), (60, 200)])
def test_frechet_equals_scipy(n1, n2):
    x1, x2 = features(n1, 12, 0), features(n2, 12, 1, spread=1.4, shift=0.3)
    assert frechet_distance(x1, x2) == pytest.approx(plain_frechet(x1, x2), rel=1e-9)


@pytest.mark.parametrize("n1, n2", [(10, 10), (10, 200), (200, 10)])
def test_frechet_with_fewer_rows_than_features(n1, n2):
    # a singular covariance has no accurate sqrtm; eigenvalues of Σ1Σ2 are accurate to the root of the rounding error
    x1, x2 = features(n1, 24, 0), features(n2, 24, 1, spread=1.4, shift=0.3)
    s1, s2 = torch.cov(x1.T), torch.cov(x2.T)
    root = torch.linalg.eigvals(s1 @ s2).real.clamp(min=0).sqrt().sum()
    expected = (x1.mean(0) - x2.mean(0)).square().sum() + s1.trace() + s2.trace() - 2 * root
    assert frechet_distance(x1, x2) == pytest.approx(float(expected), rel=1e-6)


def test_frechet_equals_torchmetrics():
    real, protected = random_images(40, 0), random_images(30, 1) // 2
    theirs = FrechetInceptionDistance(feature=Tiny()).set_dtype(torch.float64)
    ours = FrechetDistance(Tiny())
    for metric in (theirs, ours):
        for part in real.split(16):
            metric.update(part, real=True)
        metric.update(protected, real=False)
    assert ours.compute() == pytest.approx(float(theirs.compute()), rel=1e-5)
    assert ours.compute() > 0.1


def test_kernel_equals_torchmetrics():
    real, protected = random_images(40, 0), random_images(40, 1) // 2
    theirs, ours = KernelInceptionDistance(Tiny(), subsets=1, subset_size=40), KernelDistance(Tiny())
    for metric in (theirs, ours):
        metric.update(real, real=True)
        metric.update(protected, real=False)
    assert ours.compute() == pytest.approx(float(theirs.compute()[0]), rel=1e-4)
    assert ours.compute() > 0.1


def test_kernel_equals_a_plain_loop_for_unequal_sets():
    x1, x2 = features(9, 5, 0), features(14, 5, 1, shift=0.3)
    assert kernel_distance(x1, x2) == pytest.approx(plain_kernel(x1, x2), rel=1e-9)


def test_kernel_in_blocks_equals_whole():
    x1, x2 = features(1500, 4, 0), features(1100, 4, 1, shift=0.3)
    gram = [(a @ b.T / 4 + 1) ** 3 for a, b in ((x1, x1), (x2, x2), (x1, x2))]
    within = [float((g.sum() - g.trace()) / (len(g) * (len(g) - 1))) for g in gram[:2]]
    assert kernel_distance(x1, x2) == pytest.approx(sum(within) - 2 * float(gram[2].mean()), rel=1e-9)


@pytest.mark.parametrize("n, d", [(50, 8), (8, 50)])
def test_frechet_is_a_distance(n, d):
    x, y = features(n, d, 0), features(n + 3, d, 1, shift=0.2)
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-9)
    same = [features(n, d, seed) for seed in range(20)]  # rounding takes some of them below zero
    assert min(frechet_distance(x, x) for x in same) >= 0
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-9)
    assert frechet_distance(x, x + 0.5) == pytest.approx(0.25 * d)  # a shift moves only the mean
    # equal shapes of different size: (√Tr Σ)² (s − 1)² in addition to the shift of the mean
    spread = float(torch.cov(x.T).trace() + x.mean(0).square().sum())
    assert frechet_distance(x, 3 * x) == pytest.approx(4 * spread, rel=1e-9)


@BOTH
def test_order_of_rows_does_not_matter(distance):
    x, y = features(30, 6, 0), features(40, 6, 1, shift=0.2)
    assert distance(x.flip(0), y.roll(7, 0)) == pytest.approx(distance(x, y), rel=1e-9)


def test_kernel_is_symmetric_and_unbiased():
    x, y = features(30, 6, 0), features(40, 6, 1, shift=0.2)
    assert kernel_distance(x, y) == pytest.approx(kernel_distance(y, x), rel=1e-9)
    generator = torch.Generator().manual_seed(0)
    drawn = [kernel_distance(*torch.randn(2, 12, 3, generator=generator)) for _ in range(300)]
    assert min(drawn) < 0 < max(drawn)
    assert abs(np.mean(drawn)) < 3 * np.std(drawn) / len(drawn) ** 0.5


@BOTH
def test_one_row_is_nan(distance):
    assert math.isnan(distance(features(1, 4, 0), features(9, 4, 1)))
    assert math.isnan(distance(features(9, 4, 0), features(1, 4, 1)))


@BOTH
def test_mistakes_are_named(distance):
    x, holed = features(5, 4, 0), features(5, 4, 1)
    holed[2, 1] = math.nan
    with pytest.raises(FacecloakError, match="NaN or infinite"):
        distance(x, holed)
    with pytest.raises(FacecloakError, match=r"\(5, 4\) and \(5, 3\)"):
        distance(x, x[:, :3])


@pytest.mark.parametrize("shell, pure", [(FrechetDistance, frechet_distance), (KernelDistance, kernel_distance)])
def test_shell(shell, pure):
    x, y = features(20, 6, 0).float(), features(33, 6, 1, shift=0.2).float()
    metric = shell()
    metric.update(x[:5], real=True)
    assert math.isnan(metric.compute())
    metric.update(y, real=False)
    metric.update(x[5:], real=True)
    assert metric.compute() == pytest.approx(pure(x, y), rel=1e-9)
    metric.reset()
    metric.update(x[:1], real=True)
    metric.update(y, real=False)
    assert math.isnan(metric.compute())
    with pytest.raises(FacecloakError, match="N×d"):
        metric.update(x[0], real=True)
