"""Every Metric gives the same result in one process and in two (gloo), whatever share of the batches each gets."""

import metric_cases
import pytest
import torch


@pytest.fixture(scope="module")
def one_process():
    return metric_cases.results()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gloo")
    # forked: the imports of a new process take longer than everything that it computes
    torch.multiprocessing.start_processes(metric_cases.run_rank, (2, str(folder)), nprocs=2, start_method="fork")
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", metric_cases.cases())
def test_two_processes_agree_with_one(name, one_process, two_processes):
    for found in two_processes:
        assert found[name] == pytest.approx(one_process[name], rel=1e-9, abs=1e-12, nan_ok=True)


def test_metric_says_how_it_is_read():
    for metric, _ in metric_cases.cases().values():
        assert metric.higher_is_better is ("Distance" not in type(metric).__name__)
        assert metric.is_differentiable is False and metric.full_state_update is False


def test_cases_measure_something(one_process):
    assert all(value == value for value in one_process.values())
    rates = one_process["identification"].values()
    assert all(0 < rate < 1 for rate in rates)
    assert 0 < one_process["psr_joint"]["rate"] < 1
    assert one_process["psnr"]["n_identical"] == 2
