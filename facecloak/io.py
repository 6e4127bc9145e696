"""Images in and out, atomic writes, hashes, and the folders where data and weights are looked for."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import platform
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import orjson
from PIL import Image, ImageCms, UnidentifiedImageError, features

from facecloak.errors import FacecloakError

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["png", "jpeg"]  # of a protected photo
FORMAT_SUFFIXES: dict[Format, tuple[str, ...]] = {"png": (".png",), "jpeg": (".jpg", ".jpeg")}
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif")
IMAGE_SUFFIXES += (".avif",) if features.check("avif") else ()
# EXIF orientation → what makes the photo upright; not ImageOps.exif_transpose, which fails on odd tags beside it
UPRIGHT = dict(zip((2, 4, 8, 3, 6, 5, 7), Image.Transpose, strict=True))
# how the type of an ISO media file begins that may hold HEIC; Pillow itself reads AVIF, of the same types
HEIF = (b"ftyphe", b"ftypmif1", b"ftypmsf1")

TEMPORARY, DAY = ".facecloak-tmp-", 24 * 3600.0  # how the name of a half-written file begins; seconds
LONGEST = 240  # bytes of a photo's name: with its suffix it is the name of a file
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # how a cell begins that a spreadsheet computes


def shared_dir() -> Path:
    """The folder with development data and weights: $FACECLOAK_SHARED, default ``../shared``."""
    return Path(os.environ.get("FACECLOAK_SHARED", "../shared"))


def cache_dir() -> Path:
    """The folder of what has been fetched: $FACECLOAK_CACHE, default ``~/.cache/facecloak``."""
    return Path(os.environ.get("FACECLOAK_CACHE") or "~/.cache/facecloak").expanduser()


def data_dir() -> Path:
    """The folder of data sets that the user provides: $FACECLOAK_DATA, default ``data`` in the cache."""
    return Path(os.environ.get("FACECLOAK_DATA") or cache_dir() / "data").expanduser()


def pocket_dir() -> Path:
    """The photos and models of the pocket suite, which are part of the package: $FACECLOAK_POCKET, default its own."""
    return Path(os.environ.get("FACECLOAK_POCKET") or Path(__file__).parent / "pocket" / "assets").expanduser()


def read_image(path: str | Path) -> np.ndarray:
    """Read any photo as upright RGB. HEIC (what iPhones make) needs the extra ``heic``.

    Rotation (EXIF's or HEIC's) is applied; grey, palette and 16-bit images are converted; transparency is laid over
    white; colours of an embedded profile (Display P3, Adobe RGB, CMYK) become sRGB's. A broken profile is ignored.

    Returns:
        uint8 H×W×3 in 0..255.

    Raises:
        FacecloakError: the file is missing, empty, truncated, not an image, or one of more than 178 megapixels; or it
            is HEIC, and pillow-heif is not installed.
    """
    path = Path(path)
    try:
        with _open(path) as image:
            image.load()
            orientation = image.getexif().get(0x0112)
            return _to_rgb(image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image)
    except FileNotFoundError:
        raise FacecloakError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise FacecloakError(f"{path}: a folder, not an image.") from None
    except PermissionError:
        raise FacecloakError(f"{path}: no permission to read it.") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FacecloakError(f"{path}: not a readable image ({_reason(error)}).") from None


def _open(path: Path) -> Image.Image:
    """Open by content. HEIC's reader is not registered, which would change Pillow for the whole process."""
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        with open(path, "rb") as file:
            if not file.read(12)[4:].startswith(HEIF):
                raise
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise FacecloakError(f"{path}: HEIC needs pip install 'facecloak[heic]'") from None
    image = HeifImageFile(path)
    if image.width * image.height > 2 * Image.MAX_IMAGE_PIXELS:  # as Image.open
        raise Image.DecompressionBombError(f"{image.width * image.height} pixels exceed the limit")
    return image


