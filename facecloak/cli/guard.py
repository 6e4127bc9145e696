"""What a command does with errors: one line that says what to do, and an exit status; never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from facecloak.errors import FacecloakError

KEPT = "Finished images are kept"


def guarded(run: Callable[[], int]) -> int:
    """Run a command; returns its exit status, or 2 after an error that the user can mend."""
    try:
        return run()
    except FacecloakError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, SystemExit):  # Lightning turns the first into the second
        return _fail(f"interrupted. {KEPT}: run it again (without --mode overwrite) to go on.")
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror}. {KEPT}: mend it and run the same command again.")
    except RuntimeError as error:
        if not any(text in str(error) for text in ("out of memory", "can't allocate memory")):
            raise
        return _fail(f"out of memory. {KEPT}: a smaller --batch-size or model needs less.")


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
