"""The rules of the project, checked in the source: which module may import which, and what no module may do."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("facecloak", "baselines", "benchmarks")
# a module may import from its own layer and from the layers before it
LAYERS = (
    ("__init__", "errors", "registry", "config", "io", "assets"),
    ("alignment", "data", "faces", "framing", "recognizers"),
    ("objectives", "metrics", "method"),
    ("cloak", "pocket"),
    ("api", "testing"),
    ("cli",),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# the rooms (folders) of benchmarks by floor: a room may use the floors below it, but no other room of its own floor
FLOORS = (
    ("console", "results", "suites"),
    ("check", "harness", "tracking"),
    ("leaderboard",),
    ("sweep",),
    ("studies",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# separate programs, whose purpose is to print
PROGRAMS = ("facecloak.pocket.train", "facecloak.pocket.training.report", "facecloak.pocket.portraits",
            "benchmarks.sweep.trial", "benchmarks.tracking.sender", "benchmarks.console")  # fmt: skip


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


@cache  # of all modules, as what follows: ten tests look at each of them
def parsed(name: str) -> ast.Module:
    return ast.parse(SOURCES[name].read_text())


@cache
def imports(name: str) -> set[str]:
    """Every imported module, and every ``module.name`` of a from-import."""
    return imports_of(parsed(name))


def imports_of(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imports_outside_of_functions(name: str) -> set[str]:
    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            return ast.Pass()

        def visit_If(self, node):
            return ast.Pass() if ast.unparse(node.test) == "TYPE_CHECKING" else node

    return imports_of(Strip().visit(ast.parse(SOURCES[name].read_text())))


def package(name: str) -> str:
    return name.split(".")[0]


def part(name: str) -> str:
    """The file or folder of a package that a module belongs to: ``facecloak.metrics.psr`` → ``metrics``."""
    return name.split(".")[1] if "." in name else "__init__"


@cache
def calls(name: str) -> list[tuple[str, ast.Call]]:
    """Every call of a dotted name."""
    return [(ast.unparse(node.func), node) for node in ast.walk(parsed(name)) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("name", [name for name in SOURCES if package(name) == "facecloak"])
def test_facecloak_imports_neither_baselines_nor_the_harness(name):
    lazy = imports_outside_of_functions if name in ("facecloak.cli.main", "facecloak") else imports
    assert (part(name) in ("cli", "api", "testing") and name != "facecloak.cli.main") or not {
        found for found in lazy(name) if package(found) in ("baselines", "benchmarks")
    }


@pytest.mark.parametrize("name", [name for name in SOURCES if package(name) == "facecloak"])
def test_imports_within_facecloak_go_one_way(name):
    assert part(name) in RANK, f"facecloak/{part(name)} has no place in LAYERS"
    for found in (imports_outside_of_functions if name == "facecloak" else imports)(name):
        if package(found) == "facecloak" and part(found) in RANK:
            assert RANK[part(found)] <= RANK[part(name)], f"{name} imports {found}"


@pytest.mark.parametrize("name", [name for name in SOURCES if package(name) == "benchmarks" and name != "benchmarks"])
def test_every_module_of_benchmarks_is_in_a_room_that_uses_only_the_floors_below(name):
    room = part(name)
    assert room in FLOOR, f"benchmarks/{room} is not a room"
    for found in imports(name):
        if package(found) == "benchmarks" and part(found) in FLOOR and part(found) != room:
            assert FLOOR[part(found)] < FLOOR[room], f"{name} imports {found}"
        assert not found.startswith("facecloak.cli") or room in ("studies", "sweep", "tracking"), f"{name}: {found}"


@pytest.mark.parametrize("name", SOURCES)
def test_only_commands_print(name):
    if part(name) not in ("cli", "studies") and name not in PROGRAMS:
        assert not [call for function, call in calls(name) if function in ("print", "tqdm.write")]


@pytest.mark.parametrize("name", SOURCES)
def test_only_commands_change_signals_logs_and_warnings(name):
    """A library that is used in a notebook must not change them."""
    own = {"signal.signal": ("benchmarks.harness.processes",), "warnings.filterwarnings": ("benchmarks.console",)}
    for function, call in calls(name):
        allowed = next((names for text, names in own.items() if function == text), ())
        if function in own or function.endswith((".setLevel", ".set_verbosity", ".set_verbosity_error")):
            inside = "catch_warnings" in ast.unparse(parsed(name)) and function == "warnings.filterwarnings"
            # the last two silence Optuna, whose engine only a command uses; io restores what it silences
            others = ("benchmarks.console", "facecloak.io", "benchmarks.sweep.study", "benchmarks.sweep.agents")
            assert name in (*allowed, *others) or inside or part(name) == "cli", (function, call.lineno)


@pytest.mark.parametrize("name", [name for name in SOURCES if package(name) == "benchmarks"])
def test_only_devices_asks_for_cuda(name):
    assert name == "benchmarks.harness.devices" or "torch.cuda" not in ast.unparse(parsed(name))


@pytest.mark.parametrize("room", ["results", "check", "leaderboard"])
def test_rooms_that_only_read_results_do_not_import_torch(room):
    modules = [name for name in SOURCES if name.startswith(f"benchmarks.{room}")]
    program = f"import sys, {', '.join(modules)}; print(sorted({{'torch', 'pytorch_lightning'}} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [name for name in SOURCES if package(name) == "baselines"])
def test_a_baseline_imports_neither_the_harness_nor_another_baseline(name):
    for found in imports(name):
        assert package(found) != "benchmarks", found
        assert package(found) != "baselines" or part(found) in (part(name), "common"), found
        assert found != "facecloak.cli" and not found.startswith("facecloak.cli.")


@pytest.mark.parametrize("name", [name for name in SOURCES if package(name) == "benchmarks"])
def test_the_harness_reaches_baselines_by_name_only(name):
    """Except for the command that measures the effect of one baseline's stages, with measures made for it."""
    found = {found for found in imports(name) if package(found) == "baselines"}
    if name == "benchmarks.studies.makeup":
        found = {found for found in found if part(found) != "diffam"}
    assert found <= ({"baselines", "baselines.BASELINES"} if name == "benchmarks" else set())


