import json
import math

import pytest
import torch
from scipy.stats import binomtest

from facecloak.errors import FacecloakError
from facecloak.metrics import ProtectionSuccessRate, successes
from facecloak.metrics.statistics import wilson_interval

NAN = float("nan")
TO_TARGET = torch.tensor([0.5, 0.5, 0.1, 0.1, NAN])
TO_SELF = torch.tensor([0.1, 0.5, 0.1, 0.5, NAN])


def run(metric, to_target, to_self, failed=None):
    n = len(to_target if to_target is not None else to_self)
    metric.update(to_target, to_self, torch.zeros(n, dtype=torch.bool) if failed is None else failed)
    return metric.compute()


@pytest.mark.parametrize("k, n", [(0, 1), (1, 1), (0, 40), (40, 40), (1, 40), (13, 40), (871, 1000)])
def test_wilson_equals_scipy(k, n):
    expected = binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(k, n) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)


def test_wilson_without_trials_is_nan():
    assert all(math.isnan(bound) for bound in wilson_interval(0, 0))


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("impersonation", [True, True, False, False, False]),
        ("obfuscation", [True, False, True, False, False]),
        ("joint", [True, False, False, False, False]),
    ],
)
def test_kinds(kind, expected):
    assert successes(TO_TARGET, TO_SELF, 0.3, kind).tolist() == expected
    result = run(ProtectionSuccessRate(0.3, kind), TO_TARGET, TO_SELF)
    assert result["rate"] == sum(expected) / 4
    assert (result["n"], result["n_undetected"], result["n_failed"]) == (4, 1, 0)
    assert (result["low"], result["high"]) == wilson_interval(sum(expected), 4)


def test_a_cosine_at_the_threshold_succeeds_in_neither():
    at = torch.tensor([0.25])
    assert not successes(at, None, 0.25, "impersonation").any()
    assert not successes(None, at, 0.25, "obfuscation").any()


def test_decision_is_the_same_from_stored_cosines():
    cosine = torch.tensor([0.3])  # in float32 a little above 0.3
    stored = json.loads(json.dumps(cosine.tolist()))
    assert successes(cosine, None, 0.3, "impersonation").tolist() == [stored[0] > 0.3] == [True]


def test_unneeded_cosines_may_be_absent_or_nan():
    nans = torch.full((5,), NAN)
    for to_self in (None, nans):
        assert run(ProtectionSuccessRate(0.3, "impersonation"), TO_TARGET, to_self)["rate"] == 0.5
    for to_target in (None, nans):
        assert run(ProtectionSuccessRate(0.3, "obfuscation"), to_target, TO_SELF)["rate"] == 0.5


def test_failed_counts_in_the_denominator_and_undetected_does_not():
    failed = torch.tensor([False, False, False, True])
    to_target = torch.tensor([0.9, 0.1, NAN, NAN])
    result = run(ProtectionSuccessRate(0.3, "impersonation"), to_target, None, failed)
    assert result["rate"] == pytest.approx(1 / 3)
    assert (result["n"], result["n_undetected"], result["n_failed"]) == (3, 1, 1)


def test_failed_is_no_success_whatever_its_cosines():
    result = run(ProtectionSuccessRate(0.3, "joint"), TO_TARGET[:1], TO_SELF[:1], torch.tensor([True]))
    assert (result["rate"], result["n"]) == (0.0, 1)


@pytest.mark.parametrize("kind", ["impersonation", "obfuscation", "joint"])
def test_all_undetected_is_nan_and_all_failed_is_zero(kind):
    nans = torch.full((6,), NAN)
    undetected = run(ProtectionSuccessRate(0.3, kind), nans, nans)
    assert math.isnan(undetected["rate"]) and math.isnan(undetected["low"]) and math.isnan(undetected["high"])
    assert (undetected["n"], undetected["n_undetected"]) == (0, 6)
    failed = run(ProtectionSuccessRate(0.3, kind), nans, nans, torch.ones(6, dtype=torch.bool))
    assert (failed["rate"], failed["n"], failed["n_failed"], failed["n_undetected"]) == (0.0, 6, 6, 0)


def test_batches_add_up_and_reset_forgets():
    metric = ProtectionSuccessRate(0.3, "joint")
    for i in range(5):
        metric.update(TO_TARGET[i : i + 1], TO_SELF[i : i + 1], torch.tensor([False]))
    assert metric.compute() == run(ProtectionSuccessRate(0.3, "joint"), TO_TARGET, TO_SELF)
    metric.reset()
    assert run(metric, TO_TARGET[:1], TO_SELF[:1])["n"] == 1


def test_mistakes_are_named():
    with pytest.raises(FacecloakError, match="Did you mean 'obfuscation'"):
        ProtectionSuccessRate(0.3, "obfuscate")
    with pytest.raises(FacecloakError, match="to_self"):
        successes(TO_TARGET, None, 0.3, "joint")
    with pytest.raises(FacecloakError, match="one shape"):
        successes(TO_TARGET, TO_SELF[:1], 0.3, "joint")
    with pytest.raises(FacecloakError, match="failed"):
        run(ProtectionSuccessRate(0.3, "joint"), TO_TARGET, TO_SELF, torch.tensor([False]))
