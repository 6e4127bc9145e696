"""How a command reports errors: one line that says what to do, and an exit status, but never a traceback."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from facecloak.errors import FacecloakError


def guarded(run: Callable[[], int], kept: str = "", smaller: str = "model") -> int:
    """Run a command; returns its exit status, or 2 after an error that the user can fix.

    If the reader of the output ends early (``| head``), the command still runs to its end.

    Args:
        kept: a sentence on what an interrupted command keeps, and how to continue.
        smaller: what to make smaller so that less memory is needed.
    """
    try:
        with _output_that_nobody_need_read():
            return run()
    except FacecloakError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, SystemExit):  # Lightning turns the first into the second
        return _fail("interrupted.", kept)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror}.", kept)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return _fail(f"out of memory: use a smaller {smaller}.", kept)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, or of PyTorch, says that memory ran out."""
    texts = ("out of memory", "can't allocate memory")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(t in str(error) for t in texts))


@contextmanager
def _output_that_nobody_need_read() -> Iterator[None]:
    output = sys.stdout
    if output is None or output is not sys.__stdout__:  # closed, or not the process's own
        yield
        return
    sys.stdout = unread = io.TextIOWrapper(
        io.BufferedWriter(_Pipe(output.fileno(), "w", closefd=False)),
        output.encoding, "backslashreplace", line_buffering=output.line_buffering,
    )  # fmt: skip
    try:
        yield
    finally:
        sys.stdout = output
        unread.flush()


class _Pipe(io.FileIO):
    """Drops what is written after the reader has gone."""

    def write(self, data: bytes) -> int:
        """Write, or drop; returns the number of bytes."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def _fail(*sentences: str) -> int:
    print("error:", *filter(None, sentences), file=sys.stderr)
    return 2