@pytest.mark.parametrize("name", SOURCES)
def test_only_tracking_imports_wandb(name):
    assert name.startswith("benchmarks.tracking.") or "wandb" not in {package(found) for found in imports(name)}


@pytest.mark.parametrize("name", SOURCES)
def test_no_file_is_executed_while_it_is_loaded(name):
    for function, call in calls(name):
        assert function not in {"pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if function == "torch.load":
            assert keywords.get("weights_only") == "True"
        if function in ("np.load", "numpy.load"):
            assert keywords.get("allow_pickle", "False") == "False"
    hidden = {"pickle.load", "pickle.loads", "torch.load", "yaml.load", "yaml.unsafe_load"}
    assert not imports(name) & hidden, "call it by its full name, which this test can see"


@pytest.mark.parametrize("name", SOURCES)
def test_every_module_and_public_name_has_a_docstring(name):
    tree = parsed(name)
    public = [
        node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    ]
    assert ast.get_docstring(tree), "the module"
    assert [node.name for node in public if not ast.get_docstring(node)] == []


def test_no_file_is_longer_than_400_lines():
    paths = [path for folder in (*PACKAGES, "tests") for path in (ROOT / folder).rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}
    assert len(lengths) > 30
    assert {path: length for path, length in lengths.items() if length > 400} == {}


@pytest.mark.parametrize("module", ["facecloak", "facecloak.cli.main", "baselines"])
def test_what_starts_the_command_line_does_not_import_torch(module):
    program = f"import sys, {module}; print(sorted({{'torch', 'numpy', 'pytorch_lightning'}} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
