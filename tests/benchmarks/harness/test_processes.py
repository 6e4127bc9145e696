"""SIGTERM interrupts the work; afterwards the earlier signal handler is restored."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from benchmarks.harness.processes import Terminated, children, ending_together, terminated_by_sigterm


@pytest.mark.parametrize("block", [terminated_by_sigterm, ending_together])
def test_sigterm_interrupts_and_the_handler_before_comes_back(block):
    heard = []
    outer = signal.signal(signal.SIGTERM, lambda *_: heard.append("outer"))
    try:
        with pytest.raises(Terminated), block():
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        with block():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, outer)
    assert heard == ["outer", "outer"]


def test_a_thread_can_work_too():
    before, done = signal.getsignal(signal.SIGTERM), []

    def work():
        with ending_together():
            done.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [before]


def test_an_error_ends_the_children():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    children.append(child)
    try:
        with pytest.raises(ValueError, match="x"), ending_together():
            raise ValueError("x")
        assert child.wait() == -signal.SIGKILL
    finally:
        children.remove(child)
        child.kill()
