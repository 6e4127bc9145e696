"""The one training loop: AdamW, a warm-up and a cosine, averaged weights, and exact resumption after a kill."""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from facecloak.errors import FacecloakError
from facecloak.io import sha256_json, write_bytes

SAVE_EVERY = 60.0  # seconds
WARM_UP = 0.05  # part of the steps


def train(
    model: nn.Module,
    loss: Callable[[nn.Module, int], Tensor],
    *,
    steps: int,
    learning_rate: float,
    checkpoint: Path,
    seed: int,
    data: Sequence[Tensor],
    average: float = 0.998,
    weight_decay: float = 0.0,
    until: int | None = None,
    on_step: Callable[[int, int, float], None] = lambda *_: None,
) -> nn.Module:
    """Train a model, continuing from its checkpoint if there is one.

    Every step draws its batch and its noise from the seed and its own number, so that a run that was killed
    and resumed ends with the weights of one that was not. The forward pass runs in bfloat16 where that is faster.

    Args:
        model: in training mode, on its device.
        loss: the loss of the model at a step, a scalar; it draws from the global generator only. The constants of its
            module (names in capitals) are part of the recipe.
        data: what the loss learns from, portraits and models of earlier stages: their hash is part of the recipe.
        average: decay of the exponential average of weights and buffers.
        until: stop after this step, though the learning rate falls as if all were done.
        on_step: called with the number of done steps, of all, and the running loss.

    Returns:
        The averaged model, in eval mode.

    Raises:
        FacecloakError: the loss or its gradient is not finite, or the checkpoint is of another recipe.
    """
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, betas=(0.9, 0.99), weight_decay=weight_decay)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(average), use_buffers=True)
    done, running = 0, math.nan
    recipe = {"steps": steps, "until": until, "learning_rate": learning_rate, "seed": seed, "average": average,
              "weight_decay": weight_decay, "data": _fingerprint(data), "model": sha256_json(repr(model)),
              "constants": _constants(loss)}  # fmt: skip
    if checkpoint.is_file():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        if state.get("recipe") != recipe:
            raise FacecloakError(f"{checkpoint} is of another recipe ({state.get('recipe')}, now {recipe}): delete it.")
        for part, key in ((model, "model"), (averaged, "averaged"), (optimizer, "optimizer")):
            part.load_state_dict(state[key])
        done, running = state["done"], state["running"]
    saved = time.monotonic()
    last = until or steps
    for step in range(done, last):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * _schedule(step, steps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed * 1_000_003 + step)
            with torch.autocast(device.type, torch.bfloat16, enabled=_fast_in_bf16(device)):
                value = loss(model, step)
        optimizer.zero_grad()
        value.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if not torch.isfinite(torch.stack([value.detach(), norm])).all():  # before it is in the weights
            raise FacecloakError(
                f"{checkpoint.stem}: the loss is {value.item()}, its gradient {norm:g} at step {step}."
            )
        optimizer.step()
        averaged.update_parameters(model)
        running = value.item() if math.isnan(running) else 0.98 * running + 0.02 * value.item()
        on_step(step + 1, last, running)
        if step + 1 == last or time.monotonic() - saved > SAVE_EVERY:
            parts = {"model": model, "averaged": averaged, "optimizer": optimizer}
            _save(checkpoint, {key: part.state_dict() for key, part in parts.items()}, recipe, step + 1, running)
            saved = time.monotonic()
    return averaged.module.eval()


def batch_indices(count: int, size: int, step: int, seed: int) -> Tensor:
    """The numbers of the step's examples: every epoch is a permutation of its own of 0..count-1."""
    per_epoch = count // size
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 7919 + epoch))
    return order[place * size : (place + 1) * size]


def to_range(images: Tensor) -> Tensor:
    """uint8 N×H×W×3 → float32 N×3×H×W in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def _schedule(step: int, steps: int) -> float:
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) * 0.99 + 0.01


def _fingerprint(tensors: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def _constants(loss: Callable[..., Tensor]) -> dict[str, str]:
    """The constants of the module that a loss is defined in, such as its batch size."""
    names, plain = getattr(loss, "func", loss).__globals__, (int, float, str, tuple, dict)
    return {name: repr(names[name]) for name in names if name.isupper() and isinstance(names[name], plain)}


def _fast_in_bf16(device: torch.device) -> bool:
    """Emulated, which is what a CPU without these instructions does, bfloat16 takes twenty times as long."""
    return device.type != "cpu" or getattr(torch.cpu, "get_capabilities", dict)().get("avx512_bf16", False)


def _save(checkpoint: Path, state: dict, recipe: dict, done: int, running: float) -> None:
    data = io.BytesIO()
    torch.save({**state, "recipe": recipe, "done": done, "running": running}, data)
    write_bytes(checkpoint, data.getvalue())
