"""`python -m benchmarks.studies.makeup`: the effect of DiffAM's trainings, on drawn faces with and without makeup.

It measures how much makeup the removal takes off, how close the transfer comes to its reference, and the effect of the
adversarial term: the same model trained without it (``lambda_adv`` = 0) is applied to the same photos.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor

from baselines.diffam.clip import Clip
from baselines.diffam.material import DRAWN
from baselines.diffam.method import DiffAM
from baselines.diffam.regions import REGIONS, regions_of_portraits
from baselines.diffam.removal import BARE, MADE_UP
from benchmarks.console import RunProgress, markdown_table, quietly
from benchmarks.harness.plan import Plan, Request, make_plan
from benchmarks.harness.runner import Runner
from benchmarks.harness.training import checkpoint_name, find_checkpoint
from benchmarks.results.pictures import write_picture
from benchmarks.results.table import headline_far
from benchmarks.suites.suite import load_suite
from facecloak.cli.guard import guarded
from facecloak.config import settings_hash
from facecloak.data import to_tensor, to_uint8
from facecloak.errors import FacecloakError
from facecloak.metrics.statistics import number_text
from facecloak.pocket.portraits import portraits

PEOPLE = range(44_000, 44_032)  # not used in any training or suite
SHOWN = 4  # people in the picture
LIPS = REGIONS.index("lips")
NAMES = ["transfer", "transfer without the adversarial term"]
HEADS_BEFORE = ["what", "before", "after", "change, %"]
HEADS = ["made up", "makeup removed", "drawn bare", "reference", "with its makeup", "and a target's identity"]


def make_plans(out: Path, black_box: str, targets: list[str] | None, limit: int, overrides: list[str]) -> list[Plan]:
    """DiffAM as the suite sets it, and without its adversarial term.

    Raises:
        FacecloakError: the faces are not drawn, no pass is adversarial, or the errors of `make_plan`.
    """
    suite = load_suite("pocket")
    request = Request(out=out, methods=["diffam"], overrides=overrides, black_boxes=[black_box], targets=targets,
                      limit=limit)  # fmt: skip
    plan = make_plan(suite, request)
    settings = plan.protections[0].settings
    if (settings.makeup, settings.bare) != (DRAWN, DRAWN) or not settings.adversarial:
        raise FacecloakError("This needs drawn faces (makeup and bare), lambda_adv above 0 and an adversarial pass.")
    without = dataclasses.replace(request, overrides=[*overrides, "diffam.lambda_adv=0"])
    return [plan, make_plan(suite, without)]


def load_trained(plan: Plan) -> DiffAM:
    """The method of a plan's first protection, with the trained weights of both stages."""
    protection = plan.protections[0]
    stages = DiffAM.stages(protection.settings)
    method, names = DiffAM(protection.settings), [checkpoint_name(protection, stage) for stage in stages]
    for stage, name in zip(stages, names, strict=True):
        file = find_checkpoint(plan.out, name)
        if file is None:
            raise FacecloakError(
                f"{name} is missing in {plan.out / 'checkpoints'}: delete {names[-1]} there as well, so that both "
                "stages are trained again."
            )
        method.use(stage.name, load_file(file))
    return method


class People:
    """Drawn people with and without makeup.

    Attributes:
        made_up, bare: N×3×128×128 in [-1, 1], equal except for the makeup.
        lips: bool N×128×128.
    """

    def __init__(self, people: range = PEOPLE) -> None:
        drawn = [portraits(people, [0] * len(people), makeup=makeup) for makeup in (True, False)]
        self.made_up, self.bare = (to_tensor(each.images.numpy()) for each in drawn)
        self.lips = regions_of_portraits(drawn[0])[:, LIPS]

    def lip_colours(self, images: Tensor) -> Tensor:
        """Mean colour of the lips of N×3×128×128 images, N×3 grey levels."""
        return torch.stack([mean_colour(image, lips) for image, lips in zip(images, self.lips, strict=True)])

    def __len__(self) -> int:
        return len(self.bare)


def mean_colour(image: Tensor, mask: Tensor) -> Tensor:
    """Mean of a 3×H×W image in [-1, 1] within a bool H×W mask, 3 grey levels."""
    return 127.5 * (image[:, mask].mean(dim=1) + 1)


@torch.no_grad()
def makeup_scores(clip: Clip, images: Tensor) -> Tensor:
    """CLIP's zero-shot probability that faces wear makeup, B, with the two texts of the removal's training."""
    texts = clip.embed_texts([MADE_UP, BARE])
    return (clip.model.logit_scale.exp() * clip.embed_images(images) @ texts.T).softmax(dim=1)[:, 0]


