"""The processes of a run: which of them this is, and how they wait for each other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy

from benchmarks.harness import processes
from benchmarks.harness.devices import use_gpu
from facecloak.errors import FacecloakError

LONGEST = timedelta(days=2)  # the first process may train, and the others wait for it


@dataclass(frozen=True)
class Group:
    """A process among those of its run.

    Attributes:
        rank: the number of this process, from 0.
        size: the number of processes, on all machines.
    """

    rank: int = 0
    size: int = 1

    def wait(self) -> None:
        """Wait until every process is here.

        Raises:
            FacecloakError: another process has ended.
        """
        if self.size == 1:
            return
        try:
            torch.distributed.barrier()
        except RuntimeError:  # gloo: the connection was closed
            raise FacecloakError(
                "another process of this run ended early. Finished images are kept: run the same command again to "
                "continue."
            ) from None


def join(devices: int, num_nodes: int = 1) -> Group:
    """Join the processes of this run, which are started unless they have been, and choose this process's GPU.

    They only wait for each other, and exchange nothing but that: what they make is on disk.

    Args:
        devices: number of processes on each of ``num_nodes`` machines.
    """
    if devices * num_nodes == 1:
        return Group()
    if not torch.distributed.is_initialized():
        if processes.processes_elsewhere() == 1:
            processes.start(devices)
            torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # torch was imported before
        strategy = DDPStrategy(timeout=LONGEST, process_group_backend="gloo")
        fabric = Fabric(
            accelerator="cpu", devices=devices, num_nodes=num_nodes, strategy=strategy,
            plugins=[LightningEnvironment()] if processes.are_own() else None,
        )  # fmt: skip
        if processes.is_follower():
            processes.follow()
        fabric.launch()
        use_gpu(fabric.local_rank)
    return Group(torch.distributed.get_rank(), torch.distributed.get_world_size())
