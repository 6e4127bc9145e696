"""Every Metric with a few batches: all of them in one process, or every second batch in each of two processes."""

import torch
from torch import nn

from facecloak.metrics import (
    PSNR,
    SSIM,
    FrechetDistance,
    Identification,
    KernelDistance,
    ProtectionSuccessRate,
)

NAN = float("nan")


class Tiny(nn.Module):
    """uint8 N×3×H×W → N×12: means over quadrants, in [0, 1]."""

    num_features = 12

    def forward(self, images):
        return nn.functional.adaptive_avg_pool2d(images.float() / 255, 2).flatten(1)


def random_images(n, seed, size=24):
    return torch.randint(0, 256, (n, 3, size, size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def random_features(n, seed, d=7):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * (1 + seed % 3) + seed % 2


def _pair(n, seed):
    source = random_images(n, seed)
    noise = random_images(n, seed + 1).int() % 19 - 9
    protected = (source.int() + noise).clamp(0, 255).to(torch.uint8)
    if seed % 2:
        protected[0] = source[0]
    return {"protected": protected, "source": source}


def _cosines(n, seed):
    generator = torch.Generator().manual_seed(seed)
    to_target, to_self = torch.rand(2, n, generator=generator) * 2 - 1
    to_target[0] = to_self[0] = to_target[1] = to_self[1] = NAN
    return {"to_target": to_target, "to_self": to_self, "failed": torch.arange(n) == 1}


def _probes(n, seed):
    similarities = torch.rand(n, 9, generator=torch.Generator().manual_seed(seed))
    similarities[0] = NAN
    return {"similarities": similarities, "own": torch.arange(n) % 10 - 1, "target": 3}


def _sides(make):
    return [{"images_or_features": make(n, n), "real": n % 2 == 0} for n in (5, 4, 3, 6, 8)]


def cases():
    """name → (metric, batches as keyword arguments or None); batches differ in size and in number per process."""
    sizes = (4, 7, 5)
    return {
        **{
            f"psr_{kind}": (ProtectionSuccessRate(0.1, kind), [_cosines(n, n) for n in sizes])
            for kind in ("impersonation", "obfuscation", "joint")
        },
        "identification": (Identification(), [_probes(n, n) for n in sizes]),
        "psnr": (PSNR(), [_pair(n, n) for n in sizes]),
        "ssim": (SSIM(), [_pair(n, n) for n in sizes]),
        "frechet": (FrechetDistance(), _sides(random_features)),
        "frechet_network": (FrechetDistance(Tiny()), _sides(random_images)),
        "kernel": (KernelDistance(), _sides(random_features)),
        # in these the second process gets no image at all
        "psr_idle": (ProtectionSuccessRate(0.1, "joint"), [_cosines(6, 1)]),
        "psnr_idle": (PSNR(), [_pair(3, 1)]),
        "frechet_idle": (FrechetDistance(), [_sides(random_features)[0], None, _sides(random_features)[1]]),
        "kernel_one_side_each": (KernelDistance(), _sides(random_features)[:2]),
    }


def results(rank=0, world=1):
    """name → the result of `compute` after every world-th batch, beginning with the rank-th."""
    found = {}
    for name, (metric, batches) in cases().items():
        for batch in filter(None, batches[rank::world]):
            metric.update(**batch)
        found[name] = metric.compute()
    return found


def run_rank(rank, world, folder):
    """Run one of the processes; the results go to ``rank{rank}.pt``."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    torch.save(results(rank, world), f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()
