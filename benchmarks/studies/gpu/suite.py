"""The device itself, and what a benchmark does on it: methods, judging, training, two processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import cycle, islice

import torch

import facecloak
from benchmarks.harness.devices import device_name, peak_mb, reset_peak
from benchmarks.studies.gpu.study import Study, Table, allow_tf32, pocket_iterations
from facecloak.data import Batch, to_uint8
from facecloak.errors import FacecloakError
from facecloak.faces import FaceDetector
from facecloak.io import read_json
from facecloak.recognizers import CHECKPOINTS, Recognizer

NOISE = ("pgd", "mi_fgsm", "ti_dim", "tip_im")


def limits(study: Study) -> Table:
    """What the device itself can do: a large matrix product in each precision, and a large copy."""
    side, lines = 8192 if study.device.type == "cuda" else 512, []
    for name, dtype, tf32 in (("bf16", torch.bfloat16, False), ("float32 as TF32", torch.float32, True),
                              ("float32", torch.float32, False)):  # fmt: skip
        left, right = (torch.randn(side, side, device=study.device, dtype=dtype) for _ in range(2))
        with allow_tf32(tf32):
            seconds = study.seconds(lambda left=left, right=right: left @ right)
        lines.append([f"matrix product, {name}", f"{2 * side**3 / seconds / 1e12:.3g} TFLOP/s"])
    block = torch.empty(side * side * 4, dtype=torch.float32, device=study.device)
    seconds = study.seconds(lambda: block.clone())
    lines.append(["copy in the device's memory", f"{2 * block.nbytes / seconds / 1e9:.0f} GB/s"])
    return Table([device_name(study.device), "measured"], lines)


def methods(study: Study) -> Table:
    """Seconds a photo of the methods on pocket, batches of 1 to 32 (its 24 photos, some of them twice)."""
    suite, lines = facecloak.load_suite("pocket"), []
    whole = suite.batch()
    for name in (*NOISE, "facecloak", "facecloak:fast"):
        method = facecloak.load_method(
            name, suite, target="2", black_box="pocket_dense",
            **(pocket_iterations(study) if name == "facecloak" else {}), accelerator=study.accelerator,
        )  # fmt: skip
        cells = []
        for count in study.batches:
            places = [*islice(cycle(range(len(whole.ids))), count)]
            batch = Batch(
                [f"{place}" for place in range(count)], whole.images[places].to(study.device),
                whole.boxes[places].to(study.device),
            )  # fmt: skip
            starts = getattr(method, "_starts", {})  # facecloak keeps what it knows of the same photos

            def protect(method=method, batch=batch, starts=starts) -> None:
                starts.clear()
                method.predict_step(batch)

            reset_peak(study.device)
            seconds = replace(study, repetitions=1).seconds(protect) / count
            cells.append(f"{seconds:.3g} s, {(peak_mb(study.device) or 0) / 1e3:.2g} GB")
        lines.append([name, *cells])
    return Table(["pocket, 128 pixels", *(f"{count} at once" for count in study.batches)], lines)


def judging(study: Study) -> Table:
    """Embeddings and detected faces a second."""
    suite, lines = facecloak.load_suite("pocket"), []
    count = max(study.batches)
    for name in ("pocket_dense", "ir152"):
        recognizer = (
            facecloak.load_recognizer(name) if name != "ir152" else Recognizer(CHECKPOINTS[name](), name, 112, None)
        ).to(study.device)
        faces = torch.zeros(count, 3, recognizer.input_size, recognizer.input_size, device=study.device)
        with torch.no_grad():
            seconds = study.seconds(lambda recognizer=recognizer, faces=faces: recognizer(faces))
        lines.append([f"{name}, {count} at once", f"{count / seconds:.0f} embeddings/s"])
    pictures = to_uint8(suite.batch(limit=1).images)
    for device in dict.fromkeys((study.device, torch.device("cpu"))):
        detector = FaceDetector(str(device))
        seconds = replace(study, device=device).seconds(
            lambda detector=detector: [detector(picture) for picture in pictures]
        )
        lines.append([f"face detection on {device.type}, one by one", f"{len(pictures) / seconds:.0f} photos/s"])
    return Table(["judging", "measured"], lines)


def training(study: Study) -> Table:
    """One pass of DiffAM's transfer on pocket, through the harness."""
    with tempfile.TemporaryDirectory() as out:
        results = facecloak.benchmark(
            "pocket", methods=["diffam"], targets=["2"], black_boxes=["pocket_dense"], limit=1, out=out,
            settings={"diffam": {"passes": 1, "makeup_passes": 0, "images": 96 if study.iterations is None else 2}},
            accelerator=study.accelerator,
        )  # fmt: skip
        (folder,) = set(results.protections.values())
        seconds = read_json(folder / "training.json")["seconds"]  # of the transfer: the removal is shipped
    return Table(["training", "measured"], [["DiffAM, a pass of a transfer", f"{seconds:.0f} s"]])


def two_processes(study: Study) -> Table:
    """Photos a second of one process, and of two at the same time, on one device."""
    command = [sys.executable, "-m", "benchmarks.studies.gpu", "--worker", f"--device={study.device.type}"]
    if study.iterations is not None:
        command.append(f"--iterations={study.iterations}")
    rates = []
    for count in (1, 2):
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
        said = [process.communicate()[0] for process in running]
        if any(process.returncode for process in running):
            raise FacecloakError("A process of two failed.")
        rates.append(sum(1 / float(each.split()[-1]) for each in said))
    lines = [["one process", f"{rates[0]:.2f} photos/s"], ["two processes", f"{rates[1]:.2f} photos/s"],
             ["ratio", f"{rates[1] / rates[0]:.2f}"]]  # fmt: skip
    return Table(["facecloak on pocket, 4 photos at once", "measured"], lines)


def work(study: Study) -> int:
    """What each of `two_processes` does: print the seconds a photo."""
    suite = facecloak.load_suite("pocket")
    method = facecloak.load_method(
        "facecloak", suite, target="2", black_box="pocket_dense", **pocket_iterations(study),
        accelerator=study.accelerator,
    )  # fmt: skip
    batch = suite.batch(target="2", limit=4)
    batch = Batch(batch.ids, batch.images.to(study.device), batch.boxes.to(study.device))

    def protect() -> None:
        method._starts.clear()
        method.predict_step(batch)

    print(replace(study, repetitions=2).seconds(protect) / len(batch.ids))
    return 0
