"""`python -m benchmarks.purification`: how much of a change to the latent the denoising takes out again.

Denoising purifies: an adversarial change of the latent is noise to it. Learned unconditional embeddings are to weaken
that (Salar et al., CVPR 2025). Here random changes are followed to the image, with the empty prompt's embedding and
with learned ones, so that neither recognizers nor an optimiser have a part in the answer.
"""

from __future__ import annotations

import argparse
import sys

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.bootstrap import bootstrap_mean
from benchmarks.leaderboard import markdown_table
from benchmarks.plan import resolve_methods
from benchmarks.progress import quiet
from benchmarks.suite_files import load_suite
from facecloak.cloak.method import FaceCloak
from facecloak.data import to_tensor, to_uint8
from facecloak.errors import FacecloakError
from facecloak.metrics import psnr

SPREAD = 0.1  # standard deviation of the change; a latent's own is about 1
DRAWS = 4  # changes a photo
WHAT = {"survival": "of a change survives, %", "psnr": "PSNR without a change, dB"}


@torch.no_grad()
def survival(method: FaceCloak, z: Tensor, embeddings: list[Tensor], seed: int = 0) -> Tensor:
    """⟨G(z + δ) − G(z), δ⟩ / |δ|² of each latent, B: 1 where a change passes, 0 where it is taken out.

    Args:
        method: whose generation steps are G.
        z: B×C×h×w inverted latents.
        embeddings: one per step, B×L×d.
        seed: of the Gaussian changes δ, of which the mean over several is taken.
    """
    clean, found = method.generate(z, embeddings), []
    generator = torch.Generator().manual_seed(seed)
    for _ in range(DRAWS):
        change = SPREAD * torch.randn(z.shape, generator=generator).to(z)
        made = method.generate(z + change, embeddings) - clean
        found.append((made * change).flatten(1).sum(1) / change.square().flatten(1).sum(1))
    return torch.stack(found).mean(0)


def measure(suite_name: str, limit: int, overrides: list[str]) -> pd.DataFrame:
    """A line per photo and embedding: embedding, source, ``survival`` in per cent, ``psnr`` of the portrait that
    comes back when nothing is changed.

    Raises:
        FacecloakError: the suite, its photos or the settings are wrong.
    """
    suite = load_suite(suite_name)
    find_face = suite.find_face()
    _, _, _, settings = resolve_methods(suite, ["facecloak"], overrides)[0]
    if settings.embedding_iterations == 0:
        raise FacecloakError("embedding_iterations is 0, so that there are no learned embeddings to measure.")
    read = {source.name: suite.read(source.path, find_face) for source in suite.load_sources(limit)}
    photos = {name: to_tensor([photo.image]) for name, photo in read.items() if not photo.error}
    if not photos:
        raise FacecloakError(f"Suite {suite.name}: none of {len(read)} photos is usable.")
    method, lines = FaceCloak(settings, None), []
    empty = [method.backbone.null_embedding(1)] * len(method.schedule.generation)
    for source, image in tqdm(photos.items(), unit="photo"):
        start = method.start(image)
        for name, embeddings in (("empty prompt", empty), ("learned", start.embeddings)):
            with torch.no_grad():
                back = method.backbone.decode(method.generate(start.z, embeddings)).clamp(-1, 1)
            share = 100 * float(survival(method, start.z, embeddings))
            lines.append(
                {
                    "embedding": name,
                    "source": source,
                    "survival": share,
                    "psnr": float(psnr(_bytes(back), _bytes(image))),
                }
            )
    return pd.DataFrame(lines)


def _bytes(images: Tensor) -> Tensor:
    return torch.from_numpy(to_uint8(images)).permute(0, 3, 1, 2)


def report(lines: pd.DataFrame) -> str:
    """The table as Markdown: means over photos and 95 % intervals."""
    rows = []
    for name, own in lines.groupby("embedding"):
        found = [bootstrap_mean(own[column], own["source"]) for column in WHAT]
        rows.append([name, *(text for f in found for text in (f"{f.mean:.1f}", f"{f.low:.1f} to {f.high:.1f}"))])
    heads = ["embedding", *(text for head in WHAT.values() for text in (head, "95 %"))]
    return f"{lines['source'].nunique()} photos\n\n{markdown_table(heads, rows)}"


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.purification", description=__doc__.splitlines()[0],
        epilog="Settings are given as --facecloak.field=value.",
    )  # fmt: skip
    parser.add_argument("--suite", default="pocket", help="name or path of a YAML file (default: pocket)")
    parser.add_argument("--limit", type=int, default=3, metavar="N", help="photos of each group (default: 3)")
    options, overrides = parser.parse_known_args(arguments)
    if options.limit < 1:
        parser.error(f"argument --limit: must be 1 at least, got {options.limit}")
    quiet()
    try:
        print(report(measure(options.suite, options.limit, [text.removeprefix("--") for text in overrides])))
    except FacecloakError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
