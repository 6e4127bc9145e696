"""Which process protects which batch: all of them are protected, photos stay where they are, nobody is without work."""

from collections import Counter

import pytest

from benchmarks.harness.sharing import share


def owners_of(protections, processes):
    """(batch, process) of every batch, in the order of the plan."""
    owners = share(protections, processes)
    assert [len(each) for each in owners] == [len(batches) for batches in protections]
    return [pair for batches, own in zip(protections, owners, strict=True) for pair in zip(batches, own, strict=True)]


@pytest.mark.parametrize("processes", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("batches", [1, 2, 3, 4, 7])
def test_no_process_has_much_more_to_do_than_another(batches, processes):
    protections = [[(f"{number}",) for number in range(batches)] for _ in range(40)]
    work = Counter(owner for _, owner in owners_of(protections, processes))
    assert {*work} == {*range(processes)}
    assert max(work.values()) - min(work.values()) <= batches % processes


def test_the_same_photos_go_to_the_same_process():
    """Four targets with photos of their own, as in the pocket suite: each process has the photos of two."""
    protections = [[(f"{target}a", f"{target}b")] for _ in range(5) for target in range(4)]
    pairs = {*owners_of(protections, 2)}
    assert len(pairs) == 4 and Counter(owner for _, owner in pairs) == {0: 2, 1: 2}


def test_photos_of_a_target_more_than_the_processes_go_in_turns():
    """Three targets, two processes: with the third one's photos in one process, the other would wait for a third."""
    protections = [[(f"{target}",)] for _ in range(10) for target in range(3)]
    work = Counter(owners_of(protections, 2))
    assert work[("0",), 0] == work[("1",), 1] == 10 and work[("2",), 0] == work[("2",), 1] == 5


def test_a_protection_without_usable_photos_has_no_batch():
    assert share([[], [("a",)]], 2) == [[], [0]]
