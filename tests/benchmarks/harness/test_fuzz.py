"""Whatever is in a suite file, in settings or in a photo, it can be used, or one line says why not.

To run more cases: ``python -m tests.benchmarks.harness.test_fuzz 2000 suites``.
"""

import io
import math
import random
import sys
import tempfile
from dataclasses import asdict
from itertools import product
from pathlib import Path

import pytest
import yaml
from PIL import Image
from skimage.data import astronaut

from benchmarks import METHODS
from benchmarks.harness.methods import resolve_methods
from benchmarks.suites.paths import FOLDER, list_suites
from benchmarks.suites.suite import load_suite
from facecloak.config import parse_settings, to_yaml
from facecloak.errors import FacecloakError
from facecloak.io import read_image
from tests.fuzzing import mutate_bytes, mutate_value, mutate_yaml, tracebacks

SUITES = [(FOLDER / f"{name}.yaml").read_bytes() for name in list_suites()]
SETTINGS = [yaml.safe_dump({name: asdict(METHODS[name].Settings())}).encode() for name in METHODS]


def photos() -> list[bytes]:
    """A small photo as PNG (with a palette, grey 16 bit too), JPEG (with EXIF), WebP and TIFF (plain, compressed)."""
    photo, exif = Image.fromarray(astronaut()[40:80:2, 150:210:2]), Image.Exif()
    exif[0x0112] = 6
    pictures = [
        (photo, {"format": "PNG", "exif": exif}), (photo.quantize(16), {"format": "PNG", "transparency": 3}),
        (photo.convert("I;16"), {"format": "PNG"}), (photo, {"format": "JPEG", "exif": exif}),
        (photo.convert("CMYK"), {"format": "JPEG"}), (photo, {"format": "WEBP"}), (photo, {"format": "TIFF"}),
        (photo, {"format": "TIFF", "compression": "tiff_lzw"}), (photo, {"format": "BMP"}),
    ]  # fmt: skip
    files = []
    for picture, options in pictures:
        file = io.BytesIO()
        picture.save(file, **options)
        files.append(file.getvalue())
    return files


def use_suite(content: bytes, folder: Path) -> None:
    """Everything that a command does with a suite before it reads photos."""
    (folder / "mutated.yaml").write_bytes(content)
    suite = load_suite(str(folder / "mutated.yaml"))
    kept = to_yaml(asdict(suite))
    (folder / "kept.yaml").write_text(kept, encoding="utf-8")
    assert load_suite(str(folder / "kept.yaml")) == suite, "a suite must be read back as it was written"
    assert suite.dataset
    suite.surrogates_for(suite.recognizers[:1])
    attempts = [
        lambda: resolve_methods(suite, None),
        lambda: suite.load_sources(1),
        lambda: suite.load_target(None, suite.objective),
        lambda: suite.load_target(None, "obfuscation"),
        lambda: suite.load_thresholds(suite.recognizers[0], None),
    ]
    for attempt in attempts:
        try:
            attempt()
        except FacecloakError as error:
            assert "\n" not in str(error)


def use_settings(content: bytes, folder: Path) -> None:
    """Use settings like the file of --config."""
    (folder / "settings.yaml").write_bytes(content)
    resolve_methods(load_suite("pocket"), list(METHODS), config=folder / "settings.yaml")


def use_photo(content: bytes, folder: Path) -> None:
    """Read a photo."""
    (folder / "photo").write_bytes(content)
    read_image(folder / "photo")


KINDS = {
    "suites": (SUITES, mutate_yaml, use_suite),
    "settings": (SETTINGS, mutate_yaml, use_settings),
    "photos": (photos(), mutate_bytes, use_photo),
}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(("kind", "count"), [("suites", 60), ("settings", 40), ("photos", 400)])
def test_odd_content_ends_in_one_line_and_never_in_a_traceback(tmp_path, kind, count):
    files, mutate, use = KINDS[kind]
    assert tracebacks(files, mutate, lambda content: use(content, tmp_path), count) == []


def test_mutations_are_many_and_repeat_themselves():
    value = yaml.safe_load(SUITES[0])
    first = [mutate_value(value, random.Random(number)) for number in range(30)]
    again = [mutate_value(value, random.Random(number)) for number in range(30)]
    assert repr(first) == repr(again) and len({repr(each) for each in first}) > 25
    assert value == yaml.safe_load(SUITES[0])


def test_a_traceback_is_found():
    def use(content):
        raise ZeroDivisionError if content[0] % 2 else FacecloakError("odd")

    found = tracebacks([b"\x00\x00", b"\x01\x01"], lambda content, source: content, use, 4)
    assert len(found) == 2 and "number 1: ZeroDivisionError" in found[0]


INFINITE, HUGE = float("inf"), 10**400
NUMBERS = [float("nan"), INFINITE, -INFINITE, "1e400", -1, 2**63, HUGE]


@pytest.mark.parametrize("name", list(METHODS))
def test_no_number_of_any_method_is_one_that_json_or_a_generator_cannot_take(name):
    settings = METHODS[name].Settings
    defaults = asdict(settings()).items()
    numeric = [key for key, value in defaults if isinstance(value, int | float) and not isinstance(value, bool)]
    given = [({field: value}, []) for field, value in product(numeric, NUMBERS)]
    typed = [({}, [f"{field}={value}"]) for field, value in product(numeric, ("1e400", HUGE))]
    for values, arguments in given + typed:
        try:
            accepted = asdict(parse_settings(settings, values, arguments, name))
        except FacecloakError:
            continue
        for field in numeric:
            assert math.isfinite(accepted[field]), (field, values, arguments)
            assert isinstance(accepted[field], float) or -(2**63) <= accepted[field] < 2**63, (field, values, arguments)
        assert accepted.get("seed", 0) >= 0, values


def main() -> None:
    """Fuzz as often as the command line says, the kinds that it names or all kinds, and print the findings."""
    count, kinds = int(sys.argv[1]), sys.argv[2:] or KINDS
    for kind in kinds:
        files, mutate, use = KINDS[kind]
        with tempfile.TemporaryDirectory() as folder:
            found = tracebacks(files, mutate, lambda content: use(content, Path(folder)), count, seed=1)  # noqa: B023
        print(f"{kind}: {len(found)} tracebacks in {count}", *found, sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
