"""The h-space variant of `tests.reference.cloak`: one image, whole UNet passes, Adam written out."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.reference import cloak
from tests.reference.attention import KeepMaps
from tests.reference.recognition import adversarial_loss, embed


def protect(models: cloak.Models, case: cloak.Case, lr: float) -> tuple[Tensor, list[list[Tensor]], dict]:
    """The image, the variables v of each step after each iteration, and the weighted loss curves."""
    inversion = cloak.invert(models, case, cloak.encode(models, case))
    embeddings = cloak.learn_embeddings(models, case, inversion)
    start, timesteps = inversion[case.steps - case.start_step], cloak.generation_timesteps(models, case)
    with KeepMaps(models.unet) as maps:

        def run(changes: list[Tensor] | None) -> tuple[Tensor, list[dict[str, Tensor]], list[Tensor]]:
            """The last latent, the up blocks' maps of each step, and the middle features before their change."""
            z, kept, middles = start, [], []
            for index, (t, embedding) in enumerate(zip(timesteps, embeddings, strict=True)):

                def change(block, inputs, output, index=index):
                    middles.append(output.detach())
                    return output if changes is None else output + changes[index]

                hook = models.unet.mid_block.register_forward_hook(change)
                maps.taken = {}
                noise = models.unet(z.detach(), t, encoder_hidden_states=embedding).sample  # no gradient the way down
                hook.remove()
                kept.append({name: taken for name, taken in maps.taken.items() if name.startswith("up_blocks")})
                z = models.scheduler.step(noise, t, z).prev_sample
            return z, kept, middles

        with torch.no_grad():
            _, own, middles = run(None)
            target = embed(models.recognizers, case.target, case.target_box)
            source = embed(models.recognizers, case.image, case.box)
        sizes = [(middle**2).mean() ** 0.5 for middle in middles]
        values = [torch.zeros_like(middle) for middle in middles]
        m, v = [[torch.zeros_like(value) for value in values] for _ in range(2)]
        trace, curves = [], {"adv": [], "attn": [], "loss": []}
        for iteration in range(1, case.iterations + 1):
            for value in values:
                value.requires_grad_()
            z, kept, _ = run([size * value for size, value in zip(sizes, values, strict=True)])
            l_attn = 0.0
            for taken, expected in zip(kept, own, strict=True):
                assert taken
                for name in taken:
                    l_attn = l_attn + ((taken[name] - expected[name]) ** 2).mean()
            mine = embed(models.recognizers, cloak.decode(models, z), case.box)
            adv = case.lambda_adv * adversarial_loss(mine, target, source, case.goal, case.reduction)
            loss = adv + case.lambda_attn * l_attn
            gradients = torch.autograd.grad(loss, values)
            for i, g in enumerate(gradients):
                m[i] = 0.9 * m[i] + 0.1 * g
                v[i] = 0.999 * v[i] + 0.001 * g**2
                update = (m[i] / (1 - 0.9**iteration)) / ((v[i] / (1 - 0.999**iteration)) ** 0.5 + 1e-8)
                values[i] = values[i].detach() - lr * update
            trace.append([value.clone() for value in values])
            for name, number in (("adv", adv), ("attn", case.lambda_attn * l_attn), ("loss", loss)):
                curves[name].append(number.item())
        with torch.no_grad():
            z, _, _ = run([size * value for size, value in zip(sizes, values, strict=True)])
            return cloak.decode(models, z).clamp(-1, 1), trace, curves
