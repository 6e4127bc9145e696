"""`python -m benchmarks.studies.purification`: how much of a change to the latent the denoising removes again.

Denoising purifies: it treats an adversarial change of the latent as noise. Learned unconditional embeddings should
weaken that (Salar et al., CVPR 2025). This study follows small changes to the image, with the empty prompt's embedding
and with learned ones: random changes, and changes along the gradient of the adversarial loss, which itself runs through
the denoising.
"""

from __future__ import annotations

import argparse
import sys

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.console import markdown_table, quietly
from benchmarks.harness.methods import load_objective, load_surrogate, resolve_methods
from benchmarks.suites.suite import load_suite
from facecloak.cli.guard import guarded
from facecloak.cloak.method import FaceCloak
from facecloak.data import Batch, to_tensor, to_uint8
from facecloak.errors import FacecloakError
from facecloak.metrics import psnr
from facecloak.metrics.statistics import Estimate, bootstrap_mean

SIZE = 0.1  # root mean square of a change; a latent's own is about 1
WHAT = {"random": "of a random change survives, %", "adversarial": "of one along the gradient, %",
        "drop": "which lowers L_adv by", "psnr": "PSNR without a change, dB"}  # fmt: skip


@torch.no_grad()
def survival(method: FaceCloak, z: Tensor, embeddings: list[Tensor], direction: Tensor) -> Tensor:
    """⟨G(z + δ) − G(z), δ⟩ / |δ|² of each latent, B: 1 if a change survives, 0 if it is removed.

    Args:
        method: whose generation steps are G.
        z: B×C×h×w inverted latents.
        embeddings: one per step, B×L×d.
        direction: of the change δ, of z's shape.
    """
    change = scaled(direction)
    made = method.generate(z + change, embeddings) - method.generate(z, embeddings)
    return (made * change).flatten(1).sum(1) / change.square().flatten(1).sum(1)


def scaled(direction: Tensor) -> Tensor:
    """The change of `SIZE` in a direction, B×C×h×w."""
    return SIZE * direction / direction.square().mean((1, 2, 3), keepdim=True).sqrt()


def adversarial_loss(method: FaceCloak, batch: Batch, z: Tensor, embeddings: list[Tensor]) -> Tensor:
    """L_adv of each latent's image, B: the mean over the surrogates."""
    with torch.no_grad():
        sources = method.objective.embed(batch.images, batch.boxes)
    return method.objective(method.backbone.decode(method.generate(z, embeddings)), batch.boxes, sources).mean(1)


def measure(suite_name: str, limit: int, overrides: list[str]) -> pd.DataFrame:
    """A line per photo and embedding: embedding, source; ``random`` and ``adversarial``, `survival` in per cent;
    ``drop``, by how much the latter lowers L_adv; ``psnr`` of the portrait that is generated without a change.

    Raises:
        FacecloakError: the suite, its photos or the settings are invalid.
    """
    suite = load_suite(suite_name)
    find_face = suite.find_face()
    (resolved,) = resolve_methods(suite, ["facecloak"], overrides)
    settings = resolved.settings
    if settings.embedding_iterations == 0:
        raise FacecloakError("embedding_iterations is 0, so there are no learned embeddings to measure.")
    read = {source: suite.read(source.path, find_face) for source in suite.load_sources(limit)}
    photos = {source: photo for source, photo in read.items() if not photo.error}
    if not photos:
        raise FacecloakError(f"Suite {suite.name}: none of {len(read)} photos is usable.")
    names = suite.surrogates_for(suite.recognizers[-1:])
    surrogates = {name: load_surrogate(name) for name in names}
    method, lines = FaceCloak(settings, None), []
    empty = [method.backbone.null_embedding(1)] * len(method.schedule.generation)
    generator = torch.Generator().manual_seed(0)
    for source, photo in tqdm(photos.items(), unit="photo"):
        target = suite.load_target(source.group or suite.target_names()[0], "impersonation")
        method.objective = load_objective(
            suite, resolved, "impersonation", target, names, find_face, surrogates.__getitem__
        )
        batch = Batch([source.name], to_tensor([photo.image]), torch.tensor([photo.box]))
        start = method.start(batch.images)
        noise = torch.randn(start.z.shape, generator=generator)
        for name, embeddings in (("empty prompt", empty), ("learned", start.embeddings)):
            lines.append(
                {"embedding": name, "source": source.name, **_follow(method, batch, start.z, embeddings, noise)}
            )
    return pd.DataFrame(lines)


def _follow(method: FaceCloak, batch: Batch, z: Tensor, embeddings: list[Tensor], noise: Tensor) -> dict[str, float]:
    """The numbers of one photo with one kind of embeddings."""
    z = z.clone().requires_grad_()
    loss = adversarial_loss(method, batch, z, embeddings)
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    with torch.no_grad():
        after = adversarial_loss(method, batch, z + scaled(-gradient), embeddings)
        back = method.backbone.decode(method.generate(z, embeddings)).clamp(-1, 1)
    return {
        "random": 100 * float(survival(method, z, embeddings, noise)),
        "adversarial": 100 * float(survival(method, z, embeddings, -gradient)),
        "drop": float(loss.detach() - after),
        "psnr": float(psnr(_bytes(back), _bytes(batch.images))),
    }


def _bytes(images: Tensor) -> Tensor:
    return torch.from_numpy(to_uint8(images)).permute(0, 3, 1, 2)


def report(lines: pd.DataFrame) -> str:
    """The table as Markdown: means over photos and 95 % intervals."""
    rows = []
    for name, own in lines.groupby("embedding"):
        found = {column: bootstrap_mean(own[column], own["source"]) for column in WHAT}
        rows.append([name, *(_text(estimate, 3 if column == "drop" else 1) for column, estimate in found.items())])
    heads = ["embedding", *WHAT.values()]
    return f"{lines['source'].nunique()} photos\n\n{markdown_table(heads, rows)}"


def _text(estimate: Estimate, digits: int) -> str:
    mean, low, high = (f"{value:.{digits}f}" for value in estimate[:3])
    return f"{mean} ({low} to {high})" if estimate.n > 1 else mean


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.purification", description=__doc__.splitlines()[0],
        epilog="Set settings with --facecloak.field=value.",
    )  # fmt: skip
    parser.add_argument("--suite", default="pocket", help="name or path of a YAML file (default: pocket)")
    parser.add_argument("--limit", type=int, default=3, metavar="N", help="photos of each group (default: 3)")
    options, overrides = parser.parse_known_args(arguments)
    if options.limit < 1:
        parser.error(f"argument --limit: must be at least 1, got {options.limit}")
    overrides = [text.removeprefix("--") for text in overrides]
    with quietly():
        return guarded(lambda: print(report(measure(options.suite, options.limit, overrides))) or 0)


if __name__ == "__main__":
    sys.exit(main())