def measure(people: People, clip: Clip, removed: Tensor, made: dict[str, Tensor], reference: Tensor) -> list[list[str]]:
    """Lines of the table: what, before, after, change in per cent.

    Args:
        removed: ``people.made_up`` after the removal.
        made: name of a transfer → ``people.bare`` after the transfer.
        reference: mean lip colour of the transfer's reference, 3 grey levels.
    """

    def gap(images: Tensor, goal: Tensor) -> float:
        return (people.lip_colours(images) - goal).norm(dim=1).mean().item()

    truth, name = people.lip_colours(people.bare), "removal: CLIP's makeup score"
    scores = [makeup_scores(clip, images).mean().item() for images in (people.made_up, removed, people.bare)]
    return [
        _line(f"{name} (drawn bare: {scores[2]:.2f})", *scores[:2], 2),
        _line("removal: lip colour, distance to the drawn bare one", gap(people.made_up, truth), gap(removed, truth)),
        *(
            _line(f"{name}: lip colour, distance to the reference's", gap(people.bare, reference), gap(own, reference))
            for name, own in made.items()
        ),
    ]


def _line(what: str, before: float, after: float, digits: int = 1) -> list[str]:
    return [what, f"{before:.{digits}f}", f"{after:.{digits}f}", number_text(100 * (after / before - 1), 0)]


def success(table: pd.DataFrame, names: dict[str, str]) -> list[list[str]]:
    """Lines of the second table: transfer, PSR, PSR of unprotected photos, PSNR; means over targets.

    Args:
        table: a run's long table.
        names: hash of settings → their name.
    """
    own, lines = table[table["far"] == headline_far(table["far"])], []
    for key, name in names.items():
        part = own[own["settings_hash"] == key]
        rates = [100 * part[column].mean() for column in ("psr", "psr_clean")]
        lines.append([name, *(f"{number:.1f}" for number in (*rates, part["psnr"].mean()))])
    return lines


def run(out: Path, plans: list[Plan]) -> str:
    """Train what is missing, apply, measure; returns both tables as Markdown and writes ``makeup.png``."""
    firsts = [plan.protections[0] for plan in plans]
    names = dict(zip([settings_hash(first.settings) for first in firsts], NAMES, strict=True))
    both = dataclasses.replace(plans[0], tasks=[task for plan in plans for task in plan.tasks])
    table = Runner(both, RunProgress()).run()
    methods, people = dict(zip(NAMES, map(load_trained, plans), strict=True)), People()
    method = methods[NAMES[0]]
    removed, reference = method.remove(people.made_up), method.reference()
    made = {name: own.edit(people.bare) for name, own in methods.items()}
    columns = [people.made_up, removed, people.bare, reference.image.expand_as(removed), *reversed(made.values())]
    rows = zip(*(to_uint8(images[:SHOWN]) for images in columns), strict=True)
    write_picture(out / "makeup.png", HEADS, [list(row) for row in rows])
    colour = mean_colour(reference.image, reference.regions[LIPS])
    (judge,) = plans[0].tasks[0].judges
    targets = sorted({protection.target.name for protection in plans[0].protections})
    return "\n\n".join((
        f"{len(people)} drawn people; the transfer is that of target {firsts[0].target.name}; colours in grey levels",
        markdown_table(HEADS_BEFORE, measure(people, method.language, removed, made, colour)).rstrip(),
        f"Targets {', '.join(targets)}, {table['n_images'].iloc[0]} photos each, black box {judge}",
        markdown_table(["", "PSR, %", "unprotected", "PSNR, dB"], success(table, names)).rstrip(),
        f"Picture: {out / 'makeup.png'}",
    ))  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.makeup", description=__doc__.splitlines()[0],
        epilog="Set settings with --diffam.field=value; models that are missing are trained first.",
    )  # fmt: skip
    parser.add_argument("--black-box", default="pocket_dense", help="recognizer that judges (default: pocket_dense)")
    parser.add_argument("--targets", help="comma-separated (default: all of the suite)")
    parser.add_argument("--limit", type=int, default=6, metavar="N", help="photos of each target (default: 6, all)")
    parser.add_argument("--out", type=Path, default=Path("runs/makeup"), help="folder (default: runs/makeup)")
    options, overrides = parser.parse_known_args(arguments)
    if options.limit < 1:
        parser.error(f"argument --limit: must be at least 1, got {options.limit}")
    overrides = [text.removeprefix("--") for text in overrides]
    targets = options.targets.split(",") if options.targets else None

    @quietly()
    def work() -> int:
        plans = make_plans(options.out, options.black_box, targets, options.limit, overrides)
        print(run(options.out, plans))
        return 0

    return guarded(work, "Finished images are kept: run the same command again to continue.")


if __name__ == "__main__":
    sys.exit(main())