def _reason(error: Exception) -> str:
    return "not an image file" if isinstance(error, UnidentifiedImageError) else str(error).strip().rstrip(".")


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range")
    if image.mode.startswith("I"):  # Pillow's own conversion clips 16-bit grey instead of scaling it
        grey = np.round(np.asarray(image, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        image = _to_srgb(image.convert("RGBA"), profile)
        white = Image.new("RGBA", image.size, "white")
        return np.asarray(Image.alpha_composite(white, image).convert("RGB"))
    return np.asarray(_to_srgb(image.convert("RGB") if image.mode == "P" else image, profile).convert("RGB"))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in sRGB's colours; as it is if it has no profile, sRGB's, or one that does not fit its channels."""
    if not profile or image.mode not in ("RGB", "RGBA", "L", "CMYK"):
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(own).strip().startswith("sRGB"):
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write atomically: after a kill or on a full disk there is the old file or the new one, never half a file.

    `remove_leftovers` removes the files that a killed process has left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # a unique and short name: with the file's name in front, it could become too long
    temporary = path.parent / f"{TEMPORARY}{_machine()}-{os.getpid()}-{secrets.token_hex(6)}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def leftovers(folder: str | Path) -> Iterator[Path]:
    """The files that processes killed inside `write_bytes` have left there, at any depth.

    A file that another process is still writing is not one of them. On this machine the process tells; a file of
    another machine (or one whose process number is in use again) counts as left over after a day.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            file = Path(parent, name)
            if name.startswith(TEMPORARY) and _is_left_over(file):
                yield file


def remove_leftovers(folder: str | Path) -> None:
    """Remove `leftovers`."""
    for file in leftovers(folder):
        file.unlink(missing_ok=True)


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_left_over(file: Path) -> bool:
    machine, _, rest = file.name.removeprefix(TEMPORARY).partition("-")
    number = rest.partition("-")[0]
    if machine == _machine() and number.isdecimal() and not _is_running(int(number)):
        return True
    try:
        return time.time() - file.stat().st_mtime > DAY
    except FileNotFoundError:  # it has been written, and has its own name now
        return False


def _is_running(process: int) -> bool:
    if os.name != "posix":  # os.kill would stop it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 H×W×3 as PNG, atomically. Same pixels, same bytes."""
    write_bytes(path, encode_png(image))


def encode_png(image: np.ndarray) -> bytes:
    """uint8 H×W×3 as the bytes of a PNG file. Same pixels, same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def encode_photo(image: np.ndarray, kind: Format) -> tuple[bytes, np.ndarray]:
    """A photo as a file without any metadata, and the pixels that the file holds.

    Args:
        image: uint8 H×W×3.
        kind: png, exact; or jpeg, of quality 95 with full colour resolution, which changes pixels a little.
    """
    if kind == "png":
        return encode_png(image), image
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=95, subsampling="4:4:4", optimize=True)
    with Image.open(buffer) as saved:
        return buffer.getvalue(), np.asarray(saved.convert("RGB"))


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically, with sorted keys.

    Raises:
        FacecloakError: the value holds NaN or infinity, which `read_json` would refuse; nothing is written.
    """
    try:
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise FacecloakError(f"{path}: not written, because JSON cannot hold it ({error}).") from None
    write_bytes(path, f"{text}\n".encode())


def to_csv(table: pd.DataFrame) -> bytes:
    """A table as CSV, without its index, that is safe to open in a spreadsheet.

    Text that a spreadsheet would take for a formula, in a cell or a heading, gets an apostrophe in front, because
    names of methods and photos may come from anybody. Numbers are not changed.
    """
    return table.apply(_column_without_formulas).rename(columns=_without_formula).to_csv(index=False).encode()


def _column_without_formulas(column: pd.Series) -> pd.Series:
    values = [_without_formula(value) for value in column]
    if not any(isinstance(old, str) and new != old for new, old in zip(values, column, strict=True)):
        return column
    return type(column)(values, index=column.index, dtype=object)


def _without_formula(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = f"'{value}" if value.startswith(FORMULA) else value
    return text.replace("\r", " ")  # which pandas does not quote: what follows would be a cell of its own


def read_json(path: str | Path) -> Any:
    """Read JSON; `FacecloakError` names the file when it is missing, damaged, or holds NaN, which is not JSON."""
    try:
        return orjson.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise FacecloakError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise FacecloakError(f"{path}: a folder, not a JSON file.") from None
    except OSError as error:
        raise FacecloakError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise FacecloakError(f"{path}: not valid JSON ({error}).") from None


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a value's canonical JSON (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def writable(out: Path) -> None:
    """Check now what would otherwise fail after hours.

    Raises:
        FacecloakError: files cannot be written there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out) as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        raise FacecloakError(f"{out}: cannot write there ({error.strerror}). Choose another --out.") from None


def file_name(text: str) -> str:
    """A file name for any text: the text itself, or with a part of its hash if characters had to be replaced."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip(".")[:80]
    return name if name == text else f"{name}-{sha256_json(text)[:6]}"


@lru_cache(maxsize=100_000)  # the judgements of a board name the same photos
def is_photo_name(name: str) -> bool:
    """Whether results can have this name: one file name in UTF-8, without control characters, and not too long."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= LONGEST and not re.search(r"^\.|[/\\\x00-\x1f\x7f]", name)


def printable(text: str | Path) -> str:
    r"""A name that any terminal and JSON file can hold: ``\xe9`` for a byte that is not UTF-8, ``\n`` for a line break.

    Example:
        >>> printable("two\nlines")
        'two\\nlines'
    """
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


@contextmanager
def quiet_logger(logger: logging.Logger) -> Iterator[None]:
    """Silence a library's logger for a while, except for errors."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def quiet_loading(*loggings: Any) -> Iterator[None]:
    """Silence the messages and bars of libraries (their ``utils.logging`` modules) while they load a model."""
    before = [(each, each.get_verbosity(), each.is_progress_bar_enabled()) for each in loggings]
    for each in loggings:
        each.set_verbosity_error()
        each.disable_progress_bar()
    try:
        yield
    finally:
        for each, verbosity, bars in before:
            each.set_verbosity(verbosity)
            if bars:
                each.enable_progress_bar()
