"""Documents: README's Python runs as written, commands are valid, links lead to files."""

import json
import re
import shlex
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.results.submission import form_problems
from benchmarks.studies.tables import BLOCK, RESULTS, render, with_tables
from facecloak.cli.arguments import make_parser
from facecloak.errors import FacecloakError
from facecloak.testing import check_method

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for folder in ("", "facecloak", "baselines", "benchmarks", "sweeps")
    for path in ((ROOT / folder).glob("*.md") if not folder else (ROOT / folder).rglob("*.md"))
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


def commands(text: str) -> list[str]:
    """Every `facecloak …` in code blocks and tables, without comments, except commands with placeholders."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, flags=re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [part for line in lines for part in line.split("#")[0].split("&&")]
    found += re.findall(r"(?m)^\| `(facecloak [^`]+)`", text)  # in running text they are names
    plain = (" ".join(each.split()) for each in found)
    return [each for each in plain if each.startswith("facecloak ") and not re.search(r"[A-Z]{4,}|…|\.\.\.|\$\(", each)]


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["made"].errors == [None, None] and names["results"].check() == []
    assert (tmp_path / "board" / "index.html").is_file()


def test_the_method_of_contributing_is_one(monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.S)
    module = ModuleType("mine_of_contributing")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where its dataclass looks for the names of types
    exec(compile(textwrap.dedent(code), "CONTRIBUTING.md", "exec"), module.__dict__)
    check_method(module.Mine)


def test_the_submission_of_the_leaderboards_readme_has_the_right_form():
    (content,) = re.findall(r"```json\n(.*?)```", (ROOT / "benchmarks/leaderboard/README.md").read_text(), flags=re.S)
    assert [*form_problems(json.loads(content))] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_command_of_a_document_can_be_typed(name):
    for command in commands((ROOT / name).read_text()):
        options, rest = make_parser().parse_known_args(shlex.split(command.split(" | ")[0])[1:])
        assert options.command and all(re.match(r"--\w+\.\w+=", argument) for argument in rest), command


def test_there_are_commands():
    found = [command for path in DOCUMENTS for command in commands(path.read_text())]
    assert len(found) > 30 and len(DOCUMENTS) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_to_a_file(name):
    path = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert target.startswith("https://") or (path.parent / target).exists(), target


@pytest.mark.parametrize("name", NAMES)
def test_every_marked_table_is_what_its_file_says(name):
    text = (ROOT / name).read_text()
    assert with_tables(text) == text, "python -m benchmarks.studies.tables writes the tables again"


def test_every_table_of_numbers_is_marked_and_every_file_is_shown():
    """A table whose cells are mostly numbers is one that somebody measured."""
    shown = set()
    for path in DOCUMENTS:
        text = path.read_text()
        shown |= {found[2].split(";")[0] for found in BLOCK.finditer(text)}
        shown |= {*re.findall(r"\]\([./\w]*studies/results/(\w+\.csv)\)", text)}  # linked: too long for a table
        for table in re.findall(r"(?:^\|.*\n)+", BLOCK.sub("", text), flags=re.M):
            cells = [cell.strip() for line in table.splitlines()[2:] for cell in line.strip("|").split("|")[1:]]
            numbers = [cell for cell in cells if re.match(r"[+-]?\d", cell)]
            assert len(numbers) <= len(cells) / 2, f"{path}: no mark around {table[:80]!r}"
    assert shown == {path.name for path in RESULTS.glob("*.csv")}


def test_a_table_takes_columns_and_rows_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.studies.tables.RESULTS", tmp_path)
    (tmp_path / "a.csv").write_text("method,x,y\nfirst,1,2\nsecond,3,4\n")
    assert (
        render("a.csv; columns: method, y = why; rows: second") == "| method | why |\n| --- | --- |\n| second | 4 |\n"
    )
    for mark, said in (("a.csv; rows: third", "row 'third' is not there"), ("b.csv", "no such file")):
        with pytest.raises(FacecloakError, match=said):
            render(mark)


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 170
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 100


def test_every_module_that_a_document_names_is_there():
    for path in DOCUMENTS:
        for name in re.findall(r"python -m ([\w.]+)", path.read_text()):
            parts = name.split(".")
            there = (ROOT / Path(*parts)).with_suffix(".py").is_file() or (
                ROOT / Path(*parts) / "__init__.py"
            ).is_file()
            assert there or parts[0] in ("torch", "pytest"), f"{path}: {name}"
        for file in re.findall(r"`((?:facecloak|baselines|benchmarks|tests|sweeps)/[\w/.]+\.\w+)`", path.read_text()):
            assert (ROOT / file).is_file() or "/mine." in file, f"{path}: {file}"
