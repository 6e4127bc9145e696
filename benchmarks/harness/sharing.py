"""Which process protects which photos. It follows from the plan, so that processes need not ask one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

Names = Sequence[str]  # of the photos in a batch


def share(protections: Sequence[Sequence[Names]], processes: int) -> list[list[int]]:
    """The process of every batch of every protection.

    A batch of the same photos goes to the same process in all protections, since methods keep what they have computed
    of photos. Where the number of different batches is not a multiple of the number of processes, the last ones go from
    process to process, from one protection to the next: no process is without work while there are enough protections.

    Args:
        protections: the batches of each protection.
        processes: at least 1.

    Example:
        >>> share([[["anna"], ["bert"]], [["anna"], ["bert"]]], 2)
        [[0, 1], [0, 1]]
        >>> share([[["anna"]], [["anna"]], [["anna"]]], 2)
        [[0], [1], [0]]
    """
    different = dict.fromkeys(tuple(batch) for batches in protections for batch in batches)
    number = {batch: place for place, batch in enumerate(different)}
    whole = len(number) - len(number) % processes
    seen: Counter[tuple[str, ...]] = Counter()
    owners = []
    for batches in protections:
        own = []
        for batch in map(tuple, batches):
            turn = seen[batch] if number[batch] >= whole else 0
            own.append((number[batch] + turn) % processes)
            seen[batch] += 1
        owners.append(own)
    return owners
