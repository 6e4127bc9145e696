"""facecloak: methods that cloak a face photo from face recognition, and one harness that measures them.

Public names are imported when they are first used, so that ``import facecloak`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# name → the module that defines it
_PUBLIC = {
    "load_suite": "benchmarks.suites.suite",
    "list_suites": "benchmarks.suites.paths",
    "load_method": "benchmarks.harness.methods",
    "list_methods": "benchmarks.harness.methods",
    "register_method": "benchmarks.harness.methods",
    "load_recognizer": "facecloak.recognizers",
    "list_recognizers": "facecloak.recognizers",
    "register_recognizer": "facecloak.recognizers",
    "protect": "benchmarks.harness.photos",
    "calibrate": "benchmarks.harness.calibrate",
    "benchmark": "facecloak.api",
    "judge": "facecloak.api",
    "curves": "facecloak.api",
    "evaluate": "facecloak.api",
    "load_results": "benchmarks.leaderboard.results",
    "Results": "benchmarks.leaderboard.results",
    "ProtectionMethod": "facecloak.method",
    "Protected": "facecloak.method",
    "Batch": "facecloak.data",
    "Objective": "facecloak.objectives",
    "Recognizer": "facecloak.recognizers",
    "FacecloakError": "facecloak.errors",
}
__all__ = [
    "Batch",
    "FacecloakError",
    "Objective",
    "Protected",
    "ProtectionMethod",
    "Recognizer",
    "Results",
    "__version__",
    "benchmark",
    "calibrate",
    "curves",
    "evaluate",
    "judge",
    "list_methods",
    "list_recognizers",
    "list_suites",
    "load_method",
    "load_recognizer",
    "load_results",
    "load_suite",
    "protect",
    "register_method",
    "register_recognizer",
]

if TYPE_CHECKING:
    from benchmarks.harness.calibrate import calibrate
    from benchmarks.harness.methods import list_methods, load_method, register_method
    from benchmarks.harness.photos import protect
    from benchmarks.leaderboard.results import Results, load_results
    from benchmarks.suites.paths import list_suites
    from benchmarks.suites.suite import load_suite
    from facecloak.api import benchmark, curves, evaluate, judge
    from facecloak.data import Batch
    from facecloak.errors import FacecloakError
    from facecloak.method import Protected, ProtectionMethod
    from facecloak.objectives import Objective
    from facecloak.recognizers import Recognizer, list_recognizers, load_recognizer, register_recognizer


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'facecloak' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
