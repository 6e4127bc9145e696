"""Make the pocket suite's models, photos and thresholds: `python -m facecloak.pocket.train`."""

from __future__ import annotations

import argparse
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch

from facecloak.errors import FacecloakError
from facecloak.io import pocket_dir
from facecloak.pocket.training.assets import Assets, write_manifest
from facecloak.pocket.training.corpus import SUITE, TEST, TRAIN, Corpus, render_corpus

RECOGNIZERS = ("ir", "irse", "mobile", "inception", "dense")


def main() -> None:
    """Render portraits, train on them, and write the assets of the suite `pocket`; run again to resume."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/pocket-assets"), help="folder of the assets; "
                        "set $FACECLOAK_POCKET to use it (default: runs/pocket-assets)")  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("runs/pocket-training"), help="portraits and checkpoints")
    parser.add_argument("--stages", default=",".join(STAGES), help="comma-separated, in this order (default: all)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    chosen = options.stages.split(",")
    if unknown := set(chosen) - set(STAGES):
        raise SystemExit(f"There is no stage {', '.join(sorted(unknown))}. Known: {', '.join(STAGES)}.")
    if options.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit(f"error: --device {options.device}: there is no such device here.")
    assets = Assets(options.out, options.work, options.device)
    try:
        for name in STAGES:
            if name in chosen:
                STAGES[name](assets)
                if options.out.is_dir():
                    write_manifest(options.out)
                print(f"{name}: done", flush=True)
    except FacecloakError as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("interrupted: run it again to go on.") from None
    except OSError as error:
        raise SystemExit(f"error: {error}. Fix it and run the same command again.") from None


def _corpus(assets: Assets) -> Corpus:
    return render_corpus(assets.work / "corpus", TRAIN, reporter("portraits", every=400))


def _recognizer(name: str) -> Callable[[Assets], None]:
    def stage(assets: Assets) -> None:
        from facecloak.pocket import recognizers
        from facecloak.pocket.training.recognition import BATCH, SLOW_BATCH, train_recognizer

        network = train_recognizer(
            getattr(recognizers, name), _corpus(assets), assets.checkpoint(name), 1 + RECOGNIZERS.index(name),
            assets.device, reporter(name), SLOW_BATCH if name in ("ir", "mobile") else BATCH,
        )  # fmt: skip
        assets.save_weights(network, f"recognizers/pocket_{name}.safetensors")

    return stage


def _clip(assets: Assets) -> None:
    from facecloak.pocket.training.language import image_processor, train_clip

    model, words = train_clip(_corpus(assets), assets.checkpoint("clip"), 10, assets.device, reporter("clip"))
    assets.save_folder("clip", model, words, image_processor())


def _autoencoder(assets: Assets) -> None:
    from facecloak.pocket.training.autoencoder import train_autoencoder

    model = train_autoencoder(
        _corpus(assets), assets.checkpoint("autoencoder"), 0, assets.device, reporter("autoencoder")
    )
    assets.save_folder("diffusion/vae", model)


def _diffusion(assets: Assets) -> None:
    from facecloak.pocket.training.diffusion import pipeline, train_unet

    vae, (clip, words) = assets.load_vae(), assets.load_clip()
    net = train_unet(
        _corpus(assets), vae, clip, words, assets.checkpoint("diffusion"), 11, assets.device, reporter("diffusion")
    )
    assets.save_folder("diffusion", pipeline(vae, net, clip, words))


def _tiny(assets: Assets) -> None:
    from facecloak.pocket.training.tiny import PEOPLE, train_tiny

    corpus = render_corpus(assets.work / "corpus", TRAIN[:PEOPLE], reporter("portraits", every=100))
    model = train_tiny(corpus, assets.load_vae(), assets.checkpoint("tiny"), 14, reporter("tiny"))
    assets.save_folder("tiny_decoder", model)


def _ddpm(assets: Assets) -> None:
    from diffusers import DDPMPipeline

    from facecloak.pocket.training.pixels import scheduler, train_ddpm

    net = train_ddpm(_corpus(assets), assets.checkpoint("ddpm"), 12, assets.device, reporter("ddpm"))
    assets.save_folder("ddpm", DDPMPipeline(net, scheduler()))


def _features(assets: Assets) -> None:
    from facecloak.pocket.features import FILE
    from facecloak.pocket.training.parameters import train_features

    network = train_features(_corpus(assets), assets.checkpoint("features"), 13, assets.device, reporter("features"))
    assets.save_weights(network, FILE)


def _photos(assets: Assets) -> None:
    from facecloak.pocket.training.photos import write_photos

    write_photos(assets.out / "photos", SUITE)


def _report(assets: Assets) -> None:
    from facecloak.pocket.training.report import measure

    measure(assets)


def _tuning(assets: Assets) -> None:
    """The present suite once more with other people, to find settings with: ``FACECLOAK_POCKET=work/tuning``."""
    from facecloak.pocket.training.photos import write_photos

    folder = assets.work / "tuning"
    shutil.copytree(pocket_dir(), folder, dirs_exist_ok=True)
    write_photos(folder / "photos", TEST)


STAGES: dict[str, Callable[[Assets], None]] = {
    "clip": _clip,
    **{name: _recognizer(name) for name in RECOGNIZERS},
    "autoencoder": _autoencoder,
    "diffusion": _diffusion,
    "tiny": _tiny,
    "ddpm": _ddpm,
    "features": _features,
    "photos": _photos,
    "report": _report,
    "tuning": _tuning,
}


def reporter(name: str, every: int = 50) -> Callable[..., None]:
    """A function that prints a line every so many steps: the progress, the time left, and the running loss."""
    began, first = 0.0, math.inf

    def report(done: int, total: int, loss: float | None = None) -> None:
        nonlocal began, first
        if done <= first:  # the beginning, or that of another phase
            began, first = time.monotonic(), done
        if done % every and done < total:
            return
        left = (time.monotonic() - began) / max(done - first, 1) * (total - done)
        said = "" if loss is None else f"  loss {loss:.4f}"
        print(f"{name}: {done}/{total}{said}  {left / 60:.0f} min left", flush=True)

    return report


if __name__ == "__main__":
    main()
