"""What can be typed after `facecloak`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import shtab

from facecloak import __version__

EXAMPLES = {
    "demo": ["facecloak demo", "facecloak demo --suite celeba_hq_pairs --out runs/real"],
    "benchmark": [
        "facecloak benchmark pocket",
        "facecloak benchmark celeba_hq_pairs --methods facecloak:paper --facecloak.lambda_attn=30 --targets 1,2",
    ],
    "judge": [
        "facecloak judge runs/pocket --countermeasures jpeg30,purify301,screenshot",
        "facecloak judge runs/pocket --recognizers mine --thresholds mine.json",
    ],
    "curves": [
        "facecloak curves pocket --methods ti_dim,tip_im,facecloak:fast --out runs/curves",
        "facecloak curves lfw --methods pgd,facecloak:fast --limit 16",
        "facecloak curves pocket --methods pgd,lowkey,fawkes --objective obfuscation --out runs/dodging",
    ],
    "protect": [
        "facecloak protect portrait.jpg --out protected",
        "facecloak protect 'album/*.jpg' --out protected --method pgd --format jpeg --judge dlib",
    ],
    "evaluate": [
        "facecloak evaluate --originals photos --protected cloaked --suite celeba_hq_pairs",
        "facecloak evaluate --originals photos --protected cloaked --others others --as mytool --out runs/mytool",
    ],
    "calibrate": [
        "facecloak calibrate celeba_hq_pairs --out thresholds.json",
        "facecloak calibrate celeba_hq_pairs --recognizers mine --photos people --out mine.json",
    ],
    "sweep": [
        "facecloak sweep sweeps/lambda_adv.yaml --count 12 --jobs 2",
        "facecloak sweep sweeps/tip_im.yaml --backend wandb --count 20",
        "facecloak sweep --status runs/sweeps/lambda_adv",
    ],
    "leaderboard": [
        "facecloak leaderboard runs/pocket runs/others --out board",
        "facecloak leaderboard --check --rejudge runs/pocket",
    ],
    "track": ["facecloak track runs/pocket --wandb online", "facecloak track runs --wandb offline --wandb-images"],
    "validate": ["facecloak validate mine.yaml", "facecloak validate sweeps/lambda_adv.yaml runs/pocket"],
    "fetch": ["facecloak fetch lfw", "facecloak fetch --list"],
    "licences": ["facecloak licences runs/lfw", "facecloak licences runs"],
    "list": ["facecloak list", "facecloak list recognizers"],
}
LISTS = ("methods", "recognizers", "suites", "countermeasures")
EPILOG = "examples:\n{}\n\nSettings of a method are given as --method.field=value; a wrong field is reported with the \
known ones.\n"
COUNTERMEASURES = "what is done to the pictures before they are judged once more, comma-separated: jpeg30, \
purify301 …, or the sets common, purify, all (see `facecloak list`)"


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("must be at least one name")
    return names


def positive(text: str) -> int:
    """A whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def make_parser() -> argparse.ArgumentParser:
    """The parser of `facecloak`; ``command`` is the name of the command that was typed."""
    parser = argparse.ArgumentParser(
        prog="facecloak", description="Protect face photos from recognition, and measure how well that works.",
        epilog=EPILOG.format(_lines(examples[0] for examples in EXAMPLES.values())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    shtab.add_argument_to(parser, "--print-completion", help="print the completion script for a shell")
    parser.add_argument("--version", action="version", version=f"facecloak {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = _add(commands, "demo", "protect one photo, judge it, and draw what changed")
    demo.add_argument("--suite", default="pocket", help="suite that photo, models, target and settings come from")
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the pictures (default: runs/demo)")

    benchmark = _add(commands, "benchmark", "protect a suite's photos with methods, judge them, and write tables")
    benchmark.add_argument("suite", help="name of a suite (see `facecloak list`), or path of a YAML file")
    benchmark.add_argument(
        "--methods", type=_names, help="name or name:preset, comma-separated, or all (default: suite's)"
    )
    benchmark.add_argument("--out", type=Path, help="folder of the results; run again to resume (default: runs/SUITE)")
    benchmark.add_argument("--limit", type=positive, metavar="N", help="use only the first N photos of each group "
                           "(default: the suite's number, or all)")  # fmt: skip
    benchmark.add_argument("--targets", type=_names, help="names of targets, or 'all' (default: the suite's)")
    benchmark.add_argument("--black-box", type=_names, help="judges; for each of them, the other recognizers are the "
                           "surrogates (default: every recognizer)")  # fmt: skip
    benchmark.add_argument("--white-box", type=_names, help="judges that are attacked too; their rows are marked")
    benchmark.add_argument("--countermeasures", type=_names, default=[], help=COUNTERMEASURES)
    benchmark.add_argument("--config", type=Path, help="YAML file with the settings of each method")
    benchmark.add_argument("--batch-size", type=positive, help="photos protected at once (default: the suite's)")
    benchmark.add_argument("--devices", type=positive, default=1, help="processes or GPUs per machine (default: 1)")
    benchmark.add_argument("--num-nodes", type=positive, default=1, help="machines, each started by torchrun or SLURM")
    benchmark.add_argument("--mode", choices=("only-missing", "failed", "overwrite"),
                           default="only-missing", help="keep finished images (only-missing), try failed ones again "
                           "(failed), or make all of them again (overwrite)")  # fmt: skip
    _add_progress(benchmark)
    _add_common(benchmark)

    curves = _add(commands, "curves", "protect at several strengths of each method; compare methods at equal quality")
    curves.add_argument("suite", help="name of a suite (see `facecloak list`), or path of a YAML file")
    curves.add_argument(
        "--methods", type=_names, help="name or name:preset, comma-separated, or all (default: suite's)"
    )
    curves.add_argument("--out", type=Path, help="folder of the results; run again to resume (default: "
                        "runs/SUITE-curves)")  # fmt: skip
    curves.add_argument("--limit", type=positive, metavar="N", help="use only the first N photos of each group")
    curves.add_argument("--targets", type=_names, help="names of targets, or 'all' (default: the suite's)")
    curves.add_argument("--black-box", type=_names, help="judges (default: every recognizer)")
    curves.add_argument("--batch-size", type=positive, help="photos protected at once (default: the suite's)")
    _add_progress(curves)
    _add_common(curves)

    judge = _add(commands, "judge", "judge a run's finished pictures by more recognizers, or after countermeasures")
    judge.add_argument("run", type=Path, metavar="RUN", help="the --out of a benchmark")
    judge.add_argument("--recognizers", type=_names, default=[], help="names of recognizers, also of ones that the "
                       "suite does not use, comma-separated (default: those that have judged)")  # fmt: skip
    judge.add_argument("--countermeasures", type=_names, default=[], help=COUNTERMEASURES)
    judge.add_argument("--adapted", action="store_true", help="also by recognizers that have learned from cloaked "
                       "photos of other people (pocket's: NAME+adapted)")  # fmt: skip
    judge.add_argument("--thresholds", type=Path, metavar="FILE", help="file written by `facecloak calibrate` "
                       "(default: the suite's)")  # fmt: skip
    judge.add_argument("--white-box", action="store_true", help="also judge pictures made by attacking the recognizer")
    judge.add_argument("--accelerator", choices=("auto", "cpu", "gpu"), default="auto")
    _add_progress(judge)

    protect = _add(commands, "protect", "protect photos of any size")
    protect.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="file, folder of photos at any depth, "
                         "or pattern such as 'album/*.jpg'")  # fmt: skip
    protect.add_argument("--out", type=Path, default=Path("protected"), help="folder of the protected photos, and of "
                         "the page protect.html, which shows them before and after (default: protected)")  # fmt: skip
    protect.add_argument("--method", help="name or name:preset (default: the suite's for this device)")
    protect.add_argument("--suite", default="faces", help="suite that models, target and settings come from (default: "
                         "faces, whose models are fetched)")  # fmt: skip
    protect.add_argument("--target", help="name of the target (default: the suite's first)")
    protect.add_argument(
        "--faces", choices=("all", "largest"), default="all", help="which faces of a photo (default: all)"
    )
    protect.add_argument("--album", type=Path, metavar="FOLDER", help="further photos of the person, for a method that "
                         "learns from them; with --faces largest")  # fmt: skip
    protect.add_argument("--format", choices=("png", "jpeg"), default="png", help="of the results: png is exact, jpeg "
                         "is smaller and changes the pixels a little (default: png)")  # fmt: skip
    protect.add_argument("--judge", type=_names, metavar="NAMES", help="recognizers that are not attacked and say how "
                         "similar the faces are before and after, also ones that the suite does not use (default: "
                         "none)")  # fmt: skip
    _add_common(protect)

    evaluate = _add(commands, "evaluate", "score protected photos that any tool made")
    evaluate.add_argument("--originals", type=Path, required=True, help="folder of the unprotected photos")
    evaluate.add_argument("--protected", type=Path, required=True, help="folder of the protected photos, with the "
                          "same names")  # fmt: skip
    evaluate.add_argument("--suffix", help="end that the protected photos' names have in addition, such as _cloaked "
                          "(default: the one that all of them have)")  # fmt: skip
    evaluate.add_argument("--others", type=Path, help="folder of another photo of each person, with the same names")
    evaluate.add_argument("--suite", default="faces", help="suite that recognizers and target come from (default: "
                          "faces, whose recognizers are fetched)")  # fmt: skip
    evaluate.add_argument("--target", help="name of the target (default: the suite's first)")
    evaluate.add_argument("--black-box", type=_names, help="judges (default: the suite's recognizers)")
    evaluate.add_argument("--objective", choices=("impersonation", "obfuscation"))
    evaluate.add_argument("--as", dest="name", default="external", metavar="NAME", help="name of the tool in tables "
                          "(default: external)")  # fmt: skip
    evaluate.add_argument("--accelerator", choices=("auto", "cpu", "gpu"), default="auto")
    evaluate.add_argument("--out", type=Path, help="folder to write a run to, as a benchmark does (default: only "
                          "print)")  # fmt: skip
    evaluate.add_argument("--wandb", choices=("online", "offline", "disabled"), default="disabled", help="send scores "
                          "to Weights & Biases (default: disabled)")  # fmt: skip
    evaluate.add_argument("--wandb-images", action="store_true", help="also send pictures, which show faces")

    calibrate = _add(commands, "calibrate", "compute verification thresholds from impostor pairs")
    calibrate.add_argument("suite", help="suite whose crop, photos and recognizers are used")
    calibrate.add_argument("--recognizers", type=_names, help="names of recognizers (default: the suite's)")
    calibrate.add_argument("--photos", type=Path, help="folder with one folder of photos per person (default: the "
                           "suite's photos)")  # fmt: skip
    calibrate.add_argument("--crop", help="mtcnn, arcface or x0,y0,x1,y1, for photos that are not framed as "
                           "the suite's are")  # fmt: skip
    calibrate.add_argument("--out", type=Path, required=True, help="JSON file of thresholds; its entries of other "
                           "recognizers are kept")  # fmt: skip

    sweep = _add(commands, "sweep", "search settings as a W&B sweep file describes")
    sweep.add_argument("path", type=Path, nargs="?", metavar="FILE", help="YAML, such as sweeps/lambda_adv.yaml")
    sweep.add_argument(
        "--count",
        type=positive,
        default=20,
        help="number of trials, earlier ones included; a grid ends when it has no more (default: 20)",
    )
    sweep.add_argument("--jobs", type=positive, help="trials at a time (default: one per GPU, or 1)")
    sweep.add_argument("--out", type=Path, help="folder; run again to resume (default: runs/sweeps/NAME)")
    sweep.add_argument("--backend", choices=("local", "wandb"), default="local", help="local: no server; wandb: sweeps "
                       "and agents of Weights & Biases (default: local)")  # fmt: skip
    sweep.add_argument(
        "--storage", help="local: URL of a database that several machines share (default: a file in --out)"
    )
    sweep.add_argument("--dry-run", action="store_true", help="run nothing; print the first ten trials' command lines")
    sweep.add_argument("--status", type=Path, metavar="OUT", help="run nothing; say how far the sweep in a folder is")

    leaderboard = _add(commands, "leaderboard", "write tables of runs from any number of machines, or check results")
    leaderboard.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the --out of a benchmark, or a folder "
                             "of such folders at any depth")  # fmt: skip
    leaderboard.add_argument("--out", type=Path, default=Path("board"), help="folder of the tables (default: board)")
    leaderboard.add_argument("--check", action="store_true", help="write nothing; report what is wrong in the results")
    leaderboard.add_argument("--rejudge", action="store_true", help="with --check: compute every cosine again from the "
                             "pictures")  # fmt: skip

    fetch = _add(commands, "fetch", "fetch photos, models and recognizers ahead, or list what there is")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="suite, recognizer or asset")
    fetch.add_argument("--list", action="store_true", help="fetch nothing; show what is here and what can be fetched")

    licences = _add(commands, "licences", "print the licences of what runs used, and what a paper must cite")
    licences.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the --out of a benchmark, or a folder of "
                          "such folders at any depth")  # fmt: skip

    track = _add(commands, "track", "send results of finished runs that Weights & Biases does not have yet")
    track.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the --out of a benchmark, or a folder of "
                       "such folders")  # fmt: skip
    _add_wandb(track, modes=("online", "offline"))

    validate = _add(commands, "validate", "check a suite, a sweep file or a run without running anything")
    validate.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="SUITE.yaml, SWEEP.yaml, or a run's folder"
    )

    lists = _add(commands, "list", "list methods, recognizers (present or missing), suites and countermeasures")
    lists.add_argument("what", nargs="?", choices=LISTS, help="only these (default: all)")
    return parser


def _add(commands: argparse._SubParsersAction, name: str, text: str) -> argparse.ArgumentParser:
    examples = f"examples:\n{_lines(EXAMPLES[name])}"
    return commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip


def _lines(examples: Iterable[str]) -> str:
    return "\n".join(f"  {example}" for example in examples)


def _add_progress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--verbose", action="store_true", help="print a line for every protection and judgement")
    _add_wandb(parser, modes=("online", "offline", "disabled"))


def _add_wandb(parser: argparse.ArgumentParser, modes: tuple[str, ...]) -> None:
    parser.add_argument("--wandb", choices=modes, help="send results to Weights & Biases (default: online if logged "
                        "in, else offline)")  # fmt: skip
    parser.add_argument("--wandb-images", action="store_true", help="also send pictures, which show faces")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--objective", choices=("impersonation", "obfuscation"), help="default: the suite's")
    parser.add_argument("--accelerator", choices=("auto", "cpu", "gpu"), default="auto")
