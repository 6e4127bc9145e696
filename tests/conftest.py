import gc
import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

os.environ["WANDB_MODE"] = "disabled"  # except where a test asks for it
os.environ["FACECLOAK_OFFLINE"] = "1"  # no test opens a connection, except to a server of its own
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes run tests side by side, see addopts

# W&B's client defines hundreds of classes, and searches all imported modules for each: a second now, ten of them when
# torch has been imported, in each forked process that uses the client
import_module("wandb.apis.public")
with suppress(ImportError):
    import_module("wandb.sdk.artifacts._generated.fragments")


# files that take long come first: if one started last, the other process would have no work meanwhile
LONG = ("test_faults.py", "test_wandb.py", "test_resume.py", "test_testing.py", "test_makeup.py", "test_real_faces.py",
        "test_real_faces_suites.py", "test_ablation.py", "test_gpu.py", "test_golden_runs.py", "test_suite.py",
        "test_plots.py", "test_trained_methods.py", "test_dlib.py", "test_golden.py", "test_tour.py", "test_assets.py",
        "test_board_bytes.py", "test_against_reference.py", "test_facecloak_on_toys.py", "test_structure.py",
        "test_batches.py", "test_page.py", "test_page_looks.py", "test_noise_on_toys.py",
        "test_architecture.py")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run long files first; the order within a file stays the same."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over the million objects that the imports have made, which stay to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def empty_cache(tmp_path_factory) -> None:
    """Nothing that was fetched on this machine changes what tests see."""
    os.environ["FACECLOAK_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def toys(tmp_path, monkeypatch) -> Path:
    """The toy suite's YAML; its weights are the only ones that are found."""
    from tests.toys import write_suite  # after the environment is set

    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(tmp_path / "toys" / "weights"))
    monkeypatch.setenv("FACECLOAK_SHARED", str(tmp_path / "nothing"))
    return write_suite(tmp_path / "toys")
