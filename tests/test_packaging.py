"""A new machine has only what is installed, so the wheel and the sdist must contain the photos and the models."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from facecloak.io import pocket_dir

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    # a copy of the files that git knows: building in place would leave folders behind, and could use old ones
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if files.returncode:
        pytest.skip("not a git checkout: which files are part of the project is not known")
    for name in files.stdout.splitlines():
        if (ROOT / name).is_file():
            (out / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (out / "source" / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(out / "source")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_the_wheel_and_the_sdist_hold_every_asset_and_suite(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        in_wheel = set(wheel.namelist())
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        in_sdist = {name.partition("/")[2] for name in sdist.getnames()}
    package = ROOT / "facecloak"
    published = {"benchmarks/leaderboard/reported.csv", "facecloak/assets/table.yaml"}
    assets = {f"facecloak/{path.relative_to(package)}" for path in pocket_dir().rglob("*") if path.is_file()}
    assets |= {f"benchmarks/suites/{path.name}" for path in (ROOT / "benchmarks" / "suites").glob("*.yaml")}
    assets |= {
        f"benchmarks/leaderboard/page/{path.name}" for path in (ROOT / "benchmarks" / "leaderboard" / "page").iterdir()
    }
    assert len(assets) > 60
    assert assets | published <= in_wheel
    assert assets | published <= in_sdist
    assert not any("tests/" in name or name.endswith(".pt") for name in in_wheel)


def dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [one for group in project["optional-dependencies"].values() for one in group]
    return [Requirement(text) for text in [*project["dependencies"], *optional]]


def test_every_dependency_has_a_lowest_version():
    for dependency in dependencies():
        own_extra = dependency.name == "facecloak"
        assert own_extra or ">=" in {part.operator for part in dependency.specifier}, dependency


def test_the_releases_of_lightning_that_were_tampered_with_are_excluded():
    [lightning] = [one.specifier for one in dependencies() if one.name == "pytorch-lightning"]
    assert [version in lightning for version in ("2.5.6", "2.6.0", "2.6.2", "2.6.3", "2.6.6")] == [
        False, True, False, False, True
    ]  # fmt: skip
