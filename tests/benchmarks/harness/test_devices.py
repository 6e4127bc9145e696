"""The device that a run uses, and the message when it is not the one that a user might expect."""

import pytest
import torch

from benchmarks.harness import devices
from benchmarks.harness.devices import lightning_accelerator, pick_device
from facecloak.errors import FacecloakError


@pytest.fixture
def machine(monkeypatch):
    """Make this machine appear to have such GPUs."""

    def pretend(cuda=False, apple=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
        devices._say_once.cache_clear()

    return pretend


@pytest.mark.parametrize(
    ("cuda", "apple", "accelerator", "chosen"),
    [
        (True, False, "auto", "cuda"),
        (True, False, "gpu", "cuda"),
        (True, False, "cpu", "cpu"),
        (False, False, "auto", "cpu"),
        (False, True, "auto", "cpu"),
        (False, True, "cpu", "cpu"),
    ],
)
def test_cuda_where_it_is_and_else_the_cpu(machine, cuda, apple, accelerator, chosen):
    machine(cuda, apple)
    assert pick_device(accelerator) == torch.device(chosen)
    assert lightning_accelerator(accelerator) == chosen


def test_an_apple_gpu_is_passed_over_in_words_and_once(machine, caplog):
    machine(apple=True)
    pick_device("cpu")
    assert not caplog.messages
    for _ in range(2):
        lightning_accelerator("auto")
    assert len(caplog.messages) == 1
    assert "Apple GPUs are not supported" in caplog.text and "using the CPU" in caplog.text


@pytest.mark.parametrize(("apple", "reason"), [(False, "There is no GPU here"), (True, "Apple GPUs are not supported")])
def test_a_gpu_that_is_not_there_is_refused(machine, apple, reason):
    machine(apple=apple)
    with pytest.raises(FacecloakError, match=reason) as caught:
        pick_device("gpu")
    assert "leave --accelerator out" in str(caught.value)
