"""One file from the web: by pooch, which checks its hash, with downloads that go on where they were cut off."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from facecloak.errors import FacecloakError
from facecloak.io import quiet_logger, sha256_json

CHUNK, TIMEOUT = 2**18, 30  # bytes; seconds without an answer


def download(addresses: Sequence[str], folder: Path, known: str | None, title: str) -> tuple[Path, str]:
    """Download a file, from the first address that has it.

    What arrives is kept in ``folder`` when the program is killed or the connection is cut, and the next call goes on.

    Args:
        folder: for downloads, also half ones.
        known: hex SHA-256 that it must have, or None.
        title: name of the asset and file, for the progress bar and messages.

    Returns:
        the file and the address that it came from.

    Raises:
        FacecloakError: no address has it, or its hash is not the known one.
    """
    faults = []
    for address in addresses:
        try:
            return _from(address, folder, known, title), address
        except _Failed as error:
            faults.append(f"{address}: {error}")
    raise FacecloakError(f"{title} cannot be fetched: {'; '.join(faults)}.")


class _Failed(Exception):
    """Why one address gave no file."""


def _from(address: str, folder: Path, known: str | None, title: str) -> Path:
    import pooch
    import requests

    name = sha256_json(address)[:16]
    part = folder / f"{name}.part"
    whole_before = part.is_file()
    try:
        with quiet_logger(pooch.get_logger()):
            return Path(pooch.retrieve(
                address, None if known is None else f"sha256:{known}", fname=f"{name}-{Path(address).name}",
                path=folder, downloader=_Resuming(part, title),
            ))  # fmt: skip
    except requests.HTTPError as error:
        raise _Failed(f"the server answers {error.response.status_code} {error.response.reason}") from None
    except requests.RequestException as error:
        if part.is_file():
            size = f"{part.stat().st_size / 1e6:.1f} MB"
            raise _Failed(f"the connection was cut after {size}, which are kept: run the command again") from None
        reason = "no answer from" if isinstance(error, requests.Timeout) else "no connection to"
        raise _Failed(f"{reason} {urlsplit(address).netloc}") from None
    except ValueError:  # of pooch: another hash
        if whole_before:  # perhaps the beginning was of another version of the file
            return _from(address, folder, known, title)
        raise _Failed(f"its SHA-256 is not the expected {known}, so it was deleted") from None


class _Resuming:
    """A downloader of pooch that keeps what has arrived, and asks only for the rest of it.

    Args:
        part: file of what has arrived.
    """

    def __init__(self, part: Path, title: str) -> None:
        self.part, self.title = part, title

    def __call__(self, address: str, output: str, _pooch: object, check_only: bool = False) -> None:
        """Download to a file; while something arrives, a cut connection is opened again."""
        import requests

        while True:
            before = self._size()
            try:
                self._rest(address, before)
                break
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                if self._size() == before:
                    raise
        os.replace(self.part, output)
        self.part.with_suffix(".etag").unlink(missing_ok=True)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _rest(self, address: str, start: int) -> None:
        import requests

        headers = {"Accept-Encoding": "identity"}
        tag = self.part.with_suffix(".etag")
        if start:
            headers |= {"Range": f"bytes={start}-"}
            headers |= {"If-Range": tag.read_text()} if tag.is_file() else {}  # else it could be of another version
        with requests.get(address, stream=True, timeout=TIMEOUT, headers=headers) as answer:
            if answer.status_code == 416:  # nothing is left to send
                return
            answer.raise_for_status()
            goes_on = answer.status_code == 206
            if not goes_on:
                tag.unlink(missing_ok=True)
                if "ETag" in answer.headers:
                    tag.write_text(answer.headers["ETag"])
            total = int(answer.headers.get("Content-Length", 0)) + (start if goes_on else 0)
            with (
                open(self.part, "ab" if goes_on else "wb") as file,
                tqdm(desc=self.title, total=total or None, initial=start if goes_on else 0, unit="B", unit_scale=True,
                     leave=False, disable=None) as bar,
            ):  # fmt: skip
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    file.flush()
                    bar.update(len(chunk))
            if total and self._size() != total:
                raise requests.ConnectionError(f"{self._size()} of {total} bytes have arrived")
